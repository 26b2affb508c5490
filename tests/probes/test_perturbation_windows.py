"""Occlusion and prediction difference against closed forms."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from convatlas.probes.concept.craft import Craft, crops_of
from convatlas.probes.perturbation._field import NUGGET, Field
from convatlas.probes.perturbation.occlusion import Occlusion, starts, windows_of
from convatlas.probes.perturbation.prediction_difference import PredictionDifference
from tests.probes.additive import Additive, made, photo
from tests.probes.nets import Functional


def test_a_window_of_occlusion_is_worth_its_pixels_and_windows_sum_to_the_difference() -> None:
    net, x, b = Additive((3, 8, 12)), photo(width=12), photo(width=12, seed=2)
    found = made(net, x, Occlusion(window=4, stride=4), b).map
    windows = net.shares(x, b).unflatten(0, (2, 4)).unflatten(2, (3, 4)).sum((1, 3))
    np.testing.assert_allclose(found[::4, ::4], windows, atol=1e-12)
    assert (found == np.kron(found[::4, ::4], np.ones((4, 4)))).all()
    assert windows.sum().item() == pytest.approx((net(x) - net(b))[0, 0].item(), abs=1e-12)


def test_a_pixel_gets_the_mean_of_the_windows_that_hide_it() -> None:
    net, x, b = Additive((3, 8, 12)), photo(width=12), photo(width=12, seed=2)
    found = made(net, x, Occlusion(window=3, stride=2), b).map
    shares = net.shares(x, b)
    total, count = torch.zeros(8, 12).double(), torch.zeros(8, 12).double()
    for top in (0, 2, 4, 5):
        for left in (0, 2, 4, 6, 8, 9):
            total[top : top + 3, left : left + 3] += shares[top : top + 3, left : left + 3].sum()
            count[top : top + 3, left : left + 3] += 1
    np.testing.assert_allclose(found, total / count, atol=1e-12)


def test_captum_finds_the_same() -> None:
    """Corner of captum 0.9.0, `Occlusion(net).attribute(x, (3, 2, 2), (3, 4, 4), target=2, baselines=0)`, in float32.

    Where a stride does not divide the photo captum cuts the last windows off, and ours lie within it.
    """
    captum = [
        [0.017573353, 0.017573353, 0.008944428],
        [0.017573353, 0.017573353, 0.008944428],
        [0.005088585, 0.005088585, 0.0014603611],
    ]
    torch.manual_seed(0)
    found = made(Functional().eval().double(), photo(3, 12, 12), Occlusion(window=4, stride=2), target=2)
    np.testing.assert_allclose(found.map[:3, :3], captum, atol=1e-8)


@pytest.mark.parametrize(("length", "side", "stride"), [(7, 3, 3), (7, 7, 2), (5, 1, 1), (9, 4, 3)])
def test_windows_cover_every_pixel_and_end_at_the_end(length: int, side: int, stride: int) -> None:
    covered = {pixel for start in starts(length, side, stride) for pixel in range(start, start + side)}
    assert covered == set(range(length))


def dense_covariance(x: Tensor) -> Tensor:
    """Covariance of all pixels of a grey photo (h, w), from its autocovariance by its definition."""
    h, w = x.shape
    centred = x - x.mean()
    places = torch.cartesian_prod(torch.arange(h), torch.arange(w))
    result = torch.zeros(h * w, h * w, dtype=x.dtype)
    for i, (a, b) in enumerate(places.tolist()):
        for j, (c, d) in enumerate(places.tolist()):
            dy, dx = abs(a - c), b - d if a >= c else d - b
            one, other = (
                (centred[dy:, dx:], centred[: h - dy, : w - dx])
                if dx >= 0
                else (
                    centred[dy:, :dx],
                    centred[: h - dy, -dx:],
                )
            )
            result[i, j] = (one * other).sum() / (h * w)
    return result


def test_weights_are_those_of_the_gaussian_given_what_is_around() -> None:
    x = photo(1, 6, 6)
    field = Field(x[0])
    places = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    hidden = ((places >= 2) & (places < 4)).all(1)
    weights = field.weights(places[hidden], places[~hidden])
    joint = dense_covariance(x[0, 0])
    np.testing.assert_allclose(field.between(places, places)[0], joint, atol=1e-12)
    joint += NUGGET * joint[0, 0] * torch.eye(36)
    expected = torch.linalg.solve(joint[~hidden][:, ~hidden], joint[~hidden][:, hidden]).mT
    np.testing.assert_allclose(weights[0], expected, atol=1e-9)


def test_free_drawings_have_the_photo_s_covariance() -> None:
    x = photo(1, 6, 6)
    field = Field(x[0])
    drawn = field.draw(20000, torch.Generator().manual_seed(0)).flatten(1)
    joint = dense_covariance(x[0, 0])
    error = joint[0, 0] * (2 / 20000) ** 0.5
    np.testing.assert_allclose(drawn.mT @ drawn / 20000, joint, atol=4.5 * error)


def test_colours_are_rotated_back() -> None:
    x = photo(3, 6, 8)
    field = Field(x[0])
    np.testing.assert_allclose(field.pixels(field.colours.flatten(1)), x[0].flatten(1), atol=1e-12)


def test_the_mean_loss_is_that_of_the_conditional_mean() -> None:
    net, x = Additive((1, 8, 8)), photo(1)
    found = made(net, x, PredictionDifference(window=4, stride=4, ring=2, samples=500))
    field = Field(x[0])
    # No sample is cut off at the photo's range, so that the mean stays that of the Gaussian.
    steps = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    around = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    around = around[(around >= 4).any(1)]
    weights = field.weights(steps, around)
    mean = field.mean[0] + field.rotation[0, 0] * (weights[0] @ field.colours[0, around[:, 0], around[:, 1]])
    filled = x.clone()
    filled[0, 0, :4, :4] = mean.clamp(x.min(), x.max()).reshape(4, 4)
    expected = net.shares(x, filled).sum().item()
    assert found.standard_error is not None
    assert found.map[0, 0] == pytest.approx(expected, abs=5 * found.standard_error[0, 0])
    assert abs(expected) > 10 * found.standard_error[0, 0]


def test_what_the_surroundings_tell_costs_nothing() -> None:
    wave = torch.sin(torch.arange(24).double() * 2 * torch.pi / 6)
    x = (wave[:, None] + 0 * wave).expand(1, 1, 24, 24).contiguous()
    net = Additive((1, 24, 24))
    guessed = made(net, x, PredictionDifference(window=4, stride=4, ring=4, samples=8))
    hidden = made(net, x, Occlusion(window=4, stride=4))
    middle = (slice(8, 16), slice(8, 16))
    assert np.abs(guessed.map[middle]).mean() < 0.2 * np.abs(hidden.map[middle]).mean()


def test_a_constant_photo_loses_nothing() -> None:
    x = torch.full((1, 3, 8, 8), 0.7).double()
    found = made(Additive((3, 8, 8)), x, PredictionDifference(window=4, samples=2))
    np.testing.assert_allclose(found.map, 0, atol=1e-9)


def test_the_weight_of_evidence_compares_odds() -> None:
    x = photo(1) / 10
    net = Additive((1, 8, 8))
    found = made(net, x, PredictionDifference(window=8, samples=50, ring=1, evidence=True), target="probability:0")
    plain = made(net, x, PredictionDifference(window=8, samples=50, ring=1), target="probability:0")
    assert 0.01 < plain.score < 0.99
    before, after = plain.score, plain.score - plain.map[0, 0]
    assert found.map[0, 0] == pytest.approx(np.log2(before / (1 - before)) - np.log2(after / (1 - after)), abs=1e-9)


def test_costs_that_depend_on_the_input_are_those_of_its_size() -> None:
    for side in (224, 32):
        count = len(windows_of((side, side), None, None)[1])
        crops = len(crops_of(torch.zeros(1, side, side), Craft().crop, Craft().stride))
        for cost, number in (
            (Occlusion.cost, count),
            (PredictionDifference.cost, count * PredictionDifference().samples),
            (Craft.cost, crops),
        ):
            assert str(number) in re.findall(r"\d+", cost), (cost, side)
    assert f"{Craft().designs * (Craft().factors + 1)} runs" in Craft.cost
