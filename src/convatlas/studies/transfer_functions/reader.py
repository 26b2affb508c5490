"""Nets with feedback that read a photo row by row: a row a step, the answer after the last one."""

from __future__ import annotations

from torch import Tensor, nn

from convatlas.genes.feedback import Arrow, Layer, Recurrence

SIDE, UNITS, CLASSES = 28, 100, 10


class RowReader(nn.Module):
    """Dense layers with feedback whose input is the next row in each step; (N, 1, 28, 28) -> (N, 10).

    Args:
        hidden: Units of each hidden layer.
        arrows: Feedback connections; without any the net sees the last row only.
    """

    def __init__(self, hidden: tuple[int, ...], arrows: tuple[Arrow, ...]):
        super().__init__()
        layers = [Layer(f"hidden{number}", width, nn.Tanh()) for number, width in enumerate(hidden, 1)]
        self.recurrence = Recurrence([Layer("input", SIDE), *layers, Layer("output", CLASSES)], arrows, SIDE)

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0].unbind(1)  # 28 of (N, 28)
        states = self.recurrence.rest(rows[0])
        for row in rows:
            states = self.recurrence.step(row, states)
        return states[-1]  # (N, 10)


def none() -> RowReader:
    """Return a reader without feedback."""
    return RowReader((UNITS,), ())


def elman() -> RowReader:
    """Return Elman's net: the hidden layer reads its own state."""
    return RowReader((UNITS,), (("hidden1", "hidden1"),))


def jordan() -> RowReader:
    """Return Jordan's net: the hidden layer reads the output."""
    return RowReader((UNITS,), (("output", "hidden1"),))


def chain() -> RowReader:
    """Return the review's full chain I <- [H1 <- H2] <- O: each layer reads the next one."""
    return RowReader((UNITS, UNITS), (("hidden1", "input"), ("hidden2", "hidden1"), ("output", "hidden2")))
