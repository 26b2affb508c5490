"""Base class of probes; each file in the folders of the families defines one subclass, its settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.brief import Brief
from convatlas.probes.gallery.gallery import Exhibition

if TYPE_CHECKING:
    from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Finding:
    """What a probe found for one target.

    Attributes:
        values: The raw signed map: (C, h, w) or (h, w), on the grid of `layer`.
        layer: Name of the layer whose grid it is; None for the grid of the net's input.
        reduction: How channels become one map: "sum", "largest" (of the absolute values) or "norm".
        residual: Distance from completeness, relative to max(|f(x)|, |f(b)|); None for probes that promise none.
        ledger: What was absorbed on the way, by kind.
        condition: Largest sum of |relevance| at any operation, relative to |f(x) − f(b)|; None if not defined.
        standard_error: Standard error of each value; None for probes that do not sample.
        coverage: How many operations of each name were passed; empty for black-box probes.
        notes: Sentences that a reader of the map has to know.
    """

    values: Tensor
    layer: str | None = None
    reduction: str = "sum"
    residual: float | None = None
    ledger: dict[str, float] = field(default_factory=dict)
    condition: float | None = None
    standard_error: Tensor | None = None
    coverage: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Findings = Iterator[tuple[int, int, Sequence[Finding | Exhibition] | None]]
"""Steps done, steps in all, and with the last step one finding for each target, or the pictures that it has instead."""


@dataclass(frozen=True)
class Probe(Brief):
    """A probe and its settings; the fields of a subclass are the settings.

    Attributes:
        title: Its name in the literature.
        source: Publication that introduced it.
        formula: What it computes.
        shows: What its map shows.
        hides: What its map cannot show.
        cost: Forward and backward passes, in words.
        needs: What it uses of the net: "scores" (a black box, in any engine), "gradients", "relevance" (rules for every
            operation), or "nothing" (a control).
        scores_photos: Whether it also reads scores of whole photos, as black boxes do, besides what `needs` says.
        rules: Rules that each operation must have if `needs` is "relevance": "relevance" (LRP), "secants" (DeepLIFT).
        tape: Whether it goes back over the tape, which the photo's forward pass records then. Gradients at inputs alone
            do not need it, since PyTorch computes them too.
        spatial: Whether it explains at a layer, which the caller may choose.
        pictures: Whether it makes pictures, a `Gallery`, and no map of the photo.
        image_recovery: Whether it recovers the image rather than explains the net (Nie et al. 2018).
    """

    title: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str]
    shows: ClassVar[str]
    hides: ClassVar[str]
    cost: ClassVar[str]
    needs: ClassVar[str] = "scores"
    scores_photos: ClassVar[bool] = False
    rules: ClassVar[str] = "relevance"
    tape: ClassVar[bool] = True
    spatial: ClassVar[bool] = False
    pictures: ClassVar[bool] = False
    image_recovery: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Name of the probe, which is that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def family(self) -> str:
        """Name of the family, which is that of its folder."""
        return type(self).__module__.split(".")[-2]

    @property
    def in_engine(self) -> bool:
        """Whether an engine may compute the scores that it reads."""
        return self.needs == "scores" or self.scores_photos

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a kind of net; None if nothing does."""
        return None

    def check_fit(self, net: nn.Module) -> None:
        """Refuse a net of a kind that the probe cannot explain.

        Raises:
            ConvAtlasError: It is such a net.
        """
        reason = self.unfit(net)
        if reason is not None:
            raise ConvAtlasError(reason)

    def attribute(self, subject: Subject) -> Findings:
        """Explain the scores of a subject, one finding for each of its targets."""
        raise NotImplementedError


def settings(probe: Probe) -> dict[str, Any]:
    """The settings of a probe by name, numbers of NumPy as those of Python, which records can be written with."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in vars(probe).items()}
