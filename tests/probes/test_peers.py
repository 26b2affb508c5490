"""Maps equal those of captum and zennit, live, on nets of modules, where these are right."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import captum.attr
import numpy as np
import pytest
import torch
import zennit.attribution
import zennit.composites
import zennit.rules
import zennit.types
from torch import Tensor, nn

from convatlas.probes.explain import explain
from convatlas.probes.gradient.integrated_gradients import IntegratedGradients
from convatlas.probes.gradient.saliency import Saliency
from convatlas.probes.relevance.deep_lift import DeepLift
from convatlas.probes.relevance.lrp import Lrp

CLASS = 1


def net(*pooling: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), *pooling, nn.Flatten())
    pixels = nn.Sequential(*layers)(torch.zeros(1, 3, 12, 12)).numel()
    return nn.Sequential(*layers, nn.Linear(pixels, 10), nn.ReLU(), nn.Linear(10, 4)).eval().double()


def photos() -> tuple[Tensor, Tensor]:
    """A photo and a background; each channel has 0 and 1 somewhere, which are the bounds of the box rule."""
    x, background = torch.rand(2, 1, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    background[..., 0, 0], background[..., 0, 1] = 0, 1
    return x, background


NETS = {"plain": net(), "maximum": net(nn.MaxPool2d(2)), "average": net(nn.AvgPool2d(2))}
X, BACKGROUND = photos()
ZERO = torch.zeros_like(X)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The peers warn of their own hooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours(name: str, probe: object, **options: object) -> np.ndarray:
    values: np.ndarray = explain(NETS[name], X, probe, CLASS, **options).values
    return values


def assert_same(values: np.ndarray, expected: Tensor, tolerance: float = 1e-12) -> None:
    other = expected.detach().numpy().reshape(values.shape)
    np.testing.assert_allclose(values, other, rtol=0, atol=tolerance * abs(other).max())


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("probe", "peer"),
    [
        (Saliency(), "Saliency"),
        ("gradient_x_input", "InputXGradient"),
        ("guided_backprop", "GuidedBackprop"),
        ("deconv_net", "Deconvolution"),
    ],
)
def test_gradients_equal_captums(name: str, probe: object, peer: str) -> None:
    options = {"abs": False} if peer == "Saliency" else {}
    expected = getattr(captum.attr, peer)(NETS[name]).attribute(X, target=CLASS, **options)
    assert_same(ours(name, probe, background=ZERO), expected)


@pytest.mark.parametrize("layer", ["0", "2", "3"])
def test_grad_cam_equals_captums(layer: str) -> None:
    module = NETS["plain"].get_submodule(layer)
    assert_same(
        ours("plain", "grad_cam", layer=layer),
        captum.attr.LayerGradCam(NETS["plain"], module).attribute(X, target=CLASS),
    )


@pytest.mark.parametrize("name", ["plain", "average"])
def test_deep_lift_equals_captums_without_max_pooling(name: str) -> None:
    expected = captum.attr.DeepLift(NETS[name]).attribute(X, BACKGROUND, target=CLASS)
    assert_same(ours(name, DeepLift(), background=BACKGROUND), expected)


def test_deep_lift_is_complete_where_captums_is_not() -> None:
    change = float((NETS["maximum"](X) - NETS["maximum"](BACKGROUND))[0, CLASS])
    theirs = captum.attr.DeepLift(NETS["maximum"]).attribute(X, BACKGROUND, target=CLASS)
    assert abs(float(theirs.sum()) - change) > 0.01 * abs(change)
    assert abs(ours("maximum", DeepLift(), background=BACKGROUND).sum() - change) < 1e-9 * abs(change)


def test_integrated_gradients_tend_to_captums() -> None:
    peer = captum.attr.IntegratedGradients(NETS["maximum"])
    expected = peer.attribute(X, BACKGROUND, target=CLASS, n_steps=1000)
    assert_same(ours("maximum", IntegratedGradients(tolerance=1e-5, steps=2048), background=BACKGROUND), expected, 1e-2)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("composite", "peer", "settings"),
    [
        ("epsilon_plus", "EpsilonPlus", {}),
        ("epsilon_plus_flat", "EpsilonPlusFlat", {}),
        ("epsilon_alpha_beta", "EpsilonAlpha2Beta1", {}),
        ("epsilon_alpha_beta_flat", "EpsilonAlpha2Beta1Flat", {}),
        ("epsilon_gamma_box", "EpsilonGammaBox", {"low": 0.0, "high": 1.0, "gamma": 0.25}),
    ],
)
def test_relevance_equals_zennits(name: str, composite: str, peer: str, settings: dict[str, float]) -> None:
    """zennit stabilises every layer, we once behind each affine chain: both stabilisers are made small."""
    rules = getattr(zennit.composites, peer)(epsilon=1e-12, stabilizer=1e-12, **settings)
    score = NETS[name](X).detach()[0, CLASS]
    start = torch.zeros(1, 4, dtype=torch.float64)
    start[0, CLASS] = score
    with zennit.attribution.Gradient(NETS[name], rules) as attributor:
        _, expected = attributor(X, start)
    values = ours(name, Lrp(composite, 1e-12, biases=True), background=BACKGROUND)
    assert_same(values, expected, 1e-9)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("rule", "peer"),
    [
        (Lrp("gamma", 1e-12, gamma=0.6), zennit.rules.Gamma(0.6, stabilizer=1e-12)),
        (
            Lrp("alpha_beta", 1e-12, alpha=1.5, biases=True),
            zennit.rules.AlphaBeta(1.5, 0.5, stabilizer=1e-12),
        ),
    ],
    ids=["gamma", "alpha_beta"],
)
def test_rules_with_signs_at_every_layer_equal_zennits(name: str, rule: Lrp, peer: object) -> None:
    """The photo has both signs, and so have the weights."""
    x = X - 0.5
    layers = [(zennit.types.Linear, peer), *zennit.composites.layer_map_base(1e-12)]
    start = torch.zeros(1, 4, dtype=torch.float64)
    start[0, CLASS] = NETS[name](x).detach()[0, CLASS]
    with zennit.attribution.Gradient(NETS[name], zennit.composites.LayerMapComposite(layers)) as attributor:
        _, expected = attributor(x, start)
    assert_same(explain(NETS[name], x, rule, CLASS).values, expected, 1e-9)


@pytest.mark.parametrize(("probe", "peer"), [("guided_backprop", "GuidedBackprop"), ("deconv_net", "DeconvNet")])
def test_recovered_images_equal_zennits(probe: str, peer: str) -> None:
    start = torch.eye(4, dtype=torch.float64)[[CLASS]]
    with zennit.attribution.Gradient(NETS["maximum"], getattr(zennit.composites, peer)()) as attributor:
        _, expected = attributor(X, start)
    assert_same(ours("maximum", probe), expected)
