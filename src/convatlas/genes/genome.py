"""The genome: the gene at each locus of a net, and the modules made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from convatlas.base.errors import GeneError, unknown
from convatlas.base.terminal.brief import Brief
from convatlas.genes.convolution import DILATIONS, ConvSpec
from convatlas.genes.feedback import Arrow, Layer, Recurrence, arrows_of
from convatlas.genes.gene import Gene, chain
from convatlas.genes.loci import COUNTS, LOCI, RATES, REGULARIZATIONS
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import ALIGNMENTS, MODES, Alignment, Fill, Pad
from convatlas.genes.pooling import Border
from convatlas.genes.sparse_connections import Links

PUBLISHED = "published"
"""Value of a locus where the published net mixes genes: each layer keeps the one it was published with."""

Value = str | Gene | None
Feedback = Value | tuple[Arrow, ...]


@dataclass(frozen=True)
class Genome(Brief):
    """The genes a net is built from, passed down explicitly.

    Each locus holds the name of a gene, a `Gene` defined by the user, `published` where the net mixes several, or None
    where the net has no such locus; `feedback` may also hold arrows, pairs (source, target) of layers. `dropout` and
    `stochastic_depth` are probabilities in [0, 1), `iterations` is the number of routing rounds, 1 to 100; None where
    the net does not use them. A net's constructor makes its modules by the methods below; arguments such as `kind`,
    `normalization` and `published` name the gene that the published net has in that layer.
    """

    convolution: Value = "dense"
    padding: Value = "zeros"
    alignment: Value = PUBLISHED
    pooling: Value = None
    flattening: Value = "global_average"
    normalization: Value = "batch"
    activation: Value = "relu"
    attention: Value = "none"
    skip: Value = None
    feedback: Feedback = None
    output: Value = None
    auxiliary: Value = None
    routing: Value = None
    decoder: Value = None
    dropout: float | None = 0.0
    stochastic_depth: float | None = None
    iterations: int | None = None

    @classmethod
    def bare(cls, **genes: Any) -> Genome:
        """Return a genome that has only the given loci, for nets that lack most of them."""
        return cls(**{field.name: genes.get(field.name) for field in dataclasses.fields(cls)})

    def swapped(self, net: str, genes: Mapping[str, object]) -> Genome:
        """Return a copy of this genome with other genes at some loci, each checked.

        Args:
            net: Name of the net, for error messages.
            genes: Names of genes, or `Gene`s, by locus; a rate for `dropout` and `stochastic_depth`, a number for
                `iterations`; for `feedback` also arrows, as [("output", "hidden1")].

        Raises:
            UnknownName: A locus or gene that does not exist.
            GeneError: A locus that the net lacks, a `Gene` of another locus, a rate outside [0, 1), or a number outside
                1 to 100.
        """
        if not isinstance(genes, Mapping):
            raise GeneError(f'genes are a table from locus to gene, as {{"activation": "gelu"}}; got {genes!r}')
        return dataclasses.replace(
            self,
            **{locus: self._checked(net, locus, value) for locus, value in genes.items()},  # type: ignore[arg-type]
        )

    def _checked(self, net: str, locus: str, value: object) -> Feedback | float:
        if locus not in (*LOCI, *RATES, *COUNTS):
            raise unknown("locus", str(locus), [*LOCI, *RATES, *COUNTS])
        current = getattr(self, locus)
        if current is None:
            swappable = [name for name in (*LOCI, *RATES, *COUNTS) if getattr(self, name) is not None]
            raise GeneError(f"{net} has no {locus} to swap; it has {', '.join(swappable) or 'none'}")
        if locus in COUNTS:
            number = int(value) if isinstance(value, str) and value.isdecimal() else value
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 100:
                raise GeneError(f"{locus} is a whole number from 1 to 100; got {value!r}")
            return number
        if locus in RATES:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise GeneError(f"{locus} is a probability from 0 up to, but not including, 1; got {value!r}")
            return float(value)
        if isinstance(value, Gene):
            if value.locus != locus:
                raise GeneError(f"{value} is a gene of {value.locus}, not of {locus}")
            return value.name if value in LOCI[locus].values() else value
        if locus == "feedback" and (arrows := arrows_of(value)) is not None:
            return arrows
        if value == PUBLISHED and current == PUBLISHED:
            return PUBLISHED
        if not isinstance(value, str):
            raise GeneError(f"{locus} is the name of a gene, or a `Gene`; got {value!r}")
        return find_gene(locus, value).name

    def _gene(self, locus: str, published: str) -> Gene:
        """Return the gene of `locus` for a layer to which the published net gives the gene `published`."""
        value = getattr(self, locus)
        if isinstance(value, Gene):
            return value
        return LOCI[locus][published if value in (None, PUBLISHED) else value]

    def conv(
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        *,
        kind: str = "dense",
        alignment: Alignment = "same",
        bias: bool = False,
        fixed: bool = False,
        links: Links | None = None,
        groups: int = 32,
    ) -> dict[str, nn.Module]:
        """Return the modules of a convolution: `conv`, after a `pad` where `conv` cannot pad its input itself.

        1 x 1 convolutions and `fixed` ones (stems, which read the photo itself) are of the given `kind` whatever the
        genome says, and a convolution with alignment "valid" is never padded. `groups` is used by the kind "grouped",
        `links`, the published connection table, by the kind "linked".
        """
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        gene = LOCI["convolution"][kind] if fixed or height * width == 1 else self._gene("convolution", kind)
        # Strided convolutions are not dilated: they skip pixels already.
        dilation = DILATIONS.get(gene.name, 1) if stride == 1 else 1
        window = (height - 1) * dilation + 1, (width - 1) * dilation + 1
        pad, padding = self._padding(window, stride, alignment)
        fill = self._gene("padding", "zeros").name
        # PyTorch's convolutions know these fills only; `pad` applies any other.
        mode = cast(Fill, fill if fill in MODES else "zeros")
        spec = ConvSpec(channels, outputs, (height, width), stride, padding, dilation, mode, bias, links, groups)
        modules: dict[str, nn.Module] = {} if pad is None else {"pad": pad}
        modules["conv"] = gene.make(spec)
        return modules

    def _padding(
        self, window: tuple[int, int], stride: int, alignment: Alignment
    ) -> tuple[nn.Module | None, tuple[int, int]]:
        """Return the padding for a window (height, width): a module to put in front, or what the convolution pads."""
        if alignment == "valid" or window == (1, 1):
            return None, (0, 0)
        fill = self._gene("padding", "zeros")
        if self.alignment not in (None, PUBLISHED):
            gene = self._gene("alignment", "same")
            if gene.name not in ALIGNMENTS:
                return gene.make(window, stride, fill.name), (0, 0)
            alignment = cast(Alignment, gene.name)
        half = (window[0] - 1) // 2, (window[1] - 1) // 2
        odd = window[0] % 2 == window[1] % 2 == 1
        centred = alignment == "symmetric" or (alignment == "same" and stride == 1 and odd)
        if centred and fill.name in MODES:
            return None, half
        return (None if alignment == "valid" else fill.make(alignment, window, stride)), (0, 0)

    def normalize(self, channels: int, norm: Norm, published: str = "batch") -> nn.Module | None:
        """Return the normalization of a map of `channels`; None for the gene `none`."""
        gene = self._gene("normalization", published)
        return None if gene.name == "none" else gene.make(channels, norm)

    def activate(self, channels: int) -> nn.Module:
        """Return the activation of a map or vector of `channels`."""
        return self._gene("activation", "relu").make(channels)

    def conv_norm_act(
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        *,
        norm: Norm | None,
        act: bool = True,
        kind: str = "dense",
        alignment: Alignment = "same",
        bias: bool = False,
        fixed: bool = False,
        links: Links | None = None,
        normalization: str = "batch",
    ) -> nn.Sequential:
        """Chain a convolution (`pad`, `conv`), a normalization (`norm`) and an activation (`act`).

        Without `norm` there is no normalization, whatever the genome says; without `act` no activation.
        """
        conv = self.conv(
            channels, outputs, kernel, stride, kind=kind, alignment=alignment, bias=bias, fixed=fixed, links=links
        )
        return chain(
            **conv,
            norm=self.normalize(outputs, norm, normalization) if norm else None,
            act=self.activate(outputs) if act else None,
        )

    def pool(
        self,
        channels: int,
        kernel: int,
        stride: int,
        *,
        kind: str = "max",
        alignment: Alignment = "valid",
        border: Border = "outside",
    ) -> nn.Module:
        """Return the pooling of a map of `channels`."""
        return self._gene("pooling", kind).make(channels, kernel, stride, alignment, border)

    def pad(self, alignment: Alignment, kernel: int, stride: int) -> Pad:
        """Return zero padding to put in front of a pooling, whatever the genome says."""
        return Pad(alignment, (kernel, kernel), stride)

    def attend(self, channels: int, squeezed: int | None = None, published: str = "none") -> nn.Module | None:
        """Return the attention of a map, None for the gene `none`; `squeezed` defaults to a sixteenth of `channels`."""
        gene = self._gene("attention", published)
        if gene.name == "none":
            return None
        return gene.make(channels, squeezed or max(1, channels // 16), self.activate)

    def join(self) -> nn.Module | None:
        """Return the sum of a block's input and its output, None for the gene `plain`."""
        gene = self._gene("skip", "residual")
        return None if gene.name == "plain" else gene.make()

    def flatten(self, channels: int) -> tuple[nn.Module, int | None]:
        """Return the flattening of a map, and its number of features, None if that depends on the map's size."""
        module = self._gene("flattening", "global_average").make()
        features = getattr(module, "features", None)
        return module, features(channels) if callable(features) else None

    def recur(self, layers: Sequence[Layer], steps: int) -> nn.Module | None:
        """Return dense layers with feedback between them, or None if there is no feedback: they can then be chained."""
        if isinstance(self.feedback, tuple):
            return Recurrence(layers, self.feedback, steps) if self.feedback else None
        gene = self._gene("feedback", "none")
        return None if gene.name == "none" else gene.make(layers, steps)

    def output_layer(self, features: int, classes: int) -> nn.Module:
        """Return the last layer; (N, features) -> (N, classes)."""
        return self._gene("output", "dense").make(features, classes, self.activate)

    def has_auxiliary_heads(self) -> bool:
        """Whether the net has auxiliary heads."""
        return self._gene("auxiliary", "none").name != "none"

    def auxiliary_head(self, features: int, classes: int) -> nn.Module:
        """Return the classifier of an auxiliary head; (N, features) -> logits (N, classes)."""
        return self._gene("auxiliary", "none").make(features, classes, self.activate)

    def route(self, children: int, parents: int) -> nn.Module:
        """Return the routing between two layers of capsules; votes (N, I, J, D) -> capsules (N, J, D).

        If its attribute `needs_lengths` is true, its second argument is the children's lengths (N, I).
        """
        return self._gene("routing", "dynamic").make(children, parents, self.iterations)

    def decode(self, features: int, photo: tuple[int, int, int], hidden: tuple[int, int]) -> nn.Module | None:
        """Return the decoder, None for the gene `none`; (N, features) -> photos (N, *photo) in 0..1.

        `hidden` are the units of its two hidden layers.
        """
        gene = self._gene("decoder", "dense")
        return None if gene.name == "none" else gene.make(features, photo, self.activate, hidden)

    def drop(self) -> nn.Module | None:
        """Return the dropout before a dense layer; None at rate 0."""
        return REGULARIZATIONS["dropout"].make(self.dropout) if self.dropout else None

    def drop_path(self, depth_fraction: float) -> nn.Module | None:
        """Return the stochastic depth of a residual branch, None at rate 0; `depth_fraction` (0 to 1) scales it.

        A plain net has none, as nothing would be left beside a branch that is dropped.
        """
        rate = 0.0 if self.skip == "plain" else (self.stochastic_depth or 0.0) * depth_fraction
        return REGULARIZATIONS["stochastic_depth"].make(rate) if rate else None


def find_gene(locus: str, name: str) -> Gene:
    """Return the gene of `locus` that has this name or alias.

    Raises:
        GeneError: A gene of another locus has the name.
        UnknownName: No gene has it; the message lists those of the locus.
    """
    genes = LOCI[locus]
    key = name.lower().replace("-", "_")
    for gene in genes.values():
        if key == gene.name or key in gene.aliases:
            return gene
    elsewhere = [other for other, others in LOCI.items() if key in others]
    if elsewhere:
        raise GeneError(f"{name!r} is a gene of {elsewhere[0]}, not of {locus}; {locus} has {', '.join(genes)}")
    raise unknown(f"gene of {locus}", name, genes)
