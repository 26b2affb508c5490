"""Nets whose score of a photo is not its own: it changes with the others of its batch, or with random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.probes import Occlusion, Rise, SmoothGrad  # type: ignore[attr-defined]


class Small(nn.Module):
    """A net that does something to its batch first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def before(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.silu(self.first(self.before(x))).mean((2, 3)))


class Stretched(Small):
    """Divides by the largest number of the batch."""

    def before(self, x: Tensor) -> Tensor:
        return x / x.abs().max()


class Normalised(Small):
    """Normalises by the batch, in evaluation mode too."""

    def before(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


class Single(Small):
    """Takes one photo at a time."""

    def before(self, x: Tensor) -> Tensor:
        return x.reshape(1, 3, 8, 8)


class Dropping(Small):
    """Drops out in evaluation mode."""

    def before(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, training=True)


class Drawing(Small):
    """Draws random numbers that its score does not depend on."""

    def before(self, x: Tensor) -> Tensor:
        return x + 0 * torch.rand_like(x)


X = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
PROBES = [Occlusion(window=2), Rise(masks=40, cells=4), SmoothGrad(samples=6)]


@pytest.mark.parametrize("probe", PROBES, ids=str)
@pytest.mark.parametrize("kind", [Stretched, Normalised, Single])
def test_photos_of_a_batch_that_a_net_mixes_are_computed_alone(kind: type[Small], probe: object) -> None:
    net = kind()
    together = ca.explain(net, X, probe, 0)
    alone = ca.explain(net, X, probe, 0, memory=1)
    assert np.array_equal(together.map, alone.map)
    if kind is not Single or not isinstance(probe, SmoothGrad):
        assert "the net mixes the photos of a batch: each was computed alone" in together.notes
    assert not ca.explain(Small(), X, probe, 0).notes or isinstance(probe, Rise)


def test_an_engine_is_refused_for_a_net_that_mixes_the_photos_of_a_batch() -> None:
    with pytest.raises(ConvAtlasError, match="changes with the others of its batch"):
        ca.explain(ca.accelerate(Stretched(), engine="eager", input_shape=(3, 8, 8)), X, Occlusion(), 0)


@pytest.mark.parametrize("probe", ["grad_cam", "saliency", *PROBES], ids=str)
def test_a_net_that_draws_its_score_is_refused(probe: object) -> None:
    with pytest.raises(ConvAtlasError, match="random numbers"):
        ca.explain(Dropping(), X, probe, 0)
    assert ca.explain(Drawing(), X, probe, 0).map.any()
