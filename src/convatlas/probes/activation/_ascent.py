"""Climb a function of a layer's maps: its gradient at inputs, through the certified tape of a net."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.arguments import argument
from convatlas.probes.certificate import RESIDUAL
from convatlas.probes.gallery.gallery import Exhibition
from convatlas.probes.layers import LAST
from convatlas.probes.probe import Findings
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import run_tail
from convatlas.probes.tape.tape import Tape

Objective = Callable[[Tensor], Tensor]
"""Function of what a tensor of the tape holds, (1, …): a number to climb."""

RECTIFIERS = frozenset(["relu", "relu_", "clamp", "clamp_min", "hardtanh", "threshold"])
"""Functions that are flat where a unit is silent."""


def value_and_gradient(
    subject: Subject, end: int, image: Callable[[], tuple[Tensor, Tensor]], objective: Objective, parameter: Tensor
) -> tuple[float, Tensor]:
    """The objective at an image, and its gradient at the parameters of the image.

    Args:
        subject: The subject, whose certified tape is run again.
        end: Index on the tape of what the objective is of.
        image: Function without arguments that returns the input (1, C, h, w), and a number to add to the objective.
        objective: What to climb.
        parameter: The parameters of the image.
    """
    tape = subject.tape
    subject.forwards += 1
    subject.backwards += 1
    with torch.inference_mode(False), torch.enable_grad():
        x, bonus = image()
        value = objective(run_tail(tape, tape.photo, x, end))
        (gradient,) = torch.autograd.grad(value + bonus, parameter)
    if not bool(torch.isfinite(gradient).all()):
        raise ConvAtlasError("the gradient is not finite: lower the rate, or take another layer or target")
    return float(value.detach()), gradient


def check_replayed(subject: Subject, x: Tensor, end: int) -> Tensor:
    """Return what the net itself computes for an input that was reached on the tape of another.

    Raises:
        ConvAtlasError: The net takes another way for it than for the photo, so that the tape is not the net.
    """
    tape = subject.tape_of(x)
    replayed = run_tail(subject.tape, subject.tape.photo, x, end)
    # A net that goes the same way writes the same tape.
    net = tape.values[end] if len(tape.values) == len(subject.tape.values) else replayed.new_zeros(())
    scale = max(float(net.abs().max()), 1e-12) if net.numel() else 1.0
    if net.shape != replayed.shape or float((net - replayed).abs().max()) > 100 * RESIDUAL.get(x.dtype, 1e-5) * scale:
        raise ConvAtlasError(
            "this net computes in another way for other inputs, which no picture can be optimised through; use a probe "
            "of scores (occlusion, rise)"
        )
    return net


def before_rectifier(tape: Tape, index: int) -> int:
    """Index of what a rectifier made a tensor of, if one did: where a unit is silent, only that has a gradient."""
    producer = tape.producers().get(index)
    if producer is None or producer.name not in RECTIFIERS:
        return index
    source = producer.inputs[0]
    return source if tape.depends[source] and tape.values[source].shape == tape.values[index].shape else index


def channel_of(subject: Subject, channel: object) -> tuple[str, int, int]:
    """Name and index on the tape of the chosen layer, and the number of a channel of it.

    Raises:
        ConvAtlasError: The layer has no such channel.
    """
    name, index = subject.place
    count = subject.tape.values[index].shape[1]
    if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < count:
        raise ConvAtlasError(f"{name} has channels 0 to {count - 1}; got {channel!r:.40}")
    return name, index, channel


def climb_each(
    subject: Subject, steps: int, climb: Callable[[Subject, int], Iterator[tuple[int, Exhibition | None]]]
) -> Findings:
    """Run an ascent of so many steps for each target, with progress over all of them."""
    results = []
    for k in range(len(subject.targets)):
        exhibition = None
        for step, exhibition in climb(subject, k):  # noqa: B007 - the last one counts
            yield k * steps + step, len(subject.targets) * steps, None
        assert exhibition is not None
        results.append(exhibition)
    yield 1, 1, results


@dataclass(frozen=True)
class Aim:
    """What an ascent climbs.

    Attributes:
        unit: The target or the channel, in words.
        layer: Name of the layer; None for the target's score.
        end: Index on the tape of what the objective is of.
        climbed: Index of what is climbed in its place: before the rectifier, where silent units have a gradient.
        objective: Function of either: the score, or the channel's mean.
    """

    unit: str
    layer: str | None
    end: int
    climbed: int
    objective: Objective


def aim_of(subject: Subject, target: int, channel: int | None) -> Aim:
    """Return the aim for a target's score, or for a channel of the chosen layer.

    Raises:
        ConvAtlasError: The layer has no such channel, or a layer is chosen without a channel.
    """
    if channel is None and subject.layer not in (None, LAST):
        raise ConvAtlasError(
            f"without a channel the score is climbed, which has no layer: leave out {argument('layer')}, or in Python "
            "pass a channel, such as Maco(channel=0)"
        )
    if channel is None:
        end = subject.tape.output
        return Aim(subject.targets[target].name, None, end, end, lambda value: value[0, target])
    name, end, number = channel_of(subject, channel)
    climbed = before_rectifier(subject.tape, end)
    return Aim(f"channel {number} of {name}", name, end, climbed, lambda value: value[0, number].mean())
