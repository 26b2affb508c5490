"""Masks that are learned: the ways back from a score to the cells of a mask."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from convatlas.probes.perturbation._masks import between_cells, blend
from convatlas.probes.subject import Subject

FEWEST_CELLS = 7
"""Fewest cells along a side by default, where the input has as many pixels."""


def default_cells(size: tuple[int, int], pixels: int) -> int:
    """Cells of a learned mask along each side, of a number of pixels each, where none are chosen."""
    return min(*size, max(FEWEST_CELLS, min(size) // pixels))


class Jitter:
    """Moves masks against the photo at random, so that no mask lives on how the two meet at single pixels."""

    def __init__(self, pixels: int, generator: torch.Generator):
        self.pixels, self.generator = pixels, generator

    def __call__(self, masks: Tensor) -> Tensor:
        """Masks (n, h, w) moved by up to the number of pixels; what is beyond their edges is as at the edge."""
        if not self.pixels:
            return masks
        height, width = masks.shape[1:]
        y, x = torch.randint(2 * self.pixels + 1, (2,), generator=self.generator).tolist()
        wide = pad(masks[:, None], (self.pixels,) * 4, "replicate")[:, 0]
        return wide[:, y : y + height, x : x + width]


def scores_through(
    subject: Subject, grids: Tensor, target: int, move: Callable[[Tensor], Tensor] = lambda masks: masks
) -> tuple[Tensor, Tensor]:
    """Scores of the photo seen through masks, and their gradients.

    Args:
        subject: What is explained; its gradient is certified first.
        grids: Cells of the masks, (n, rows, columns).
        target: Number of the target.
        move: Changes the masks (n, h, w) before they are used.

    Returns:
        The scores (n,), and the gradient of each by the cells of its own mask, (n, rows, columns).
    """
    _ = subject.tape
    scores, gradients = [], []
    for few in torch.split(grids, subject.batch):
        with torch.enable_grad():
            leaf = few.detach().clone().requires_grad_()
            inputs = blend(subject, move(between_cells(leaf, subject.size)))
        tape = subject.tape_of(inputs.detach())
        back = subject.back(tape, [tape.photo], target)[tape.photo]
        scores.append(tape.values[tape.output][:, target])
        gradients.append(torch.autograd.grad(inputs, leaf, back)[0])
    return torch.cat(scores).detach(), torch.cat(gradients)
