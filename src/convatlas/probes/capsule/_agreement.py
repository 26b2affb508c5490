"""What each child capsule contributes to a class capsule before it is squashed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.capsule._capsules import Children, children_of, rounds
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Tape


@dataclass(frozen=True)
class Agreements:
    """Agreements of all children with all classes.

    Attributes:
        children: The children.
        values: c_ij ⟨û_ij, s_j / |s_j|⟩, (types, h, w, classes); their sum over the children is |s_j|.
        couplings: c_ij, same shape.
        lengths: |s_j|, (classes,).
        directions: s_j / |s_j|, (classes, size).
    """

    children: Children
    values: Tensor
    couplings: Tensor
    lengths: Tensor
    directions: Tensor


def agreements(subject: Subject, tape: Tape) -> Agreements:
    """Compute the agreements of the last round for the photo of a tape."""
    history, votes = rounds(subject.net, tape)
    children = children_of(subject, tape)
    couplings, votes = history[-1].couplings[0], votes[0]  # (children, classes), (children, classes, size)
    sums = (couplings.unsqueeze(-1) * votes).sum(0)
    lengths = sums.norm(dim=-1)
    directions = sums / lengths.clamp(min=1e-30).unsqueeze(-1)
    values = couplings * (votes * directions).sum(-1)
    grid = children.grid
    return Agreements(children, values.reshape(*grid, -1), couplings.reshape(*grid, -1), lengths, directions)
