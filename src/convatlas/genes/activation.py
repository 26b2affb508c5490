"""Elementwise activation functions, which the review calls transfer functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.gene import Gene, Maker
from convatlas.genes.label import Label


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3): LeCun's choice, with f(1) = 1 and f(-1) = -1 (LeCun et al. 1998, appendix A)."""

    label = Label("scaled tanh", "activation", "stanh")

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))  # (N, C, ...), same shape


class Gaussian(nn.Module):
    """exp(-x^2 / 2): the fuzzy Gaussian membership, centred at 0 with width 1; values in (0, 1]."""

    label = Label("Gaussian membership", "activation", "gaussian", "Gaussian")

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-0.5 * x * x)  # (N, C, ...), same shape


class Bell(nn.Module):
    """1 / (1 + x^4): the fuzzy generalized bell membership with a = 1, b = 2, c = 0; values in (0, 1]."""

    label = Label("bell membership", "activation", "bell", "bell")

    def forward(self, x: Tensor) -> Tensor:
        square = x * x
        return 1 / (1 + square * square)  # (N, C, ...), same shape


def _gene(
    name: str, formula: str, source: str, make: Maker, parameters: str = "0", aliases: tuple[str, ...] = ()
) -> Gene:
    return Gene("activation", name, formula, "same shape", parameters, "0", source, make, aliases)


GENES = (
    _gene("identity", "x", "-", lambda channels: nn.Identity(), aliases=("linear",)),
    _gene("logistic", "1 / (1 + exp(-x))", "Verhulst 1845", lambda channels: nn.Sigmoid(), aliases=("sigmoid",)),
    _gene("tanh", "tanh(x)", "-", lambda channels: nn.Tanh()),
    _gene("scaled_tanh", "1.7159 tanh(2x / 3)", "LeCun et al. 1998", lambda channels: ScaledTanh()),
    _gene("relu", "max(x, 0)", "Fukushima 1969; Nair & Hinton 2010", lambda channels: nn.ReLU()),
    _gene("relu6", "min(max(x, 0), 6)", "Krizhevsky 2010", lambda channels: nn.ReLU6()),
    _gene("leaky", "max(x, 0.01 x)", "Maas et al. 2013", lambda channels: nn.LeakyReLU(0.01), aliases=("leaky_relu",)),
    _gene("leaky_darknet", "max(x, 0.1 x)", "Redmon et al. 2016, eq. 2", lambda channels: nn.LeakyReLU(0.1)),
    _gene("prelu", "max(x, 0) + a_c min(x, 0), a learned", "He et al. 2015", lambda channels: nn.PReLU(channels), "C"),
    _gene("elu", "x if x > 0 else exp(x) - 1", "Clevert et al. 2016", lambda channels: nn.ELU()),
    _gene(
        "selu",
        "1.0507 (x if x > 0 else 1.6733 (exp(x) - 1))",
        "Klambauer et al. 2017",
        lambda channels: nn.SELU(),
    ),
    _gene("gelu", "x Phi(x), exact (erf)", "Hendrycks & Gimpel 2016", lambda channels: nn.GELU()),
    _gene("silu", "x / (1 + exp(-x))", "Elfwing et al. 2017", lambda channels: nn.SiLU(), aliases=("swish",)),
    _gene("hard_swish", "x min(max(x + 3, 0), 6) / 6", "Howard et al. 2019", lambda channels: nn.Hardswish()),
    _gene("mish", "x tanh(ln(1 + exp(x)))", "Misra 2019", lambda channels: nn.Mish()),
    _gene("softplus", "ln(1 + exp(x))", "Dugas et al. 2001", lambda channels: nn.Softplus()),
    _gene(
        "gaussian", "exp(-x^2 / 2): fuzzy membership", "Zadeh 1965; Moody & Darken 1989", lambda channels: Gaussian()
    ),
    _gene("bell", "1 / (1 + x^4): fuzzy membership", "Jang 1993", lambda channels: Bell()),
)
