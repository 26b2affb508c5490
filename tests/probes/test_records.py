"""Promises of records and refusals: engines, backgrounds, outputs, coverage by operation, and photos of one colour."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.catalogue.cards import cards
from convatlas.cli.app import app
from convatlas.images.samples import sample
from convatlas.probes import Attribution, IntegratedGradients, Occlusion, coverage  # type: ignore[attr-defined]
from convatlas.probes import certificate as certificates
from convatlas.probes.certificate import Imprecise, check_residual
from convatlas.probes.registry import all_probes
from convatlas.probes.tape.record import record
from tests.probes.cheap import cheap, layer_for
from tests.probes.nets import Functional
from tests.probes.subjects import Functional as Plain
from tests.probes.test_invariance import TinyDetector, subject

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
GRADIENT = [name for name, probe in all_probes().items() if probe.family == "gradient"]


def small() -> nn.Module:
    torch.manual_seed(0)
    return Functional().eval()


@pytest.fixture(scope="module")
def lite() -> Any:
    return ca.load("efficientnet_lite0")


@pytest.mark.parametrize("name", list(cards()))
def test_gradient_probes_cover_every_net_on_the_meta_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed with numbers: all 85 nets of the atlas are recorded on the meta device."""
    devices: list[str] = []
    recorded = coverage.record
    monkeypatch.setattr(
        coverage, "record", lambda net, x, score: devices.append(x.device.type) or recorded(net, x, score)
    )
    (rows,) = coverage.covered([name])
    assert devices == ["meta"]
    reasons = {row.probe: row.reason for row in rows}
    assert [reasons[probe] for probe in GRADIENT] == [""] * len(GRADIENT)


def test_coverage_of_all_is_that_of_the_nets_of_the_atlas() -> None:
    names = coverage.coverage_of("all")
    assert list(names) == list(cards())
    assert len(names) == 85


def test_black_box_probes_use_the_engine_that_is_remembered(lite: Any) -> None:
    photo, settings = np.asarray(Image.open(sample("coffee"))), Occlusion(window=112, stride=112)
    probes = [settings, "saliency"]
    before = ca.explain("efficientnet_lite0", photo, settings, 505)
    ca.accelerate("efficientnet_lite0", "onnxruntime")
    remembered = ca.explain("efficientnet_lite0", photo, probes, 505)
    eager = ca.explain("efficientnet_lite0", photo, probes, 505, engine="eager")
    assert before.engine == "eager"
    assert [each.engine for each in remembered] == ["one of the store", "eager"]
    assert [each.engine for each in eager] == ["eager", "eager"]
    np.testing.assert_allclose(remembered[0].values, eager[0].values, atol=1e-3)


def test_the_help_says_which_engine_is_the_default() -> None:
    words = " ".join(CliRunner().invoke(app, ["explain", "--help"], env={"COLUMNS": "300"}).output.split())
    assert "by default one that was opened before for these weights, else eager" in words


def test_the_agreement_of_a_reduced_precision_is_in_the_record(lite: Any, tmp_path: Path) -> None:
    fast = ca.accelerate(lite, "onnxruntime")
    options = replace(fast.record.options, precision="bfloat16")
    fast.record = replace(fast.record, options=options, top1=0.97)
    result = ca.explain(fast, sample("coffee"), Occlusion(window=112, stride=112))
    assert (result.precision, result.agreement) == ("bfloat16", 0.97)
    assert Attribution.load(result.save(tmp_path / "map.npz")).agreement == 0.97


@pytest.mark.parametrize("form", [str, lambda path: np.asarray(Image.open(path))], ids=["path", "array"])
def test_another_photo_as_background_is_prepared_as_the_photo_is(form: Any, lite: Any) -> None:
    photo, other = (np.asarray(Image.open(sample(name)).convert("RGB")) for name in ("chelsea", "coffee"))
    # The background has the photo's size, and then goes through the same steps.
    fitting = np.asarray(Image.fromarray(other).resize((photo.shape[1], photo.shape[0])))
    with torch.inference_mode():
        expected = float(lite(lite.preprocess(fitting)[None])[0, 281])
    probe = IntegratedGradients(steps=4, tolerance=1.0)
    result = ca.explain(lite, photo, probe, 281, background=form(sample("coffee")))
    assert result.background_score == pytest.approx(expected, abs=1e-4)


def test_neither_photo_nor_background_is_written_to(lite: Any) -> None:
    photo, other = (np.array(Image.open(sample(name)).convert("RGB")) for name in ("chelsea", "coffee"))
    kept = photo.copy(), other.copy()
    ca.explain(lite, photo, ["gradient_x_input", Occlusion(window=112, stride=112)], 281, background=other)
    assert np.array_equal(photo, kept[0])
    assert np.array_equal(other, kept[1])
    x, background = X.clone(), X.flip(2).clone()
    for probe in ("saliency", "lrp", "grad_cam", "guided_backprop", "deep_lift", "sobel"):
        ca.explain(small(), x, probe, 1, background=background)
    assert torch.equal(x, X)
    assert torch.equal(background, X.flip(2))


def test_probabilities_are_refused_where_the_card_names_none() -> None:
    net = ca.build("neocognitron", seed=0)
    x = torch.rand(net.channels, *net.size, generator=torch.Generator().manual_seed(0))
    assert ca.explain(net, x, "sobel", 1).index == 1
    with pytest.raises(ConvAtlasError, match="cannot be turned into probabilities: explain the output itself"):
        ca.explain(net, x, "sobel", "probability:1")


@pytest.mark.parametrize("probe", ["grad_cam", "occlusion", "lrp"])
def test_a_net_that_returns_a_list_says_how_to_pass_a_target(probe: str) -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: Tensor) -> list[Tensor]:
            scores = self.net(x)
            return [scores, scores * 2]

    with pytest.raises(
        ConvAtlasError, match=r"the type list, not a score for each class: .*pass target=, a function that picks"
    ):
        ca.explain(Listed().eval(), X, probe)
    result = ca.explain(Listed().eval(), X, probe, lambda output: output[1][:, 2])
    assert result.score == pytest.approx(2 * ca.explain(small(), X, probe, 2).score, rel=1e-6)


@pytest.mark.parametrize("probe", ["lrp", "deep_lift", "libra_grad"])
def test_coverage_by_operation_adds_up(probe: str) -> None:
    torch.manual_seed(0)
    net = Plain().eval()
    tape = record(net, X[None], lambda output: torch.stack([output[:, 1]], 1))
    operations = Counter(operation.name for operation in tape.after(tape.photo))
    counts = ca.explain(net, X, probe, lambda output: output[:, 1]).coverage
    assert counts == operations
    assert sum(counts.values()) > len(counts)


def test_a_map_that_does_not_sum_to_the_score_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the bound is broken in float32, float64 is tried; where it is broken there too, nothing is shown.
    monkeypatch.setattr(certificates, "RESIDUAL", {torch.float32: -1.0, torch.float64: 1e-9})
    assert ca.explain(small(), X, "lrp", 1).precision == "float64"
    monkeypatch.setattr(certificates, "RESIDUAL", {torch.float32: -1.0, torch.float64: -1.0})
    with pytest.raises(
        ConvAtlasError, match=r"lrp does not sum to the score: .* of it is missing in float64; use integ"
    ):
        ca.explain(small(), X, "lrp", 1)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_the_bound_of_the_residual(dtype: torch.dtype, bound: float) -> None:
    # It is relative to the larger score of photo and background.
    assert check_residual(4.0 + 3.9 * bound, 4.0, dtype, "probe") == pytest.approx(0.975 * bound, rel=1e-3)
    assert check_residual(1.0 + 3.9 * bound, 1.0, dtype, "probe", 4.0) == pytest.approx(0.975 * bound, rel=1e-3)
    for total in (4.0 + 4.1 * bound, 4.0 - 4.1 * bound, float("nan")):
        with pytest.raises(Imprecise, match="probe does not sum to the score"):
            check_residual(total, 4.0, dtype, "probe")


@pytest.mark.parametrize(("probe", "method"), [("lrp", "LRP"), ("deep_lift", "DeepLIFT"), ("excitation_backprop", "")])
def test_an_operation_without_a_rule_is_refused_by_name(probe: str, method: str) -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).flatten(1).sort(1).values

    torch.manual_seed(0)
    with pytest.raises(ConvAtlasError, match=f"{method}.* no rule for sort: use integrated_gradients") as error:
        ca.explain(Sorted().eval(), X, probe, 1)
    assert "\n" not in str(error.value)


class Leaving(nn.Module):
    """Takes a value out of PyTorch in a way of its own, and puts it in again."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.head, self.way = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), way

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        value = y.amax().item() if self.way == "item()" else max(y.flatten().tolist())
        return self.head((y / value).mean((2, 3)))


@pytest.mark.parametrize("way", ["item()", "tolist()"])
def test_ways_out_of_pytorch_are_named(way: str) -> None:
    net = Leaving(way).eval()
    with pytest.raises(ConvAtlasError) as error:
        ca.explain(net, X, "saliency", 1)
    assert f"a value leaves PyTorch by {way}" in str(error.value)
    assert "use a probe of scores (occlusion, rise)" in str(error.value)
    assert ca.explain(net, X, Occlusion(window=8, stride=8), 1).values.any()


CONSTANT = {
    "perturbation": "occlusion",
    "gradient": "integrated_gradients",
    "relevance": "lrp",
    "recovery": "guided_backprop",
    "cam": "grad_cam",
    "activation": "activation_maximisation",
    "concept": "deep_feature_factorisation",
    "detector": "d_rise",
    "capsule": "routing_maps",
    "controls": "sobel",
}
"""A probe of each family."""


@pytest.mark.parametrize("probe", CONSTANT.values())
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_photo_of_one_colour_is_explained(probe: str, value: float) -> None:
    case = subject(probe)
    x = torch.full_like(case.x, value)
    assert isinstance(case.net, TinyDetector) == (probe == "d_rise")
    result: Any = ca.explain(case.net, x, cheap(probe), case.target, layer=layer_for(probe))
    if isinstance(result, Attribution):
        assert np.isfinite(result.values).all()
        assert result.values.any() or any("blank" in note for note in result.notes)
        result.picture()
    else:
        assert all(np.isfinite(array).all() for array in result.arrays.values())


def test_every_family_has_a_photo_of_one_colour() -> None:
    assert {name: all_probes()[probe].family for name, probe in CONSTANT.items()} == {name: name for name in CONSTANT}
    assert {probe.family for probe in all_probes().values()} == set(CONSTANT)
