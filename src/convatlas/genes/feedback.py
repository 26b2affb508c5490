"""Feedback: connections from a layer to itself or to an earlier one, delayed by one step.

These are the review's recurrent nets: "When layers are connected in reverse direction also (I <- [H1 <- H2] <- O)".
The net sees the same photo for a number of steps; all states start at 0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from convatlas.base.errors import GeneError
from convatlas.genes.gene import Gene
from convatlas.genes.label import Label
from convatlas.genes.layers import SelfCounting

Arrow = tuple[str, str]
"""A backward connection (source, target), such as ("output", "hidden1")."""


@dataclass(frozen=True)
class Layer:
    """A layer of a recurrent net: its name, number of units, and activation function (None for the identity)."""

    name: str
    width: int
    act: nn.Module | None = None


def arrows_of(value: object) -> tuple[Arrow, ...] | None:
    """Parse arrows, without duplicates and sorted; return None if `value` is a gene or the name of one.

    Arrows come as pairs of layers, [("output", "hidden1"), ("hidden1", "hidden1")], or as text,
    "output->hidden1, hidden1->hidden1".

    Raises:
        GeneError: The value is neither arrows nor a gene.
    """
    if isinstance(value, Gene) or (isinstance(value, str) and "->" not in value):
        return None
    arrows = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    return tuple(sorted({_arrow(arrow) for arrow in arrows}))


def _arrow(value: object) -> Arrow:
    ends = value.split("->") if isinstance(value, str) else list(value) if isinstance(value, tuple | list) else []
    if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
        raise GeneError(f"an arrow is a pair of layers, ('output', 'hidden1') or 'output->hidden1'; got {value!r}")
    return ends[0].strip(), ends[1].strip()


class Recurrence(SelfCounting):
    """Dense layers with feedback, run for `steps` steps on one photo; (N, features) -> (N, classes).

    In each step a layer computes act(W below + b + sum of V_s state_s): `below` is the previous layer in this step,
    state_s the state one step ago of each layer s that feeds back to it. The input layer is x + sum of V_s state_s.
    The result is the output layer after the last step. Weights and biases are drawn as LeCun et al. 1998 recommend,
    uniformly in ±2.4 / fan-in, where feedback counts as input.
    """

    label = Label("recurrence", "feedback")

    def __init__(self, layers: Sequence[Layer], arrows: Iterable[Arrow], steps: int):
        super().__init__()
        self.names, self.widths = [layer.name for layer in layers], [layer.width for layer in layers]
        self.arrows, self.steps, self.layers = tuple(arrows), steps, len(layers) - 1
        # This module is one operation without children, so only the weights of activation functions are registered.
        self.functions = [layer.act for layer in layers]
        possible = [
            (source, target) for target in self.names for source in self.names if self._leads_back(source, target)
        ]
        for source, target in self.arrows:
            if (source, target) not in possible:
                known = ", ".join("->".join(arrow) for arrow in possible)
                raise GeneError(f"no arrow can lead back from {source!r} to {target!r}; possible are: {known}")
        for below, layer in pairwise(layers):
            self._register(f"{layer.name}_weight", layer.width, below.width)
            self._register(f"{layer.name}_bias", layer.width)
            for name, weight in layer.act.named_parameters() if layer.act else ():
                self._register(self._learned_name(layer.name, name), *weight.shape)
        for source, target in self.arrows:
            self._register(f"{source}_to_{target}", self._width(target), self._width(source))
        self.reset_parameters()

    def _leads_back(self, source: str, target: str) -> bool:
        names = self.names
        return source in names and target in names and names.index(source) >= names.index(target)

    def _register(self, name: str, *shape: int) -> None:
        self.register_parameter(name, nn.Parameter(torch.empty(*shape)))

    def _width(self, name: str) -> int:
        return self.widths[self.names.index(name)]

    def _weights(self, name: str) -> list[Tensor]:
        """Return the weights and biases that enter the sum of a layer."""
        own = ["weight", "bias"] if name != self.names[0] else []
        arrows = [f"{source}_to_{name}" for source, target in self.arrows if target == name]
        return [self.get_parameter(key) for key in (*(f"{name}_{part}" for part in own), *arrows)]

    def reset_parameters(self) -> None:
        if next(self.parameters()).is_meta:
            return
        for name, act in zip(self.names, self.functions, strict=True):
            weights = self._weights(name)
            fan_in = sum(weight.shape[1] for weight in weights if weight.dim() == 2)
            for weight in weights:
                nn.init.uniform_(weight, -2.4 / fan_in, 2.4 / fan_in)
            learned = self._learned(name, act) if act is not None else {}
            if act is not None and learned:
                initialized = copy.deepcopy(act).to_empty(device="cpu")
                for module in initialized.modules():
                    if callable(reset := getattr(module, "reset_parameters", None)):
                        reset()
                for key, weight in initialized.named_parameters():
                    learned[key].copy_(weight)

    @staticmethod
    def _learned_name(layer: str, key: str) -> str:
        return f"{layer}_act_{key.replace('.', '_')}"

    def _learned(self, name: str, act: nn.Module) -> dict[str, Tensor]:
        """Return the learned weights of an activation function, by their names in it."""
        return {key: self.get_parameter(self._learned_name(name, key)) for key, _ in act.named_parameters()}

    def step(self, x: Tensor, before: Sequence[Tensor]) -> list[Tensor]:
        """Return the states of all layers one step after `before`, from input to output, (N, width) each."""
        states: list[Tensor] = []
        for name, act in zip(self.names, self.functions, strict=True):
            if states:
                y = F.linear(states[-1], self.get_parameter(f"{name}_weight"), self.get_parameter(f"{name}_bias"))
            else:
                y = x
            for source, target in self.arrows:
                if target == name:
                    y = y + F.linear(before[self.names.index(source)], self.get_parameter(f"{source}_to_{name}"))
            if act is not None:
                learned = self._learned(name, act)
                y = functional_call(act, learned, (y,)) if learned else act(y)
            states.append(y)
        return states

    def rest(self, x: Tensor) -> list[Tensor]:
        """Return the states of all layers before the first step: zeros."""
        return [x.new_zeros(x.shape[0], width) for width in self.widths]

    def forward(self, x: Tensor) -> Tensor:
        states = self.rest(x)
        for _ in range(self.steps):
            states = self.step(x, states)
        return states[-1]  # (N, classes)

    def macs(self, shape: Sequence[int]) -> int:
        matrices = sum(weight.numel() for name in self.names for weight in self._weights(name) if weight.dim() == 2)
        return shape[0] * self.steps * matrices

    def connections(self, shape: Sequence[int]) -> int:
        return shape[0] * sum(weight.numel() for name in self.names for weight in self._weights(name))

    def units(self, shape: Sequence[int]) -> int:
        return shape[0] * sum(self.widths[1:])

    def extra_repr(self) -> str:
        layers = " -> ".join(map(str, self.widths))
        return f"{layers}, {', '.join('->'.join(arrow) for arrow in self.arrows)}, {self.steps} steps"


def _gene(
    name: str, formula: str, source: str, arrows: Callable[[list[str]], list[Arrow]], parameters: str = "0"
) -> Gene:
    def make(layers: Sequence[Layer], steps: int) -> nn.Module:
        chosen = arrows([layer.name for layer in layers])
        if name != "none" and not chosen:
            raise ValueError(f"{name} feedback needs a hidden layer")
        return Recurrence(layers, chosen, steps)

    macs = f"({parameters})*s" if parameters != "0" else "0"
    return Gene("feedback", name, formula, "(N,F) -> (N,K)", parameters, macs, source, make)


GENES = (
    _gene("none", "-", "-", lambda names: []),
    _gene(
        "elman",
        "H <- H: each hidden layer reads its own state one step ago",
        "Elman 1990",
        lambda names: [(name, name) for name in names[1:-1]],
        "C*C",
    ),
    _gene(
        "jordan",
        "H1 <- O: the first hidden layer reads the output one step ago (without Jordan's decaying trace of it)",
        "Jordan 1986",
        lambda names: [(names[-1], name) for name in names[1:-1][:1]],
        "C*K",
    ),
    _gene(
        "chain",
        "I <- H1 <- H2 <- O: each layer reads the next layer, one step ago",
        "the review, Conspectus",
        lambda names: [(after, name) for name, after in pairwise(names)],
        "F*C + C*K",
    ),
)
