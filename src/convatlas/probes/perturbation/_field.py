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
        self.torus = 2 * h, 2 * w
        self.spectrum = torch.fft.rfft2(self.colours, s=self.torus).abs() / (h * w) ** 0.5
        self.covariance = torch.fft.irfft2(self.spectrum.square(), s=self.torus)
        self.low, self.high = x.amin((1, 2)), x.amax((1, 2))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Photos of the field, (count, C, h, w), as colours."""
        white = torch.randn(count, len(self.mean), *self.torus, generator=generator, dtype=torch.float64)
        drawn: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) * self.spectrum, s=self.torus)
        return drawn[:, :, : self.size[0], : self.size[1]]

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Covariance (C, n, m) of the colours at places (n, 2) and (m, 2), each a row and a column."""
        rows, columns = (first[:, None] - second).unbind(-1)
        result: Tensor = self.covariance[:, rows % self.torus[0], columns % self.torus[1]]
        return result

    def weights(self, inside: Tensor, around: Tensor) -> Tensor:
        """Weights (C, n, m) that colours at places `around`, (m, 2), have in the mean at places `inside`, (n, 2)."""
        nugget = NUGGET * self.covariance[:, 0, 0] + torch.finfo(torch.float64).tiny
        known = self.between(around, around) + nugget[:, None, None] * torch.eye(len(around), dtype=torch.float64)
        return torch.cholesky_solve(self.between(around, inside), torch.linalg.cholesky(known)).mT

    def pixels(self, colours: Tensor) -> Tensor:
        """Pixels (..., C, n) of colours (..., C, n), within the range of the photo."""
        pixels = torch.einsum("cd,...dn->...cn", self.rotation, colours) + self.mean[:, None]
        return torch.minimum(torch.maximum(pixels, self.low[:, None]), self.high[:, None])
