"""Gradients at noisy copies of the photo."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.subject import Subject

GRADIENT_BATCH = 4
"""Copies in a batch, or fewer if what the net computes for them takes more than the memory."""


def noisy_gradients(subject: Subject, samples: int, noise: float) -> Iterator[tuple[int, Tensor]]:
    """Gradients at copies of the photo with Gaussian noise.

    Args:
        subject: The subject.
        samples: Number of copies.
        noise: Standard deviation of the noise, as a share of the range of the input.

    Yields:
        Copies so far, and gradients of each target, (T, n, C, h, w).
    """
    check_whole("samples", samples, 1, 100_000)
    check_number("noise", noise, 0, 10)
    x = subject.x
    deviation = noise * float(x.max() - x.min())
    generator = subject.generator()
    for start in range(0, samples, GRADIENT_BATCH):
        count = min(GRADIENT_BATCH, samples - start)
        step = torch.randn(count, *x.shape[1:], generator=generator, dtype=torch.float64).to(x)
        yield start + count, subject.gradients(x + deviation * step)
