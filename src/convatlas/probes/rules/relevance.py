"""Relevance carried back over a tape (LRP), with a ledger of what is absorbed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.rules.contribution import sum_of_contributions
from convatlas.probes.rules.kinds import SELECTION, is_affine, is_layer
from convatlas.probes.rules.layer_rules import Box, LayerRule, Zero
from convatlas.probes.rules.layers import followers, layer_of
from convatlas.probes.rules.ledger import Found, Ledger
from convatlas.probes.rules.operation_rules import through
from convatlas.probes.tape.tail import run_tail
from convatlas.probes.tape.tape import Operation, Tape
from convatlas.probes.tape.vjp import vjp


@dataclass
class Relevance:
    """The rules that one run of LRP uses: functions for `backward`, as `rule` and `visit`.

    Attributes:
        tape: The tape.
        choose: Function of the number of a layer with weights, counted from the photo, and of its operation: its rule.
        epsilon: ε of the stabiliser z/(z + ε·sign z), at the end of every chain of affine operations.
        products: How a product of two tensors shares: "uniform" (halves, AttnLRP) or "signal" (a gate gets nothing).
        ledger: What was absorbed.
        extra: Relevance that is not a multiple of the value, by index.
        largest: Largest sum of |relevance| of any tensor on the way.
        counts: How many operations of each name were passed.
        constants: Names of the operations whose results were taken as constant.
    """

    tape: Tape
    choose: Callable[[int, Operation], LayerRule]
    epsilon: float = 1e-6
    products: str = "uniform"
    ledger: Ledger = field(default_factory=Ledger)
    extra: Found = field(default_factory=dict)
    largest: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    constants: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.norms = followers(self.tape)
        self.convolutions = {id(norm): output for output, norm in self.norms.items()}
        self.producers: Mapping[int, Operation] = self.tape.producers()
        layers = [operation for operation in self.tape.operations if is_layer(self.tape, operation)]
        self.numbers = {id(operation): number for number, operation in enumerate(layers)}
        # Tensors that the score is read from, or operations that are not affine, moved or not.
        loose = {self.tape.output}
        for operation in reversed(self.tape.operations):
            moved = operation.name in SELECTION and not loose.isdisjoint(operation.outputs)
            if moved or not is_affine(self.tape, operation):
                loose.update(operation.inputs)
        self.ends = {
            index
            for index, producer in self.producers.items()
            if index in loose and is_affine(self.tape, producer) and producer.name not in SELECTION
        }

    def unit(self, index: int) -> int:
        """Index of the tensor that has the relevance of a layer's output.

        A convolution and the batch normalization after it are passed as one layer, so that nothing is known between.
        """
        norm = self.norms.get(index)
        output = index if norm is None else norm.outputs[0]
        assert output is not None
        return output

    def visit(self, index: int, multiplier: Tensor) -> Tensor:
        """Stabilise a multiplier where an affine chain ends, and note how much relevance there is."""
        value = self.tape.values[index]
        self.largest = max(self.largest, sum_of_contributions(value, multiplier))
        if self.epsilon == 0 or index not in self.ends:
            return multiplier
        stabiliser = torch.copysign(torch.full_like(value, self.epsilon), value)
        result = multiplier * (value / (value + stabiliser))
        # Of the relevance x·G, the share ε/(x + ε) stays here.
        self.ledger.stabiliser += float((result * stabiliser).sum())
        return result

    def rule(self, tape: Tape, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
        """Share the relevance of an operation's results among its inputs."""
        self.counts[operation.name] += 1
        self._move_extra(operation)
        if id(operation) in self.convolutions and multipliers[0] is not None:
            # The convolution before it is passed at the same time.
            return self._layer(self.producers[self.convolutions[id(operation)]], operation, multipliers[0])
        if id(operation) in self.numbers and multipliers[0] is not None:
            return self._layer(operation, None, multipliers[0])
        return through(self, operation, multipliers)

    def _layer(self, operation: Operation, norm: Operation | None, multiplier: Tensor) -> Found:
        rule = self.choose(self.numbers[id(operation)], operation)
        index, layer = layer_of(self.tape, operation, norm)
        shared = (self._moved(rule, index) if isinstance(rule, Box) else rule)(layer, multiplier)
        self.ledger.biases += float(shared.absorbed)
        if shared.extra is not None:
            self.extra[index] = self.extra[index] + shared.extra if index in self.extra else shared.extra
        return {index: shared.multiplier}

    def _move_extra(self, operation: Operation) -> None:
        """Relevance that is not a multiple of its value goes back through operations that only move numbers."""
        for position, index in enumerate(operation.outputs):
            if index is None or index not in self.extra:
                continue
            if operation.name not in SELECTION:
                raise ConvAtlasError(
                    f"this rule of LRP is for the first layer, but {operation} comes before it: use lrp with a "
                    "composite without it, such as epsilon_plus"
                )
            extra = self.extra.pop(index)
            self.ledger.biases += float(torch.where(self._constants(operation, position), extra, 0).sum())
            relevance = [extra if place == position else None for place in range(len(operation.outputs))]
            for source, part in vjp(self.tape, operation, relevance).items():
                self.extra[source] = self.extra[source] + part if source in self.extra else part

    def _constants(self, operation: Operation, position: int) -> Tensor:
        """Return where the result of an operation that only moves numbers holds constants, such as padding."""
        tape = self.tape
        marked = {index: value.new_full((), torch.nan).expand_as(value) for index, value in tape.tensors(operation)
                  if value.is_floating_point()}  # fmt: skip
        constant: Tensor = ~operation.run(lambda index: marked.get(index, tape.values[index]))[position].isnan()
        return constant

    def _moved(self, rule: Box, index: int) -> Box:
        """Return a rule with the bounds of the photo's numbers moved as these are on the way to the first layer."""
        photo = self.tape.values[self.tape.photo]
        low, high = (
            run_tail(self.tape, self.tape.photo, bound.expand_as(photo), index) for bound in (rule.low, rule.high)
        )
        return Box(low, high)


def zero_everywhere(number: int, operation: Operation) -> LayerRule:
    """LRP-0 for all layers."""
    return Zero()
