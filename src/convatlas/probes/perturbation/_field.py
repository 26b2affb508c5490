"""A photo as a random field, from which hidden pixels are drawn given the pixels around them."""

from __future__ import annotations

import torch
from torch import Tensor

NUGGET = 1e-6
"""Variance of single pixels on top of the field's, relative to it: it keeps the equations solvable."""


class Field:
    """A stationary Gaussian field with the mean colour, the covariance of channels and the autocovariance of a photo.

    Channels are rotated to the photo's principal colours, which are independent of each other.
    """

    def __init__(self, x: Tensor):
        """Measure a photo (C, h, w)."""
        x = x.detach().cpu().double()
        self.size = h, w = x.shape[1:]
        self.mean = x.mean((1, 2))
        centred = x - self.mean[:, None, None]
        _, self.rotation = torch.linalg.eigh(torch.einsum("chw,dhw->cd", centred, centred))
        self.colours = torch.einsum("cd,chw->dhw", self.rotation, centred)
        # Padded to twice its size, so that opposite edges are no neighbours; divided by all pixels, so that the
        # covariance stays positive.
        spectrum = torch.fft.rfft2(self.colours, s=(2 * h, 2 * w)).abs().square()
        self.covariance = torch.fft.irfft2(spectrum, s=(2 * h, 2 * w)) / (h * w)
        self.low, self.high = x.amin((1, 2)), x.amax((1, 2))

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Covariance (C, n, m) of the colours at places (n, 2) and (m, 2), each a row and a column."""
        rows, columns = (first[:, None] - second).unbind(-1)
        found: Tensor = self.covariance[:, rows % (2 * self.size[0]), columns % (2 * self.size[1])]
        return found

    def given(self, inside: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
        """How pixels inside follow from those around them.

        Args:
            inside: Places of the hidden pixels, (n, 2).
            around: Places of the known pixels, (m, 2).

        Returns:
            Weights of the known pixels in the conditional mean, (C, n, m), and a square root of the conditional
            covariance, (C, n, n).
        """
        variance = self.covariance[:, 0, 0]
        nugget = (NUGGET * variance + torch.finfo(torch.float64).tiny)[:, None, None]
        known = self.between(around, around) + nugget * torch.eye(len(around), dtype=torch.float64)
        cross = self.between(around, inside)
        weights = torch.cholesky_solve(cross, torch.linalg.cholesky(known)).mT
        left = self.between(inside, inside) - weights @ cross
        left = left + nugget * torch.eye(len(inside), dtype=torch.float64)
        return weights, torch.linalg.cholesky(left)

    def values(self, colours: Tensor) -> Tensor:
        """Pixels (..., C, n) of colours (..., C, n), within the range of the photo."""
        pixels = torch.einsum("cd,...dn->...cn", self.rotation, colours) + self.mean[:, None]
        return torch.minimum(torch.maximum(pixels, self.low[:, None]), self.high[:, None])
