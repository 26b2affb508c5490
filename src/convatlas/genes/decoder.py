"""Decoders: reconstruct the photo from a few features, which the reconstruction error trains to describe it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convatlas.genes.gene import Gene, chain
from convatlas.genes.layers import Dense

HIDDEN = 512, 1024
"""Units of the two hidden layers of the published decoder."""


def _dense(
    features: int,
    photo: tuple[int, int, int],
    activate: Callable[[int], nn.Module],
    hidden: tuple[int, int] = HIDDEN,
) -> nn.Module:
    first, second = hidden
    channels, height, width = photo
    return chain(
        dense1=Dense(features, first),
        act1=activate(first),
        dense2=Dense(first, second),
        act2=activate(second),
        dense3=Dense(second, channels * height * width),
        logistic=nn.Sigmoid(),
        photo=nn.Unflatten(1, photo),
    )


GENES = (
    Gene(
        "decoder",
        "none",
        "-",
        "-",
        "0",
        "0",
        "-",
        lambda features, photo, activate, hidden=HIDDEN: nn.Identity(),
    ),
    Gene(
        "decoder",
        "dense",
        "logistic(W3 act(W2 act(W1 x))), 512 and 1024 hidden units",
        "(N,F) -> (N,C,H,W)",
        "512*F + 512 + 1024*512 + 1024 + 1024*C*H*W + C*H*W",
        "512*F + 1024*512 + 1024*C*H*W",
        "Sabour et al. 2017",
        _dense,
    ),
)
