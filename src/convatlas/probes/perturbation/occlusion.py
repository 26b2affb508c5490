"""Occlusion: what the score loses when a window of the photo is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
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
    cost = "one forward a window, 169 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Hide one window after the other."""
        height, width = subject.size
        side = self.window if self.window is not None else max(1, min(height, width) // 7)
        stride = self.stride if self.stride is not None else max(1, side // 2)
        if not 1 <= side <= min(height, width) or not 1 <= stride <= side:
            raise ConvAtlasError(
                f"a window has 1 to {min(height, width)} pixels, and a stride of 1 to its side; got {side} and {stride}"
            )
        windows = [(top, left) for top in starts(height, side, stride) for left in starts(width, side, stride)]
        total = torch.zeros(len(subject.targets), height, width, dtype=torch.float64)
        count = torch.zeros(height, width, dtype=torch.float64)

        def hidden(start: int, stop: int) -> Tensor:
            batch = subject.x.repeat(stop - start, 1, 1, 1)
            for row, (top, left) in zip(batch, windows[start:stop], strict=True):
                row[:, top : top + side, left : left + side] = subject.background[
                    0, :, top : top + side, left : left + side
                ]
            return batch

        for start, stop, scores in subject.stream(len(windows), hidden):
            for (top, left), score in zip(windows[start:stop], scores, strict=True):
                loss = subject.own_scores - score
                total[:, top : top + side, left : left + side] += loss[:, None, None]
                count[top : top + side, left : left + side] += 1
            yield stop, len(windows), None
        yield 1, 1, [Finding(each / count) for each in total]


def starts(length: int, side: int, stride: int) -> Sequence[int]:
    """First pixels of windows that together cover a side; the last window ends at its end."""
    result = list(range(0, length - side + 1, stride))
    if result[-1] != length - side:
        result.append(length - side)
    return result


PROBE = Occlusion
