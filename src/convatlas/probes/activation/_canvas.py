"""Images that an optimiser paints: by their frequencies or pixels, in correlated or plain colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from convatlas.probes.activation._natural import colours
from convatlas.probes.photos import limits, preprocessing_of
from convatlas.probes.subject import Subject

SHARPEST = 1e-3
"""Smallest distance of a pixel from black and white, where their logarithm is taken."""

DAMPED = 0.25
"""Factor of all frequencies, which sets how far one step of the optimiser goes."""


def order_of(subject: Subject) -> str:
    """Order of the channels of a net's input: "bgr", or "rgb", also if it is unknown."""
    preprocessing = preprocessing_of(subject.net)
    return "bgr" if preprocessing is not None and preprocessing.order == "bgr" else "rgb"


def mixing(subject: Subject, decorrelated: bool) -> Tensor:
    """The matrix from channels without correlation to those of the net's input, (C, C)."""
    channels = subject.x.shape[1]
    matrix = colours(channels, order_of(subject)) if decorrelated else torch.eye(channels).numpy()
    return torch.from_numpy(matrix).to(subject.x)


@dataclass
class Canvas:
    """An image with the parameters that an optimiser changes.

    Attributes:
        low: Input of a black photo, (1, C, 1, 1).
        high: Input of a white one.
        mix: Matrix from the channels of the parameters to those of the image, (C, C).
        scale: Factor of each frequency, (h, w // 2 + 1); None if the parameters are pixels.
        size: Height and width.
        parameter: What is optimised.
    """

    low: Tensor
    high: Tensor
    mix: Tensor
    scale: Tensor | None
    size: tuple[int, int]
    parameter: Tensor

    @classmethod
    def like(
        cls, subject: Subject, fourier: bool = True, decorrelated: bool = True, start: Tensor | None = None
    ) -> Canvas:
        """A canvas for a subject's net.

        Args:
            subject: The subject.
            fourier: Whether the parameters are frequencies, the low ones with the larger factors, or pixels.
            decorrelated: Whether the colours are correlated as those of photos.
            start: Input (1, C, h, w) to begin with; by default noise around grey.
        """
        low, high = limits(subject.x, subject.net)
        mix, scale = mixing(subject, decorrelated), None
        height, width = subject.size
        shape = subject.x.shape
        if fourier:
            frequencies = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :])
            scale = (DAMPED / frequencies.clamp(min=1 / max(height, width))).to(subject.x)
        canvas = cls(low, high, mix, scale, (height, width), torch.zeros(shape).to(subject.x))
        noise = torch.randn(shape, generator=subject.generator(), dtype=torch.float64).to(subject.x)
        if start is None and scale is None:
            canvas.parameter = (low + high) / 2 + 0.01 * (high - low) * noise
        elif start is None:
            canvas.parameter = 0.01 * torch.view_as_real(torch.fft.rfft2(noise, norm="ortho"))
        else:
            canvas.parameter = canvas._parameters(start)
        canvas.parameter = canvas.parameter.detach().clone().requires_grad_()
        return canvas

    def image(self) -> Tensor:
        """The image as an input of the net, (1, C, h, w)."""
        if self.scale is None:
            return self.parameter
        pixels = torch.fft.irfft2(torch.view_as_complex(self.parameter) * self.scale, self.size, norm="ortho")
        return self.low + (self.high - self.low) * torch.sigmoid(torch.einsum("dc,nchw->ndhw", self.mix, pixels))

    def settle(self) -> None:
        """Keep pixels between black and white."""
        if self.scale is None:
            with torch.no_grad():
                self.parameter.copy_(self.parameter.maximum(self.low).minimum(self.high))

    def _parameters(self, x: Tensor) -> Tensor:
        """The parameters of an input."""
        if self.scale is None:
            return x
        share = ((x - self.low) / (self.high - self.low)).clamp(SHARPEST, 1 - SHARPEST)
        pixels = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(self.mix), torch.logit(share))
        return torch.view_as_real(torch.fft.rfft2(pixels, norm="ortho") / self.scale)


def seen_from(image: Tensor, generator: torch.Generator, jitter: float, zoom: float, turn: float) -> Tensor:
    """An image (1, C, h, w) moved, resized and turned at random; it is mirrored at its borders.

    Args:
        image: The image.
        generator: Source of random numbers.
        jitter: Largest shift as a share of a side.
        zoom: Largest change of size as a share.
        turn: Largest angle in degrees.
    """
    if jitter == zoom == turn == 0:
        return image
    shift_x, shift_y, size, angle = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
    scale, radians = 1 + zoom * size, torch.tensor(turn * angle).deg2rad()
    cos, sin = float(radians.cos()) / scale, float(radians.sin()) / scale
    height, width = image.shape[2:]
    # Along the axes of the grid, which run from -1 to 1 on both sides.
    matrix = [
        [cos, -sin * height / width, 2 * jitter * shift_x],
        [sin * width / height, cos, 2 * jitter * shift_y],
    ]
    grid = affine_grid(torch.tensor([matrix]).to(image), list(image.shape), align_corners=False)
    return grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def variation(image: Tensor, power: float = 2.0) -> Tensor:
    """Total variation of an image (1, C, h, w): the mean of (Δ_x² + Δ_y²)^(β/2), smooth at 0."""
    down = image[:, :, 1:, :-1] - image[:, :, :-1, :-1]
    across = image[:, :, :-1, 1:] - image[:, :, :-1, :-1]
    return ((down.square() + across.square() + 1e-8) ** (power / 2)).mean()
