"""Paths to the photo, and the gradient summed along them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from convatlas.probes.gradient._noise import GRADIENT_BATCH
from convatlas.probes.subject import Subject

Walk = Iterator[tuple[int, Tensor]]
"""Steps done, and what the last ones add to the integral, (C, h, w)."""

BLUR = 0.25
"""Standard deviation of the blur at the start of its path, as a share of the input's longer side."""

SHARE = 0.1
"""Share of the waiting pixels that the guided path moves at a time."""

LEAD = 0.02
"""How far a pixel of the guided path may be from the straight one, as a share of its way."""


def straight(subject: Subject, target: int, steps: int) -> Walk:
    """Walk on a line from the background, with the points and weights of Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    x, background = subject.x, subject.background
    for start in range(0, steps, GRADIENT_BATCH):
        t = torch.from_numpy((nodes[start : start + GRADIENT_BATCH] + 1) / 2).to(x).view(-1, 1, 1, 1)
        w = torch.from_numpy(weights[start : start + GRADIENT_BATCH] / 2).to(x).view(-1, 1, 1, 1)
        gradients = subject.gradients(background + t * (x - background), [target])[0]
        yield start + len(t), ((w * gradients).sum(0) * (x - background)[0])


def blurred(subject: Subject, target: int, steps: int) -> Walk:
    """Walk from a blurred photo to the sharp one; each step is a line between two of them, taken at its middle."""
    x = subject.x
    deviations = BLUR * max(subject.size) * (1 - np.arange(steps + 1) / steps) ** 2
    last = _blur(x, float(deviations[0]))
    for start in range(0, steps, GRADIENT_BATCH):
        stop = min(start + GRADIENT_BATCH, steps)
        points = torch.cat([last, *(_blur(x, float(each)) for each in deviations[start + 1 : stop + 1])])
        before, after, last = points[:-1], points[1:], points[-1:].clone()
        gradients = subject.gradients((before + after) / 2, [target])[0]
        yield stop, (gradients * (after - before)).sum(0)


def guided(subject: Subject, target: int, steps: int) -> Walk:
    """Walk from the background by those pixels first at which the gradient is smallest.

    After each step the distance to the photo (its L1 norm) has fallen by the same amount, and no pixel is further than
    `LEAD` ahead of the straight line, or behind it.
    """
    background = subject.background
    difference = subject.x - background
    weight = difference.abs()
    whole = float(weight.sum())
    progress = torch.zeros_like(difference)
    gradient = subject.gradients(background, [target])[0]
    for step in range(steps):
        time = (step + 1) / steps
        low, high = max(0.0, time - LEAD), min(1.0, time + LEAD)
        after = progress.clamp(min=low)
        while (missing := time * whole - float((after * weight).sum())) > 1e-9 * whole:
            waiting = (after < high) & (weight > 0)
            if not bool(waiting.any()):
                break
            sizes = gradient[waiting].abs()
            bound = sizes.kthvalue(max(1, int(SHARE * len(sizes)))).values
            chosen = waiting & (gradient.abs() <= bound)
            room = float((((high - after) * weight) * chosen).sum())
            after = torch.where(chosen, after + min(1.0, missing / room) * (high - after), after)
            if missing >= room:
                after = torch.where(chosen, high, after)
        following = subject.gradients(background + after * difference, [target])[0]
        yield step + 1, ((gradient + following) / 2 * (after - progress) * difference)[0]
        progress, gradient = after, following


def most_blurred(x: Tensor) -> Tensor:
    """The photo at the start of the path of blurring."""
    return _blur(x, BLUR * max(x.shape[2:]))


def _blur(x: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur with reflected borders, computed along both sides as a matrix."""
    if deviation < 1e-3:
        return x
    rows, columns = (_blur_matrix(side, deviation).to(x) for side in x.shape[2:])
    return rows @ x @ columns.mT


def _blur_matrix(side: int, deviation: float) -> Tensor:
    """Weights (side, side) with which each pixel of a line takes up the others; each row sums to 1."""
    reach = int(4 * deviation) + 1
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets.double() ** 2) / (2 * deviation**2))
    positions = (torch.arange(side)[:, None] + offsets[None, :]) % (2 * side)
    mirrored = torch.where(positions >= side, 2 * side - 1 - positions, positions)
    matrix = torch.zeros(side, side, dtype=torch.float64).scatter_add(1, mirrored, weights.expand(side, -1))
    return matrix / matrix.sum(1, keepdim=True)
