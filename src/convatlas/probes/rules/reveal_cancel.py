"""DeepLIFT's RevealCancel rule: positive and negative contributions to a unit are followed apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convatlas.probes.rules.kinds import ELEMENTWISE, is_layer
from convatlas.probes.rules.layer_rules import Layer, sign_backward
from convatlas.probes.rules.layers import followers, layer_of
from convatlas.probes.rules.secants import secant
from convatlas.probes.tape.tape import Operation, Tape


class RevealCancel:
    """A rule for `backward`: RevealCancel where a nonlinear function follows a layer with weights, else the secant.

    With Δ⁺ and Δ⁻ the positive and negative contributions to a unit's difference,
    Δy⁺ = (g(b + Δ⁺) − g(b) + g(b + Δ⁺ + Δ⁻) − g(b + Δ⁻)) / 2, and Δy⁻ likewise (Shrikumar et al. 2017, section 3.5.3).
    """

    def __init__(self, photo: Tape, background: Tape):
        self.photo, self.background = photo, background
        self.norms = followers(photo)
        self.readers = photo.readers()
        self.producers = photo.producers()

    def __call__(self, tape: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        pair = self._layer_before(operation)
        if pair is None or gradients[0] is None:
            return secant(tape, self.background, operation, gradients)
        layer_operation, norm = pair
        index, layer = layer_of(tape, layer_operation, norm)
        difference = layer.x - self.background.values[index]
        changes = Layer(difference, layer.z, layer.weight, None, layer.forward, layer.backward)
        up, down = changes.positive, changes.negative
        (source,) = {i for i in operation.inputs if tape.depends[i]}
        start = self.background.values[source]

        def g(x: Tensor) -> Tensor:
            result: Tensor = operation.run(lambda i: x if i == source else tape.values[i])[0]
            return result

        ends = g(start), g(start + up), g(start + down), g(start + up + down)
        gain = (ends[1] - ends[0] + ends[3] - ends[2]) / 2
        loss = (ends[2] - ends[0] + ends[3] - ends[1]) / 2
        upward, downward = (gradients[0] * _ratio(y, x) for y, x in ((gain, up), (loss, down)))
        return {index: sign_backward(changes, upward, downward)}

    def _layer_before(self, operation: Operation) -> tuple[Operation, Operation | None] | None:
        """The layer with weights whose output only this function reads, and the normalization between both."""
        inputs = {index for index in operation.inputs if self.photo.depends[index]}
        if operation.name not in ELEMENTWISE or len(inputs) != 1 or len(operation.outputs) != 1:
            return None
        (index,) = inputs
        if len(self.readers[index]) != 1 or index not in self.producers:
            return None
        producer = self.producers[index]
        if is_layer(self.photo, producer):
            return producer, None
        if producer.name == "native_batch_norm" and producer.args[0].index in self.norms:
            return self.producers[producer.args[0].index], producer
        return None


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    zero = below == 0
    return torch.where(zero, 0, above / torch.where(zero, 1, below))
