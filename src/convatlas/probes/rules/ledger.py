"""The ledger of LRP: relevance that does not arrive at the photo; and the run of LRP to which it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from convatlas.probes.tape.tape import Operation, Tape

Found = dict[int, Tensor]
"""Multipliers by the index of their tensor."""


@dataclass
class Ledger:
    """Relevance that did not arrive at the photo, each part by its own definition.

    Attributes:
        biases: What biases and other constants that are added contributed.
        offsets: What functions contributed whose value at 0 is not 0.
        constants: What functions contributed that have no value at 0 (log, 1/x), and are taken as constant.
        stabiliser: What the stabiliser ε took away.
    """

    biases: float = 0.0
    offsets: float = 0.0
    constants: float = 0.0
    stabiliser: float = 0.0

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """The parts by name."""
        return dict(vars(self))


class Run(Protocol):
    """What the rules of operations use of a run of LRP, which is a `Relevance`."""

    tape: Tape
    products: str
    ledger: Ledger
    constants: set[str]
    producers: Mapping[int, Operation]
