"""Feature inversion: an input that a layer cannot tell from the photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.activation._ascent import before_rectifier, check_replayed, value_and_gradient
from convatlas.probes.activation._canvas import Canvas, variation
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.layers import named_maps
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

DEPTHS = (0.1, 0.4, 0.7, 1.0)
"""Places along the net of the layers that are inverted if the caller chose none."""


@dataclass(frozen=True)
class FeatureInversion(Probe):
    """An input, from noise, whose maps at a layer are those of the photo; by default at four layers along the net.

    Of a layer that ends with a rectifier, the maps before it are compared, since silent units have no gradient.

    Attributes:
        steps: Steps of the optimiser (Adam) for each layer.
        rate: Length of a step.
        fourier: Whether the frequencies are optimised, of which the low ones move faster, or the pixels.
        decorrelated: Whether a step moves colours together as photos mix them.
        alpha: Weight of the α-norm, Σ|share of grey|^6, which keeps pixels in range.
        tv: Weight of the total variation.
        beta: Power of the total variation.
    """

    steps: int = 120
    rate: float = 0.05
    fourier: bool = True
    decorrelated: bool = True
    alpha: float = 0.01
    tv: float = 0.1
    beta: float = 2.0

    title = "Feature inversion"
    source = 'Mahendran & Vedaldi 2015, "Understanding deep image representations by inverting them"'
    formula = "argmin_x ‖A(x) − A(x₀)‖² / ‖A(x₀)‖² + λ_α Σ|x|^α + λ_TV Σ(Δ_x² + Δ_y²)^(β/2)"
    shows = "What the layer keeps of the photo; what is missing in the picture, it has lost."
    hides = (
        "What the score uses of it. A poor optimiser looks like a layer that forgets: see the distance that is left."
    )
    cost = "120 forward, 120 backward a layer"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Invert each of the layers."""
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, ends=(False, True))
        check_number("alpha", self.alpha)
        check_number("tv", self.tv)
        check_number("beta", self.beta, 0, 8, ends=(False, True))
        layers = _layers(subject)
        exhibits = [Exhibit("photo", shown(subject.x[0], subject.net), "the photo")]
        inputs, numbers = [], {}
        for number, (name, index) in enumerate(layers):
            x, distance = subject.x, 1.0
            for step, x, distance in self._invert(subject, index):  # noqa: B007 - the last one counts
                yield number * self.steps + step, len(layers) * self.steps, None
            caption = f"from {name}: {distance:.1%} of its maps' norm is missing"
            exhibits.append(Exhibit(name, shown(x[0], subject.net), caption, numbers={"distance": distance}))
            inputs.append(x)
            numbers[name] = distance
        layer = layers[0][0] if subject.layer is not None else None
        arrays = {"inputs": torch.cat(inputs).cpu().numpy()}
        yield 1, 1, [Exhibition(tuple(exhibits), layer, numbers, arrays)] * len(subject.targets)

    def _invert(self, subject: Subject, index: int) -> Iterator[tuple[int, Tensor, float]]:
        # A silent unit has no gradient behind its rectifier.
        index = before_rectifier(subject.tape, index)
        target = subject.tape.values[index]
        norm = target.square().sum().clamp(min=1e-30)

        def objective(value: Tensor) -> Tensor:
            return -(value - target).square().sum() / norm

        canvas = Canvas.like(subject, self.fourier, self.decorrelated)
        grey, span = (canvas.low + canvas.high) / 2, canvas.high - canvas.low

        def image() -> tuple[Tensor, Tensor]:
            x = canvas.image()
            share = 2 * (x - grey) / span
            return x, -self.alpha * (share**6).mean() - self.tv * variation(share, self.beta)

        optimiser = torch.optim.Adam([canvas.parameter], self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps, self.rate / 50)
        for step in range(1, self.steps + 1):
            _, gradient = value_and_gradient(subject, index, image, objective, canvas.parameter)
            canvas.parameter.grad = -gradient
            optimiser.step()
            schedule.step()
            canvas.settle()
            yield step, subject.x, 1.0
        x = canvas.image().detach()
        missing = float((check_replayed(subject, x, index) - target).square().sum() / norm)
        yield self.steps, x, missing**0.5


def _layers(subject: Subject) -> list[tuple[str, int]]:
    """Name and index of the layers to invert."""
    if subject.layer is not None:
        return [subject.place]
    names = named_maps(subject.tape)
    if not names:
        return [subject.place]
    indices = sorted(names)
    reach = len(indices) // 12
    chosen: dict[int, str] = {}
    for depth in DEPTHS:
        place = round(depth * (len(indices) - 1))
        near = indices[max(0, place - reach) : place + reach + 1] if depth < 1 else [indices[place]]
        # The end of a block rather than a step within it.
        index = min(near, key=lambda index: (names[index].count("."), abs(indices.index(index) - place)))
        chosen[index] = names[index]
    return [(name, index) for index, name in chosen.items()]


PROBE = FeatureInversion
