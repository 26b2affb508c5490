"""Relevance through any operation of a tape (LRP), with a ledger of what is absorbed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.rules.contribution import contribution, sum_of_contributions
from convatlas.probes.rules.kinds import ELEMENTWISE, MIXING, PRODUCTS, SELECTION, STEPS, is_affine, is_layer, varying
from convatlas.probes.rules.layer_rules import Box, LayerRule, Zero
from convatlas.probes.rules.layers import followers, layer_of
from convatlas.probes.rules.refusals import no_rule
from convatlas.probes.tape.tail import run_tail
from convatlas.probes.tape.tape import Operation, Slot, Tape
from convatlas.probes.tape.vjp import by_autograd, vjp

Found = dict[int, Tensor]

NAME = "LRP"
"""Name of the method in what is said where an operation has no rule."""

CONSTANT = frozenset(["log", "log2", "log10", "rsqrt", "reciprocal", "logit"])
"""Functions without a value at 0: what they compute is taken as constant."""

GATES = frozenset(["sigmoid", "hardsigmoid", "_softmax", "tanh", "hardtanh", "exp", "clamp"])
"""Functions whose result gates another tensor when both are multiplied."""


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
        self.producers = self.tape.producers()
        layers = [operation for operation in self.tape.operations if is_layer(self.tape, operation)]
        self.numbers = {id(operation): number for number, operation in enumerate(layers)}
        readers = self.tape.readers()
        self.ends = {
            index
            for index, producer in self.producers.items()
            if is_affine(self.tape, producer)
            and producer.name not in SELECTION
            and (
                index == self.tape.output or any(not is_affine(self.tape, reader) for reader in readers.get(index, ()))
            )
        }

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
        if is_affine(tape, operation):
            return self._affine(operation, multipliers)
        if operation.name in SPECIAL:
            return SPECIAL[operation.name](self, operation, multipliers)
        if operation.name in PRODUCTS:
            return self._product(operation, multipliers)
        if operation.name in ELEMENTWISE:
            return self._elementwise(operation, multipliers)
        raise ConvAtlasError(no_rule(NAME, operation))

    def _layer(self, operation: Operation, norm: Operation | None, multiplier: Tensor) -> Found:
        rule = self.choose(self.numbers[id(operation)], operation)
        index, layer = layer_of(self.tape, operation, norm)
        shared = (self._moved(rule, index) if isinstance(rule, Box) else rule)(layer, multiplier)
        self.ledger.biases += float(shared.absorbed)
        if shared.extra is not None:
            self.extra[index] = self.extra[index] + shared.extra if index in self.extra else shared.extra
        return {index: shared.multiplier}

    def _affine(self, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
        """LRP-0 of an affine operation, which is the chain rule; its constants keep what they contributed."""
        if operation.name not in _HOMOGENEOUS or len(set(operation.inputs)) > len(varying(self.tape, operation)):
            zeros = operation.run(
                lambda index: (
                    torch.zeros_like(self.tape.values[index]) if self.tape.depends[index] else self.tape.values[index]
                )
            )
            self.ledger.biases += sum(
                float(contribution(zero, multiplier).sum())
                for zero, multiplier in zip(zeros, multipliers, strict=True)
                if multiplier is not None
            )
        return vjp(self.tape, operation, multipliers)

    def _elementwise(self, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
        """R_x = R_y but for what the function's value at 0 contributed: G_x = (g(x) − g(0))/x · G_y."""
        inputs = varying(self.tape, operation)
        output, multiplier = operation.outputs[0], multipliers[0]
        assert output is not None
        assert multiplier is not None
        if len(inputs) != 1:
            raise ConvAtlasError(no_rule(NAME, operation, " of several tensors"))
        (index,) = inputs
        x, y = self.tape.values[index], self.tape.values[output]
        if operation.name in CONSTANT or (operation.name == "pow" and not _positive_power(operation)):
            self.ledger.constants += float((y * multiplier).sum())
            self.constants.add(operation.name)
            return {}
        if operation.name == "relu":
            return vjp(self.tape, operation, multipliers)
        offset = operation.run(lambda i: torch.zeros_like(x) if i == index else self.tape.values[i])[0]
        self.ledger.offsets += float((offset * multiplier).sum())
        near = x.abs() <= torch.finfo(x.dtype).tiny ** 0.5
        slope = torch.where(near, 0, (y - offset) / torch.where(near, 1, x))
        if near.any():
            others = (None,) * (len(multipliers) - 1)
            flat = by_autograd(self.tape, operation, (torch.ones_like(y), *others), {index: torch.zeros_like(x)})
            slope = torch.where(near, flat.get(index, torch.zeros_like(x)), slope)
        return {index: multiplier * slope}

    def _product(self, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
        """A product of two tensors: each gets half, or the gate nothing. A divisor never gets anything."""
        carried = vjp(self.tape, operation, multipliers)
        slots = [
            argument for argument in operation.args if isinstance(argument, Slot) and self.tape.depends[argument.index]
        ]
        factors = slots[-2:]
        if operation.name == "div":
            factors = [slot for slot in factors if slot is not operation.args[1]]
            return {slot.index: _quotient(self.tape, operation, multipliers[0]) for slot in factors} or self._kept(
                operation, multipliers
            )
        if operation.name in ("addmm", "baddbmm", "addcmul") and len(slots) == 3:
            raise ConvAtlasError(no_rule(NAME, operation, " of three tensors that depend on the photo"))
        constant = self._constant_part(operation, multipliers)
        self.ledger.biases += constant
        first, second = factors
        if first.index == second.index:
            return {first.index: carried[first.index] / 2}
        gate = self._gate(first, second) if self.products == "signal" else None
        if gate is not None:
            return {slot.index: carried[slot.index] for slot in factors if slot is not gate}
        return {slot.index: carried[slot.index] / 2 for slot in factors}

    def _kept(self, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
        """A constant divided by a tensor keeps all of its relevance."""
        output, multiplier = operation.outputs[0], multipliers[0]
        assert output is not None
        assert multiplier is not None
        self.constants.add(operation.name)
        self.ledger.constants += float((self.tape.values[output] * multiplier).sum())
        return {}

    def _constant_part(self, operation: Operation, multipliers: Sequence[Tensor | None]) -> float:
        """Relevance of what a product adds: the bias of addmm and of a convolution."""
        multiplier = multipliers[0]
        assert multiplier is not None
        if operation.name in ("addmm", "baddbmm", "addcmul"):
            added = operation.args[0]
            return float((operation.kwargs.get("beta", 1) * self.tape.values[added.index] * multiplier).sum())
        if operation.name == "convolution" and operation.args[2] is not None:
            bias = self.tape.values[operation.args[2].index]
            return float((bias.view(1, -1, *[1] * (multiplier.ndim - 2)) * multiplier).sum())
        return 0.0

    def _gate(self, first: Slot, second: Slot) -> Slot | None:
        """Find which of two factors gates the other: the result of a bounded function, or the smaller one."""
        for slot in (first, second):
            index = slot.index
            while (producer := self.producers.get(index)) is not None and producer.name in SELECTION:
                index = next(iter(varying(self.tape, producer)))
            if producer is not None and producer.name in GATES:
                return slot
        sizes = [self.tape.values[slot.index].numel() for slot in (first, second)]
        return None if sizes[0] == sizes[1] else (first, second)[sizes.index(min(sizes))]

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


_HOMOGENEOUS = (SELECTION | MIXING) - {"native_batch_norm", "rsub", "constant_pad_nd", "masked_fill", "add", "sub"}
"""Affine operations that are 0 at 0, if all of their tensors depend on the photo."""


def _positive_power(operation: Operation) -> bool:
    exponent = operation.args[1]
    return isinstance(exponent, (int, float)) and exponent > 0


def _quotient(tape: Tape, operation: Operation, multiplier: Tensor | None) -> Tensor:
    above, below = operation.args
    assert multiplier is not None
    result: Tensor = (multiplier / tape.values[below.index]).sum_to_size(tape.values[above.index].shape)
    return result


def _through(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    return vjp(rules.tape, operation, multipliers)


def _softmax(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Softmax by its tangent at x, whose constant part is absorbed (Achtibat et al. 2024, AttnLRP)."""
    (multiplier,) = multipliers
    index, output = operation.args[0].index, operation.outputs[0]
    assert multiplier is not None
    assert output is not None
    carried = vjp(rules.tape, operation, multipliers)
    x, y = rules.tape.values[index], rules.tape.values[output]
    dim = operation.args[1]
    # The tangent's constant part: y − J x, with J x = y ∘ (x − Σ y x) for softmax and x − Σ p x for its logarithm.
    p = y if operation.name != "_log_softmax" else y.exp()
    centred = x - (p * x).sum(dim, keepdim=True)
    tangent = y * centred if operation.name != "_log_softmax" else centred
    rules.ledger.offsets += float(((y - tangent) * multiplier).sum())
    return carried


def _layer_norm(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Normalization with its standard deviation taken as constant (Achtibat et al. 2024)."""
    multiplier = multipliers[0]
    assert multiplier is not None
    tape, slot = rules.tape, operation.args[0]
    x = tape.values[slot.index]
    if operation.name == "native_layer_norm":
        _, shape, weight, bias, _ = operation.args
        view = list(shape)
        grouped = (*x.shape[: x.ndim - len(shape)], -1)
    else:
        _, weight, bias, n, _, _, groups, _ = operation.args
        view = [1, -1, *[1] * (x.ndim - 2)]
        grouped = (n, groups, -1)
    deviation = operation.outputs[2]
    assert deviation is not None
    if bias is not None:
        rules.ledger.biases += float((tape.values[bias.index].view(view) * multiplier).sum())
    scaled = multiplier if weight is None else multiplier * tape.values[weight.index].view(view)
    rows = scaled.reshape(grouped)
    rows = rows - rows.mean(-1, keepdim=True)
    factor = tape.values[deviation].reshape(*grouped[:-1], 1)
    return {slot.index: (rows * factor).reshape(x.shape)}


def _norm(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Euclidean norm: n = Σ x·(x/n), which is the chain rule."""
    if operation.args[1] != 2:
        raise ConvAtlasError(no_rule(NAME, operation, f" of order {operation.args[1]}"))
    return vjp(rules.tape, operation, multipliers)


def _log_sum_exp(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Logarithm of a sum of exponentials by its tangent, whose constant part is absorbed."""
    multiplier, output = multipliers[0], operation.outputs[0]
    assert multiplier is not None
    assert output is not None
    carried = vjp(rules.tape, operation, multipliers)
    index = operation.args[0].index
    tangent = sum(float((part * rules.tape.values[i]).sum()) for i, part in carried.items() if i == index)
    rules.ledger.offsets += float((rules.tape.values[output] * multiplier).sum()) - tangent
    return carried


def _where(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    """Choose between two tensors by a condition that the photo decides; the choice is taken as constant."""
    condition, *branches = operation.args
    multiplier = multipliers[0]
    assert multiplier is not None
    tape = rules.tape
    choice = tape.values[condition.index] if isinstance(condition, Slot) else condition
    for branch, chosen in zip(branches, (choice, ~choice), strict=True):
        if not isinstance(branch, Slot) or not tape.depends[branch.index]:
            value = tape.values[branch.index] if isinstance(branch, Slot) else branch
            rules.ledger.biases += float((torch.where(chosen, value, 0) * multiplier).sum())
    return vjp(tape, operation, multipliers)


def _nothing(rules: Relevance, operation: Operation, multipliers: Sequence[Tensor | None]) -> Found:
    rules.ledger.offsets += sum(
        float((rules.tape.values[index] * multiplier).sum())
        for index, multiplier in zip(operation.outputs, multipliers, strict=True)
        if index is not None and multiplier is not None
    )
    return {}


SPECIAL: dict[str, Callable[[Relevance, Operation, Sequence[Tensor | None]], Found]] = {
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "amax",
            "amin",
            "max",
            "min",
            "maximum",
            "minimum",
            "topk",
        ),
        _through,
    ),
    "where": _where,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _softmax,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _layer_norm,
    "linalg_vector_norm": _norm,
    "logsumexp": _log_sum_exp,
    **dict.fromkeys(STEPS, _nothing),
}
"""Operations with a rule of their own."""


def has_rule(tape: Tape, operation: Operation) -> bool:
    """Whether relevance can go back through an operation."""
    if is_affine(tape, operation) or operation.name in SPECIAL or operation.name in PRODUCTS:
        return True
    return operation.name in ELEMENTWISE and len(varying(tape, operation)) == 1


def zero_everywhere(number: int, operation: Operation) -> LayerRule:
    """LRP-0 for all layers."""
    return Zero()
