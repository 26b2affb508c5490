"""MaCo: an input with the frequencies of photos, whose phases alone are optimised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from convatlas.probes.activation._ascent import aim_of, check_replayed, climb_each, value_and_gradient
from convatlas.probes.activation._canvas import mixing, order_of
from convatlas.probes.activation._natural import spectrum
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import limits, shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

SOFT = 4
"""Pixels around each whose gradients are averaged for its opacity."""


@dataclass(frozen=True)
class Maco(Probe):
    """An input whose frequencies are as strong as those of photos; their phases are optimised, seen through crops.

    Where the steps changed the picture most, it is opaque: the rest did not matter to the net.

    Attributes:
        channel: Channel of the layer whose mean to maximise; None for the target's score.
        steps: Steps of the optimiser (Adam).
        rate: Length of a step, in radians.
        smallest: Smallest side of a crop, as a share.
        largest: Largest side of a crop.
        noise: Standard deviation of the noise on each crop, as a share of the range from black to white.
    """

    channel: int | None = None
    steps: int = 128
    rate: float = 0.2
    smallest: float = 0.3
    largest: float = 0.9
    noise: float = 0.05

    title = "Magnitude constrained optimisation (MaCo)"
    source = (
        'Fel et al. 2023, "Unlocking feature visualization for deeper networks with magnitude constrained optimization"'
    )
    formula = "argmax_φ f(F⁻¹(r e^{iφ})), with r the mean magnitude of photos; opacity Σ_steps |∇_x f|"
    shows = "What a class or channel looks for, in a picture with as much of each frequency as photos have."
    hides = "Shapes that need another balance of frequencies. The magnitudes are those of four photos."
    cost = "128 forward, 128 backward"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Climb the score of each target by the phases."""
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, ends=(False, True))
        check_number("smallest", self.smallest, 0, 1, ends=(False, True))
        check_number("largest", self.largest, self.smallest, 1)
        check_number("noise", self.noise)
        yield from climb_each(subject, self.steps, self._climb)

    def _climb(self, subject: Subject, target: int) -> Iterator[tuple[int, Exhibition | None]]:
        aim = aim_of(subject, target, self.channel)

        x, generator = subject.x, subject.generator()
        low, high = limits(x, subject.net)
        magnitude = magnitudes(subject)
        phase = torch.rand(magnitude.shape, generator=generator, dtype=torch.float64).to(x) * 2 * torch.pi - torch.pi
        phase.requires_grad_()
        optimiser = torch.optim.Adam([phase], self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps, self.rate / 20)
        mix = mixing(subject, True)

        def painted() -> Tensor:
            return low + (high - low) * of_phase(phase, magnitude, mix, subject.size)

        opacity = torch.zeros(subject.size).to(x)
        for step in range(1, self.steps + 1):
            share = self.smallest + (self.largest - self.smallest) * float(torch.rand((), generator=generator))
            shift = ((1 - share) * (2 * torch.rand(2, generator=generator) - 1)).tolist()
            noise = self.noise * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x) * (high - low)
            canvas = painted()
            leaf = canvas.detach().clone().requires_grad_()

            def image(
                leaf: Tensor = leaf, share: float = share, shift: list[float] = shift, noise: Tensor = noise
            ) -> tuple[Tensor, Tensor]:
                matrix = torch.tensor([[[share, 0, shift[0]], [0, share, shift[1]]]]).to(leaf)
                grid = affine_grid(matrix, list(leaf.shape), align_corners=False)
                crop = grid_sample(leaf, grid, padding_mode="reflection", align_corners=False)
                return crop + noise, leaf.new_zeros(())

            _, gradient = value_and_gradient(subject, aim.climbed, image, aim.objective, leaf)
            opacity += avg_pool2d(gradient.abs().sum(1), 2 * SOFT + 1, 1, SOFT)[0]
            with torch.enable_grad():
                (phase.grad,) = torch.autograd.grad(painted(), phase, -gradient)
            optimiser.step()
            schedule.step()
            yield step, None
        x = painted().detach()
        value = float(aim.objective(check_replayed(subject, x, aim.end)))
        own = float(aim.objective(subject.tape.values[aim.end]))
        alpha = (
            opacity / opacity.flatten().kthvalue(max(1, int(0.8 * opacity.numel()))).values.clamp(min=1e-30)
        ).clamp(max=1)
        grey = torch.full_like(x, 1.0) * high
        exhibits = (
            Exhibit("input", shown(x[0], subject.net), f"{aim.unit}: {value:.4g}", numbers={"value": value}),
            Exhibit(
                "opaque", shown((grey + alpha * (x - grey))[0], subject.net), "opaque where the gradient was large"
            ),
        )
        arrays = {"inputs": x.cpu().numpy(), "opacity": alpha.cpu().numpy()}
        yield (
            self.steps,
            Exhibition(
                exhibits, aim.layer, {"value": value, "photo": own}, arrays, (f"the photo's value is {own:.4g}",)
            ),
        )


def magnitudes(subject: Subject) -> Tensor:
    """The magnitude of each frequency of photos, (C, h, w // 2 + 1), in colours without correlation."""
    height, width = subject.size
    return torch.from_numpy(spectrum(height, width, subject.x.shape[1], order_of(subject))).to(subject.x)


def of_phase(phase: Tensor, magnitude: Tensor, mix: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture (1, C, h, w), from 0 (black) to 1, of phases and magnitudes (C, h, w // 2 + 1).

    Its values leave this range nowhere: they pass a sigmoid, with the slope of a photo's at grey.
    """
    pixels = torch.fft.irfft2(torch.polar(magnitude, phase), size, norm="ortho")[None]
    return torch.sigmoid(4 * torch.einsum("dc,nchw->ndhw", mix, pixels))


PROBE = Maco
