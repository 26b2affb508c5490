"""Activation maximisation: an input that a class, a capsule or a channel responds to most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.activation._ascent import aim_of, check_replayed, climb_each, value_and_gradient
from convatlas.probes.activation._canvas import Canvas, seen_from, variation
from convatlas.probes.checks import check_choice, check_number, check_whole
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

STARTS = ("noise", "photo")


@dataclass(frozen=True)
class ActivationMaximisation(Probe):
    """An input that is optimised until the target, or a channel of a layer, responds as strongly as it can.

    Attributes:
        channel: Channel of the layer whose mean to maximise; None for the target's score.
        steps: Steps of the optimiser (Adam).
        rate: Length of a step.
        fourier: Whether the frequencies are optimised, of which the low ones move faster, or the pixels.
        decorrelated: Whether a step moves colours together as photos mix them, or each channel alone.
        start: "noise" or "photo".
        jitter: Largest shift before each step, as a share of a side.
        zoom: Largest change of size before each step.
        turn: Largest angle before each step, in degrees.
        l2: Weight of the squared distance from grey.
        tv: Weight of the total variation.
    """

    channel: int | None = None
    steps: int = 128
    rate: float = 0.05
    fourier: bool = True
    decorrelated: bool = True
    start: str = "noise"
    jitter: float = 0.15
    zoom: float = 0.2
    turn: float = 15.0
    l2: float = 0.0
    tv: float = 0.0

    title = "Activation maximisation"
    source = 'Erhan et al. 2009, "Visualizing higher-layer features of a deep network"'
    formula = "argmax_x f(x) − λ₂ ‖x − grey‖² − λ_TV TV(x), over the frequencies of x, seen from places that vary"
    shows = "What the net takes for the strongest example of a class, of a channel's feature or of a capsule."
    hides = (
        "What photos look like to which the target responds: the input is like none of them. The prior (frequencies, "
        "colours, jitter) makes half of the picture."
    )
    cost = "128 forward, 128 backward"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Climb the score of each target."""
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, ends=(False, True))
        check_choice("start", self.start, STARTS)
        for name in ("jitter", "zoom"):
            check_number(name, getattr(self, name), 0, 0.5)
        check_number("turn", self.turn, 0, 180)
        check_number("l2", self.l2)
        check_number("tv", self.tv)
        yield from climb_each(subject, self.steps, self._climb)

    def _climb(self, subject: Subject, target: int) -> Iterator[tuple[int, Exhibition | None]]:
        aim = aim_of(subject, target, self.channel)

        canvas = Canvas.like(subject, self.fourier, self.decorrelated, subject.x if self.start == "photo" else None)
        generator = subject.generator()
        optimiser = torch.optim.Adam([canvas.parameter], self.rate)
        grey, span = (canvas.low + canvas.high) / 2, canvas.high - canvas.low

        def image() -> tuple[Tensor, Tensor]:
            x = canvas.image()
            share = (x - grey) / span
            return (
                seen_from(x, generator, self.jitter, self.zoom, self.turn),
                -self.l2 * share.square().mean() - self.tv * variation(share),
            )

        shots: list[tuple[int, Tensor]] = []
        keep = {self.steps // 8, self.steps // 3} - {0}
        for step in range(1, self.steps + 1):
            _, gradient = value_and_gradient(subject, aim.climbed, image, aim.objective, canvas.parameter)
            canvas.parameter.grad = -gradient
            optimiser.step()
            canvas.settle()
            if step in keep or step == self.steps:
                shots.append((step, canvas.image().detach()))
            yield step, None
        own = float(aim.objective(subject.tape.values[aim.end]))
        exhibits, values = [], []
        for step, x in shots:
            values.append(float(aim.objective(check_replayed(subject, x, aim.end))))
            caption = f"{aim.unit} after {step} steps: {values[-1]:.4g}"
            exhibits.append(Exhibit(f"step {step}", shown(x[0], subject.net), caption, numbers={"value": values[-1]}))
        note = f"the photo's value is {own:.4g}"
        inputs = torch.cat([x for _, x in shots]).cpu().numpy()
        yield (
            self.steps,
            Exhibition(tuple(exhibits), aim.layer, {"value": values[-1], "photo": own}, {"inputs": inputs}, (note,)),
        )


PROBE = ActivationMaximisation
