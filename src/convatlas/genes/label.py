"""Labels: the names that `anatomy` uses for the modules of this package, each set in the module's own class."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

_BY_KIND: dict[str, Label] = {}


@dataclass(frozen=True)
class Label:
    """Names of one type of module in measurements, DNA and drawings; the class has it as its attribute `label`.

    Attributes:
        kind: Full name, such as "scaled tanh".
        locus: Locus it belongs to, or "dense" or "other" if no gene decides it; "skip" joins or splits maps.
        token: Name in the DNA, such as "stanh"; by default the kind in lower case with hyphens.
        short: Name in drawings; by default the kind.
    """

    kind: str
    locus: str
    token: str = ""
    short: str = ""

    def __post_init__(self) -> None:
        _BY_KIND.setdefault(self.kind, self)


def label_of(module: nn.Module) -> Label | None:
    """Return the label of a module of this package; None for any other module, even one with an attribute `label`."""
    label = getattr(type(module), "label", None)
    return label if isinstance(label, Label) else None


def token_of(kind: str) -> str:
    """Return the name of a kind of layer in the DNA: its label's token, else the kind in lower case with hyphens."""
    label = _BY_KIND.get(kind)
    return label.token if label and label.token else kind.lower().replace(" ", "-")


def short_of(kind: str) -> str:
    """Return the name of a kind of layer in drawings: its label's short name, else the kind itself."""
    label = _BY_KIND.get(kind)
    return label.short if label and label.short else kind
