"""KPCA-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.cam._components import signed
from convatlas.probes.checks import check_number
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

KERNELS = ("rbf", "sigmoid", "linear")


@dataclass(frozen=True)
class KpcaCam(Probe):
    """The first kernel principal component of a layer's maps, whatever the target.

    Attributes:
        kernel: "rbf", "sigmoid" or "linear".
        gamma: Scale of the kernel; by default 1 / number of channels, for maps of unit variance.
    """

    kernel: str = "sigmoid"
    gamma: float | None = None

    title = "KPCA-CAM"
    source = 'Karmani et al. 2024, "KPCA-CAM: visual explainability of deep computer vision models using kernel PCA"'
    formula = "first principal component of the places of A under a kernel, each channel centred before"
    shows = "Where the layer's strongest pattern lies, curved ones too."
    hides = "The class: the target is not asked for. The sign is that of the mean map."
    cost = "1 forward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Decompose the maps of the chosen layer."""
        if self.kernel not in KERNELS:
            raise unknown("kernel", self.kernel, KERNELS)
        if self.gamma is not None:
            check_number("gamma", self.gamma, ends=(False, True))
        name, index = subject.place
        maps = subject.tape.values[index][0]
        channels, height, width = maps.shape
        if height * width > 16_384:
            raise ConvAtlasError(f"{name} has {height * width} places; kernels are computed for up to 16384")
        rows = maps.reshape(channels, -1).T.double()
        deviation = float(rows.std())
        scaled = (rows - rows.mean(0)) / (deviation if deviation > 0 else 1)
        gamma = self.gamma if self.gamma is not None else 1 / channels
        products = scaled @ scaled.T
        if self.kernel == "rbf":
            squares = products.diagonal()
            products = torch.exp(-gamma * (squares[:, None] + squares[None, :] - 2 * products).clamp(min=0))
        elif self.kernel == "sigmoid":
            products = torch.tanh(gamma * products + 1)
        centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
        strengths, vectors = torch.linalg.eigh(centred)
        projected = vectors[:, -1] * strengths[-1].clamp(min=0).sqrt()
        values = signed(projected, rows).view(height, width).to(maps)
        yield 1, 1, [Finding(values, name) for _ in subject.targets]


PROBE = KpcaCam
