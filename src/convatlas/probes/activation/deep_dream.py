"""Deep dream: a photo in which a layer sees more of what it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from convatlas.probes.activation._ascent import before_rectifier, channel_of, check_replayed, value_and_gradient
from convatlas.probes.activation._canvas import mixing, seen_from
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import limits, shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class DeepDream(Probe):
    """The photo, changed until the maps of a layer (or one of its channels) are as large as they can become.

    The gradient is taken apart into bands of frequencies, whose strengths are set, so that large and small
    shapes appear at the net's own input size; other sizes, which many nets do not take, are not needed.

    Attributes:
        channel: Channel of the layer; None for the mean square of all of them.
        steps: Steps of the ascent.
        rate: Length of a step, as a share of the range from black to white.
        bands: Bands of frequencies.
        jitter: Largest shift before each step, as a share of a side.
        zoom: Largest change of size before each step.
        turn: Largest angle before each step, in degrees.
    """

    channel: int | None = None
    steps: int = 40
    rate: float = 0.015
    bands: int = 4
    jitter: float = 0.1
    zoom: float = 0.1
    turn: float = 5.0

    title = "Deep dream"
    source = 'Mordvintsev et al. 2015, "Inceptionism: going deeper into neural networks"'
    formula = "x ← x + rate · Σ_bands ∇_b ‖A(x)‖² / std(∇_b ‖A(x)‖²)"
    shows = "What a layer finds in the photo, as it is made stronger step by step."
    hides = "How strongly it was there. What appears at the end need not be in the photo at all."
    cost = "40 forward, 40 backward"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Climb the size of the layer's maps, from the photo."""
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, 0, 1, ends=(False, True))
        check_whole("bands", self.bands, 1, 16)
        check_number("jitter", self.jitter, 0, 0.5)
        check_number("zoom", self.zoom, 0, 0.5)
        check_number("turn", self.turn, 0, 180)
        exhibition = None
        for step, exhibition in self._dream(subject):  # noqa: B007 - the last one counts
            yield step, self.steps, None
        assert exhibition is not None
        yield 1, 1, [exhibition] * len(subject.targets)

    def _dream(self, subject: Subject) -> Iterator[tuple[int, Exhibition | None]]:
        name, end = subject.place
        climbed = end
        if self.channel is not None:
            name, end, _ = channel_of(subject, self.channel)
            climbed = before_rectifier(subject.tape, end)

        def objective(value: Tensor) -> Tensor:
            return value.square().mean() if self.channel is None else value[0, self.channel].mean()

        low, high = limits(subject.x, subject.net)
        mix = mixing(subject, True)
        x, generator = subject.x.clone(), subject.generator()
        values = [float(objective(subject.tape.values[end]))]
        shots = []
        for step in range(1, self.steps + 1):
            leaf = x.detach().clone().requires_grad_()

            def image(leaf: Tensor = leaf) -> tuple[Tensor, Tensor]:
                return seen_from(leaf, generator, self.jitter, self.zoom, self.turn), leaf.new_zeros(())

            _, gradient = value_and_gradient(subject, climbed, image, objective, leaf)
            # Colours move together, as photos mix them.
            step_by = balanced(torch.einsum("dc,nchw->ndhw", mix @ mix.T, gradient), self.bands)
            x = (x + self.rate * (high - low) * step_by).maximum(low).minimum(high)
            if step in (max(1, self.steps // 4), self.steps):
                values.append(float(objective(check_replayed(subject, x, end))))
                shots.append((step, x))
            yield step, None
        unit = f"mean square of {name}" if self.channel is None else f"channel {self.channel} of {name}"
        exhibits = [Exhibit("photo", shown(subject.x[0], subject.net), f"the photo: {unit} {values[0]:.3g}")]
        exhibits += [
            Exhibit(f"step {step}", shown(each[0], subject.net), f"after {step} steps: {value:.3g}")
            for (step, each), value in zip(shots, values[1:], strict=True)
        ]
        numbers = {"photo": values[0], "value": values[-1]}
        yield self.steps, Exhibition(tuple(exhibits), name, numbers, {"inputs": x.cpu().numpy()})


def balanced(gradient: Tensor, bands: int) -> Tensor:
    """A gradient (1, C, h, w) whose bands of frequencies, each an octave, have standard deviations that rise evenly.

    The coarsest counts most. The sum of the bands is scaled to a standard deviation of 1.
    """
    parts, rest = [], gradient
    for _ in range(bands - 1):
        if min(rest.shape[2:]) < 4:
            break
        coarse = avg_pool2d(rest, 2)
        parts.append(rest - interpolate(coarse, rest.shape[2:], mode="bilinear", align_corners=False))
        rest = coarse
    parts.append(rest)
    size = gradient.shape[2:]
    total = torch.zeros_like(gradient)
    # Fine bands count less, since they repeat more often over the picture.
    for octave, part in enumerate(parts, 1):
        if part.shape[2:] != size:
            part = interpolate(part, size, mode="bilinear", align_corners=False)
        total = total + octave / len(parts) * part / (part.std() + 1e-12 + 1e-6 * gradient.std())
    return total / (total.std() + 1e-12)


PROBE = DeepDream
