"""What anatomy calls a module of ours; each class carries its own label, so a new gene needs no entry elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

_BY_KIND: dict[str, Label] = {}


@dataclass(frozen=True)
class Label:
    """How measurements, DNA and drawings name one type of module; set it as `label` in the class.

    Attributes:
        kind: Full name: "scaled tanh".
        locus: Locus it belongs to, or "dense", "skip" or "other" for what no gene decides.
        token: Name in the DNA: "stanh"; by default the kind in lower case with hyphens.
        short: Name in drawings; by default the kind.
    """

    kind: str
    locus: str
    token: str = ""
    short: str = ""

    def __post_init__(self) -> None:
        _BY_KIND.setdefault(self.kind, self)


def label_of(module: nn.Module) -> Label | None:
    """The label of a module of ours; None for any other module, whatever its attributes are called."""
    label = getattr(type(module), "label", None)
    return label if isinstance(label, Label) else None


def token_of(kind: str) -> str:
    """The DNA's name for a kind of layer: its label's token, else the kind itself in lower case with hyphens."""
    label = _BY_KIND.get(kind)
    return label.token if label and label.token else kind.lower().replace(" ", "-")


def short_of(kind: str) -> str:
    """The short name in drawings for a kind of layer: its label's, else the kind itself."""
    label = _BY_KIND.get(kind)
    return label.short if label and label.short else kind
