"""Perturbation probes and controls do not depend on what must not matter, and refuse settings that make no sense."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes import subject
from convatlas.probes.explain import explain
from convatlas.probes.perturbation.extremal_perturbation import ExtremalPerturbation
from convatlas.probes.perturbation.hsic import Hsic
from convatlas.probes.perturbation.lime import Lime
from convatlas.probes.perturbation.meaningful_perturbation import MeaningfulPerturbation
from convatlas.probes.perturbation.occlusion import Occlusion
from convatlas.probes.perturbation.prediction_difference import PredictionDifference
from convatlas.probes.perturbation.rise import Rise
from convatlas.probes.perturbation.shapley import Shapley
from convatlas.probes.perturbation.sobol import Sobol
from convatlas.probes.perturbation.wavelet_attribution import WaveletAttribution
from convatlas.probes.probe import Probe
from convatlas.probes.registry import FAMILIES, all_probes
from tests.probes.additive import InNumpy, photo
from tests.probes.nets import Functional

OF_SCORES: list[Probe] = [
    Occlusion(window=4, stride=3),
    PredictionDifference(window=6, ring=2, samples=2),
    Lime(players=6, samples=40),
    Shapley(players=4, method="exact"),
    Shapley(players=6, method="permutation", budget=50),
    Shapley(players=6, regions="grid", method="kernel", budget=40),
    Rise(masks=300, cells=3, tolerance=0.5),
    Rise(masks=40, cells=3, estimator="mean"),
    Sobol(cells=2, design=8),
    Hsic(cells=3, masks=40),
    WaveletAttribution(levels=2, cells=2, design=8),
]
OF_GRADIENTS: list[Probe] = [
    MeaningfulPerturbation(steps=4, cells=4, jitter=1),
    ExtremalPerturbation(steps=4, cells=4, areas=(0.2, 0.5)),
]
ALL = [*OF_SCORES, *OF_GRADIENTS]


def name(probe: Probe) -> str:
    return f"{probe.name}-{getattr(probe, 'method', getattr(probe, 'estimator', ''))}".rstrip("-")


each = pytest.mark.parametrize("probe", ALL, ids=name)
each_of_scores = pytest.mark.parametrize("probe", OF_SCORES, ids=name)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Functional().eval()


@pytest.fixture
def x() -> Tensor:
    return photo(3, 12, 14).float()


def values(net: nn.Module, x: Tensor, probe: Probe, target: object = 2, **options: object) -> np.ndarray:
    found: np.ndarray = explain(net, x, probe, target, background="mean", device="cpu", **options).values
    return found


def test_every_probe_of_the_families_is_tried() -> None:
    here = {probe.name for probe in ALL}
    assert here == {known for known, probe in all_probes().items() if probe.family == "perturbation"}
    assert {probe.needs for probe in OF_SCORES} == {"scores"}
    assert {probe.needs for probe in OF_GRADIENTS} == {"gradients"}
    assert {probe.needs for probe in all_probes().values() if probe.family == "controls"} == {"nothing"}
    assert {"perturbation", "controls"} <= set(FAMILIES)


@each
def test_the_batch_does_not_matter(net: nn.Module, x: Tensor, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = values(net, x, probe)
    monkeypatch.setattr(subject, "BATCH", 7)
    np.testing.assert_allclose(values(net, x, probe), whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


@each
def test_one_set_of_perturbations_serves_all_targets_in_any_order(net: nn.Module, x: Tensor, probe: Probe) -> None:
    if isinstance(probe, Rise):
        # What has to be known well enough is every map.
        probe = replace(probe, tolerance=0)
    first, second = explain(net, x, probe, [3, 1], background="mean", device="cpu")
    other, same = explain(net, x, probe, [1, 3], background="mean", device="cpu")
    alone = explain(net, x, probe, 3, background="mean", device="cpu")
    assert (first.target, second.target) == (same.target, other.target)
    np.testing.assert_array_equal(first.values, same.values)
    np.testing.assert_array_equal(second.values, other.values)
    np.testing.assert_allclose(first.values, alone.values, rtol=1e-5, atol=1e-6 * np.abs(alone.values).max())
    if probe in OF_SCORES:
        assert first.forwards == alone.forwards


@each
def test_the_seed_settles_the_map(net: nn.Module, x: Tensor, probe: Probe) -> None:
    first = values(net, x, probe, seed=1)
    torch.randn(3)
    np.testing.assert_array_equal(values(net, x, probe, seed=1), first)
    sampled = not isinstance(probe, (Occlusion, ExtremalPerturbation)) and getattr(probe, "method", "") != "exact"
    assert (values(net, x, probe, seed=2) != first).any() == sampled


@each
def test_float64_agrees(net: nn.Module, x: Tensor, probe: Probe) -> None:
    single, double = values(net, x, probe), values(net, x, probe, precision="float64")
    np.testing.assert_allclose(single, double, atol=2e-3 * np.abs(double).max())


@each
def test_the_layout_does_not_matter(net: nn.Module, x: Tensor, probe: Probe) -> None:
    last = x.contiguous(memory_format=torch.channels_last)
    expected = values(net, x, probe)
    np.testing.assert_allclose(values(net, last, probe), expected, atol=1e-4 * np.abs(expected).max())


@each
def test_net_and_photo_come_back_untouched(x: Tensor, probe: Probe) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.train()
    net[1].weight.grad = torch.ones_like(net[1].weight)
    before, own, random = copy.deepcopy(net.state_dict()), x.clone(), torch.get_rng_state()
    values(net, x, probe)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert torch.equal(x, own)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert (net[1].weight.grad == 1).all()
    assert all(p.grad is None for key, p in net.named_parameters() if key != "1.weight")


class Interrupted(nn.Module):
    """A net whose user loses patience."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).count += 1
        if type(self).count > 4:
            raise KeyboardInterrupt
        return self.conv(x).mean((2, 3))

    count = 0


@pytest.mark.parametrize("probe", [Rise(masks=400), MeaningfulPerturbation(steps=50)], ids=name)
def test_an_interrupted_net_comes_back_too(x: Tensor, probe: Probe) -> None:
    net = Interrupted().train()
    Interrupted.count = 0
    random = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        values(net, x, probe)
    assert net.training
    assert not net._forward_hooks
    assert torch.equal(torch.get_rng_state(), random)


@each_of_scores
def test_a_net_in_numpy_is_a_black_box(probe: Probe) -> None:
    x = photo(3, 12, 14)
    found = explain(InNumpy(), x, probe, 2, background="noise", device="cpu")
    assert np.isfinite(found.values).all()
    assert found.map.any()
    assert (found.backwards, found.derivative) == (0, None)


@pytest.mark.parametrize("probe", OF_GRADIENTS, ids=name)
def test_a_net_in_numpy_has_no_gradient(probe: Probe) -> None:
    with pytest.raises(ConvAtlasError):
        values(InNumpy(), photo(3, 12, 14), probe)


@pytest.mark.parametrize("probe", OF_GRADIENTS, ids=name)
def test_learned_masks_are_certified(net: nn.Module, x: Tensor, probe: Probe) -> None:
    found = explain(net, x, probe, 2, background="mean", device="cpu")
    assert found.derivative is not None
    assert found.backwards > 0


@each
@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(probe: Probe, channels: int) -> None:
    net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert np.isfinite(values(net, photo(channels, 12, 12).float(), probe)).all()


@each
def test_a_constant_photo_is_no_accident(net: nn.Module, probe: Probe) -> None:
    assert np.isfinite(values(net, torch.full((3, 12, 14), 0.25), probe)).all()


class Watched(nn.Module):
    """Notes the largest batch."""

    largest = 0

    def forward(self, x: Tensor) -> Tensor:
        Watched.largest = max(Watched.largest, len(x))
        return x.mean((2, 3))


@each_of_scores
def test_no_more_inputs_are_in_memory_than_allowed(x: Tensor, probe: Probe) -> None:
    Watched.largest = 0
    values(Watched(), x, probe, memory=4 * 3 * x[0].numel() * x.element_size())
    assert Watched.largest == 3


@each_of_scores
def test_progress_goes_forward_to_the_end(net: nn.Module, x: Tensor, probe: Probe) -> None:
    from convatlas.probes.subject import Subject
    from convatlas.probes.targets import targets_of

    asked = Subject(net, x, targets_of(2, net, net(x), (12, 14)), torch.zeros_like(x))
    seen: Iterator[tuple[int, int, object]] = probe.attribute(asked)
    steps = [(done, total) for done, total, findings in seen if findings is None]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert all(done <= total for done, total in steps)


BAD = [
    (Occlusion(window=13), "window is a whole number from 1 to 12; got 13"),
    (Occlusion(window=4, stride=5), "stride is a whole number from 1 to 4; got 5"),
    (PredictionDifference(samples=1), "samples is a whole number of 2 or more; got 1"),
    (PredictionDifference(ring=0), "ring is a whole number of 1 or more; got 0"),
    (PredictionDifference(window=6, samples=2, evidence=True), "use target='probability:top'"),
    (Lime(samples=1), "samples is a whole number of 2 or more; got 1"),
    (Lime(width=0), "width is a number above 0; got 0"),
    (Lime(ridge=-1), "ridge is a number from 0; got -1"),
    (Lime(players=0), "the number of regions is a whole number from 1 to 168; got 0"),
    (Lime(regions="hexagons"), "regions is superpixels or grid; got 'hexagons'"),
    (Shapley(method="brute"), "method is auto, exact, permutation or kernel; got 'brute'"),
    (Shapley(players=12, regions="grid", method="exact"), "12 regions have 2^12 coalitions"),
    (Shapley(players=12, regions="grid", budget=40), "random orders need 44 or more"),
    (Shapley(players=12, regions="grid", budget=20, method="kernel"), "KernelSHAP needs 26 or more"),
    (Rise(masks=1), "masks is a whole number of 2 or more; got 1"),
    (Rise(cells=13), "cells is a whole number from 1 to 12; got 13"),
    (Rise(share=1), "share is a number above 0 and below 1; got 1"),
    (Rise(estimator="median"), "estimator is covariance or mean; got 'median'"),
    (Rise(tolerance=float("nan")), "tolerance is a number from 0; got nan"),
    (Sobol(cells=13), "cells is a whole number from 1 to 12; got 13"),
    (Sobol(design=1), "design is a whole number of 2 or more; got 1"),
    (Sobol(order="second"), "order is total or first; got 'second'"),
    (Hsic(masks=1), "masks is a whole number of 2 or more; got 1"),
    (MeaningfulPerturbation(steps=0), "steps is a whole number of 1 or more; got 0"),
    (MeaningfulPerturbation(power=0.5), "power is a number from 1; got 0.5"),
    (MeaningfulPerturbation(jitter=7), "jitter is a whole number from 0 to 6; got 7"),
    (ExtremalPerturbation(areas=()), "areas are numbers above 0 and below 1, at least one; got ()"),
    (ExtremalPerturbation(areas=(0.5, 1.5)), "areas are numbers above 0 and below 1"),
    (ExtremalPerturbation(width=0), "width is a number above 0; got 0"),
]


@pytest.mark.parametrize(
    ("probe", "text"), BAD, ids=[f"{name(probe)}-{number}" for number, (probe, _) in enumerate(BAD)]
)
def test_settings_that_make_no_sense_get_one_clear_line(net: nn.Module, x: Tensor, probe: Probe, text: str) -> None:
    with pytest.raises(ConvAtlasError) as caught:
        values(net, x, probe)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
