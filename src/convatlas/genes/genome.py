"""The genome: which gene stands at each locus of a net, and the modules that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import nn

from convatlas.base.errors import GeneError, unknown
from convatlas.genes.activation import ACTIVATIONS
from convatlas.genes.attention import ATTENTIONS
from convatlas.genes.convolution import CONVOLUTIONS, DILATIONS, Site
from convatlas.genes.decoder import DECODERS
from convatlas.genes.flattening import FLATTENINGS, PYRAMID
from convatlas.genes.gene import Gene, chain
from convatlas.genes.normalization import NORMALIZATIONS, Norm
from convatlas.genes.padding import ALIGNMENTS, FILLS, Alignment, Fill, Pad
from convatlas.genes.pooling import POOLINGS, Border
from convatlas.genes.regularization import StochasticDepth
from convatlas.genes.routing import ROUTINGS

LOCI: dict[str, dict[str, Gene]] = {
    "convolution": CONVOLUTIONS,
    "padding": FILLS,
    "alignment": ALIGNMENTS,
    "pooling": POOLINGS,
    "flattening": FLATTENINGS,
    "normalization": NORMALIZATIONS,
    "activation": ACTIVATIONS,
    "attention": ATTENTIONS,
    "routing": ROUTINGS,
    "decoder": DECODERS,
}

RATES = ("dropout", "stochastic_depth")

COUNTS = ("iterations",)

PUBLISHED = "published"
"""The value of a locus where the published net mixes genes: each site has its own."""

Value = str | Gene | None


@dataclass(frozen=True)
class Genome:
    """The choice of genes a net is built from, passed down explicitly (invariant 3).

    Each locus holds a gene's name, a `Gene` of the user's own, `published` where the net mixes several, or None where
    the net has no such locus. The two rates are probabilities in [0, 1), or None where the net has no place for them;
    so for the count, from 1 to 100: of a routing's rounds.
    A net's builder asks for modules through the methods below and says what the published net has at that site.
    """

    convolution: Value = "dense"
    padding: Value = "zeros"
    alignment: Value = PUBLISHED
    pooling: Value = None
    flattening: Value = "global_average"
    normalization: Value = "batch"
    activation: Value = "relu"
    attention: Value = "none"
    routing: Value = None
    decoder: Value = None
    dropout: float | None = 0.0
    stochastic_depth: float | None = None
    iterations: int | None = None

    def swapped(self, net: str, genes: Mapping[str, object]) -> Genome:
        """This genome with other genes at some loci.

        Args:
            net: The net's name, for the errors.
            genes: From locus to a gene's name or a `Gene`; from `dropout` and `stochastic_depth` to a rate, from
                `iterations` to a number.

        Raises:
            UnknownName: For a locus or gene that does not exist.
            GeneError: For a locus that the net does not have, for a rate outside [0, 1) and a count outside 1 to 100.
        """
        return dataclasses.replace(
            self,
            **{locus: self._value(net, locus, value) for locus, value in genes.items()},  # type: ignore[arg-type]
        )

    def _value(self, net: str, locus: str, value: object) -> Value | float:
        if locus not in (*LOCI, *RATES, *COUNTS):
            raise unknown("locus", locus, [*LOCI, *RATES, *COUNTS])
        present = getattr(self, locus)
        if present is None:
            free = [name for name in (*LOCI, *RATES, *COUNTS) if getattr(self, name) is not None]
            raise GeneError(f"{net} has no {locus} to swap; it has {', '.join(free) or 'none'}")
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
            return value
        if value == PUBLISHED and present == PUBLISHED:
            return PUBLISHED
        return named(locus, str(value)).name

    def _gene(self, locus: str, published: str) -> Gene:
        """The gene at a site of `locus` where the published net has `published`."""
        value = getattr(self, locus)
        if isinstance(value, Gene):
            return value
        return LOCI[locus][published if value in (None, PUBLISHED) else value]

    def convolve(
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
    ) -> dict[str, nn.Module]:
        """A convolution as `conv`, behind a `pad` where its border cannot be its own.

        1 x 1 convolutions, and those that are `fixed` (stems, which read the photo itself), keep their kind whatever
        the genome says; a site that is published without a border keeps being so.
        """
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        gene = CONVOLUTIONS[kind] if fixed or height * width == 1 else self._gene("convolution", kind)
        # A stride skips pixels already.
        dilation = DILATIONS.get(gene.name, 1) if stride == 1 else 1
        reach = (height - 1) * dilation + 1, (width - 1) * dilation + 1
        if alignment != "valid" and self.alignment != PUBLISHED:
            # A user's own alignment gene is known by its name alone: what it makes is a `Pad`.
            alignment = self._gene("alignment", "same").name  # type: ignore[assignment]
        fill = self._gene("padding", "zeros")
        own, padding = True, (0, 0)
        if alignment == "symmetric" or (alignment == "same" and stride == 1 and reach[0] % 2 and reach[1] % 2):
            padding = (reach[0] - 1) // 2, (reach[1] - 1) // 2
        elif alignment != "valid" and reach != (1, 1):
            own = False
        site = Site(channels, outputs, (height, width), stride, padding, dilation, cast(Fill, fill.name), bias)
        made: dict[str, nn.Module] = {} if own else {"pad": fill.make(alignment, reach, stride)}
        made["conv"] = gene.make(site)
        return made

    def normalize(self, channels: int, norm: Norm, published: str = "batch") -> nn.Module | None:
        """The normalization of a map of `channels`."""
        gene = self._gene("normalization", published)
        return None if gene.name == "none" else gene.make(channels, norm)

    def activate(self, channels: int) -> nn.Module:
        """The activation of a map or vector of `channels`."""
        return self._gene("activation", "relu").make(channels)

    def unit(
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        *,
        norm: Norm,
        act: bool = True,
        kind: str = "dense",
        alignment: Alignment = "same",
        bias: bool = False,
        fixed: bool = False,
        normalization: str = "batch",
    ) -> nn.Sequential:
        """The field's usual phrase: convolution (`pad`, `conv`), normalization (`norm`), activation (`act`)."""
        conv = self.convolve(channels, outputs, kernel, stride, kind=kind, alignment=alignment, bias=bias, fixed=fixed)
        return chain(
            **conv, norm=self.normalize(outputs, norm, normalization), act=self.activate(outputs) if act else None
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
        """The pooling of a map of `channels`."""
        return self._gene("pooling", kind).make(channels, kernel, stride, alignment, border)

    def pad(self, alignment: Alignment, kernel: int, stride: int) -> Pad:
        """A border of zeros that a net adds by itself, for pools."""
        return Pad(alignment, (kernel, kernel), stride)

    def attend(self, channels: int, squeezed: int | None = None, published: str = "none") -> nn.Module | None:
        """The attention over a map of `channels`; `squeezed` channels inside (a sixteenth, if not said)."""
        gene = self._gene("attention", published)
        if gene.name == "none":
            return None
        return gene.make(channels, squeezed or max(1, channels // 16), self.activate)

    def flatten(self, channels: int, positions: int) -> tuple[nn.Module, int]:
        """The flattening of a map of `channels` and so many `positions` (H * W), and the features that come out."""
        gene = self._gene("flattening", "global_average")
        counts = {"flatten": channels * positions, "pyramid": channels * sum(bins**2 for bins in PYRAMID)}
        return gene.make(), counts.get(gene.name, channels)

    def flattens_whole(self) -> bool:
        """Whether the number of features depends on the size of the map."""
        return self._gene("flattening", "global_average").name == "flatten"

    def route(self, children: int, parents: int) -> nn.Module:
        """The routing from so many capsules to so many; votes (N, I, J, D) -> capsules (N, J, D).

        If its `weighs_children` is true, it takes the children's lengths (N, I) too.
        """
        return self._gene("routing", "dynamic").make(children, parents, self.iterations)

    def decode(self, features: int, photo: tuple[int, int, int]) -> nn.Module | None:
        """What makes photos (N, *`photo`) in 0..1 of (N, `features`)."""
        gene = self._gene("decoder", "dense")
        return None if gene.name == "none" else gene.make(features, photo, self.activate)

    def drop(self) -> nn.Module | None:
        """The dropout before a dense layer."""
        return nn.Dropout(self.dropout) if self.dropout else None

    def drop_path(self, share: float) -> nn.Module | None:
        """The stochastic depth of a residual branch; `share` (0 to 1) grows with depth."""
        rate = (self.stochastic_depth or 0.0) * share
        return StochasticDepth(rate) if rate else None


def named(locus: str, name: str) -> Gene:
    """The gene of `locus` called `name` (or by an alias); UnknownName with the allowed names otherwise."""
    genes = LOCI[locus]
    for gene in genes.values():
        if name == gene.name or name in gene.aliases:
            return gene
    elsewhere = [other for other, there in LOCI.items() if name in there]
    if elsewhere:
        raise GeneError(f"{name!r} is a gene of {elsewhere[0]}, not of {locus}; {locus} has {', '.join(genes)}")
    raise unknown(f"gene of {locus}", name, genes)
