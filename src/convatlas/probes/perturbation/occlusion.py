"""Occlusion: what the score loses when a window of the photo is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_whole
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Occlusion(Probe):
    """What the score loses when a window of the photo is replaced by the background.

    A pixel gets the average over all windows that hide it. Where windows do not overlap, the sum over windows is
    f(x) − f(b) for a net that adds up its pixels.

    Attributes:
        window: Side of the window in pixels of the input; by default a seventh of the shorter side.
        stride: Pixels from one window to the next; by default half a window.
    """

    window: int | None = None
    stride: int | None = None

    title = "Occlusion"
    source = 'Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks"'
    formula = "mean over windows W that hold the pixel of f(x) − f(x with W from the background)"
    shows = "Which parts of the photo the score needs."
    hides = (
        "Parts that stand in for each other: hiding one of two changes little. The background is part of the answer."
    )
    cost = "one forward a window; by default 169 for an input of 224 x 224 pixels, 225 for 32 x 32"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Hide one window after the other."""
        side, windows = windows_of(subject.size, self.window, self.stride)
        total = torch.zeros(len(subject.targets), *subject.size, dtype=torch.float64)
        count = torch.zeros(subject.size, dtype=torch.float64)

        def hidden(start: int, stop: int) -> Tensor:
            batch = subject.x.repeat(stop - start, 1, 1, 1)
            for row, (top, left) in zip(batch, windows[start:stop], strict=True):
                here = (..., slice(top, top + side), slice(left, left + side))
                row[here] = subject.background[0][here]
            return batch

        for start, stop, scores in subject.stream(len(windows), hidden):
            for (top, left), score in zip(windows[start:stop], scores, strict=True):
                loss = subject.own_scores - score
                total[:, top : top + side, left : left + side] += loss[:, None, None]
                count[top : top + side, left : left + side] += 1
            yield stop, len(windows), None
        yield 1, 1, [Finding(each / count) for each in total]


def windows_of(size: tuple[int, int], window: int | None, stride: int | None) -> tuple[int, list[tuple[int, int]]]:
    """Side of the windows that together cover an input, and the first row and column of each.

    Raises:
        ConvAtlasError: The window or the stride does not fit.
    """
    side = window if window is not None else max(1, min(size) // 7)
    check_whole("window", side, 1, min(size))
    step = stride if stride is not None else max(1, side // 2)
    check_whole("stride", step, 1, side)
    return side, [(top, left) for top in starts(size[0], side, step) for left in starts(size[1], side, step)]


def starts(length: int, side: int, stride: int) -> Sequence[int]:
    """First pixels of windows that together cover a side; the last window ends at its end."""
    result = list(range(0, length - side + 1, stride))
    if result[-1] != length - side:
        result.append(length - side)
    return result


PROBE = Occlusion
