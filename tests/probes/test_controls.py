"""Controls know nothing of the net."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convatlas.probes.controls.centre_prior import CentrePrior
from convatlas.probes.controls.constant import Constant
from convatlas.probes.controls.input_magnitude import InputMagnitude
from convatlas.probes.controls.random import Random
from convatlas.probes.controls.sobel import Sobel
from convatlas.probes.probe import Probe
from tests.probes.additive import Additive, InNumpy, made, photo


@pytest.mark.parametrize("probe", [Sobel(), InputMagnitude(), CentrePrior(), Constant(), Random()], ids=type)
def test_controls_are_the_same_for_any_net(probe: Probe) -> None:
    x = photo()
    first, second = (made(net, x, probe) for net in (Additive((3, 8, 8)), InNumpy()))
    np.testing.assert_array_equal(first.values, second.values)
    assert (first.forwards, first.backwards) == (0, 0)
    assert first.map.shape == (8, 8)


def test_closed_forms() -> None:
    net, x = Additive((3, 8, 8)), photo()
    np.testing.assert_allclose(made(net, x, InputMagnitude()).map, x[0].abs().mean(0))
    assert (made(net, x, Constant()).map == 1).all()
    prior = made(net, x, CentrePrior(width=0.3)).map
    np.testing.assert_allclose(prior, prior[::-1, ::-1])
    assert prior[3, 4] == pytest.approx(np.exp(-2 * 0.0625**2 / (2 * 0.3**2)))
    ramp = torch.arange(8).double().expand(1, 3, 8, 8)
    assert (made(net, ramp.contiguous(), Sobel()).map[:, 1:-1] == 1).all()


def test_noise_is_standard_normal_and_follows_the_seed() -> None:
    from convatlas.probes.explain import explain

    net, x = Additive((3, 64, 64)), photo(3, 64, 64)
    maps = [explain(net, x, Random(), 0, seed=seed, device="cpu").map for seed in (0, 0, 1)]
    assert (maps[0] == maps[1]).all()
    assert abs(np.corrcoef(maps[0].ravel(), maps[2].ravel())[0, 1]) < 0.05
    assert maps[0].mean() == pytest.approx(0, abs=0.06)
    assert maps[0].std() == pytest.approx(1, abs=0.05)
    assert made(net, x, Random(cells=7)).map.shape == (7, 7)
