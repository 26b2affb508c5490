"""Settings of white-box probes that make no sense, and layers that they cannot explain at, get one clear line each."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.cam.fem import Fem
from convatlas.probes.cam.is_cam import IsCam
from convatlas.probes.cam.kpca_cam import KpcaCam
from convatlas.probes.cam.refine_cam import RefineCam
from convatlas.probes.cam.smooth_grad_cam_plus_plus import SmoothGradCamPlusPlus
from convatlas.probes.cam.ss_cam import SsCam
from convatlas.probes.explain import explain
from convatlas.probes.gradient.expected_gradients import ExpectedGradients
from convatlas.probes.gradient.integrated_gradients import IntegratedGradients
from convatlas.probes.gradient.smooth_grad import SmoothGrad
from convatlas.probes.gradient.square_grad import SquareGrad
from convatlas.probes.gradient.var_grad import VarGrad
from convatlas.probes.perturbation.hsic import Hsic
from convatlas.probes.perturbation.rise import Rise
from convatlas.probes.probe import Probe
from convatlas.probes.recovery.rect_grad import RectGrad
from convatlas.probes.registry import all_probes, as_probe
from convatlas.probes.relevance.concept_relevance import ConceptRelevance
from convatlas.probes.relevance.contrastive_lrp import ContrastiveLrp
from convatlas.probes.relevance.deep_lift import DeepLift
from convatlas.probes.relevance.deep_lift_shap import DeepLiftShap
from convatlas.probes.relevance.lrp import Lrp
from tests.probes.nets import Functional

X = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Functional().eval()


NOISY = {
    ExpectedGradients: "from 2 to 100000",
    SmoothGrad: "from 1 to 100000",
    SquareGrad: "from 1 to 100000",
    VarGrad: "from 2 to 100000",
    DeepLiftShap: "from 1 to 100000",
    SmoothGradCamPlusPlus: "from 1 to 10000",
    SsCam: "from 1 to 1000",
}
"""Probes of samples with noise, and how many samples they take."""

BAD: list[tuple[Probe, str]] = [
    *[
        (kind(samples=samples), f"samples is a whole number {allowed}; got {samples}")
        for kind, allowed in NOISY.items()
        for samples in (-1, 0)
    ],
    *[(kind(noise=noise), "noise is a number from 0 to 10; got") for kind in NOISY for noise in (-0.1, NAN)],
    (VarGrad(samples=1), "samples is a whole number from 2"),
    (IntegratedGradients("strait"), "did you mean straight?"),
    (IntegratedGradients(steps=3), "steps is a whole number from 4 to 100000; got 3"),
    (IntegratedGradients(tolerance=0), "tolerance is a number above 0 to 1; got 0"),
    (IntegratedGradients(tolerance=NAN), "tolerance is a number above 0 to 1; got nan"),
    (Lrp("eps"), "did you mean epsilon?"),
    (Lrp(epsilon=-1e-6), "epsilon is a number from 0; got -1e-06"),
    (Lrp(epsilon=INFINITE), "epsilon is a number from 0; got inf"),
    (Lrp(gamma=-1), "gamma is a number from 0; got -1"),
    (Lrp(gamma=INFINITE), "gamma is a number from 0; got inf"),
    (Lrp(alpha=0.5), "alpha is a number from 1; got 0.5"),
    (Lrp(products="both"), "products is uniform or signal; got 'both'"),
    (ContrastiveLrp("eps"), "did you mean epsilon?"),
    (ConceptRelevance(composite="eps"), "did you mean epsilon?"),
    *[(ConceptRelevance(channel), "is a whole number from 0 to 3; got") for channel in (-1, 4)],
    (DeepLift("rescal"), "did you mean rescale?"),
    (Rise(masks=10**9), "masks is a whole number from 2 to 10000000; got 1000000000"),
    (Hsic(masks=10**30), "masks is a whole number from 2 to 10000000; got"),
    (Lrp(epsilon=1e300), "epsilon is a number from 0 to 1e+30; got 1e+300"),
    (Lrp(gamma=10**400), "gamma is a number from 0 to 1e+30; got 1000"),
    *[(RectGrad(share), "percentile is a number from 0 and below 100; got") for share in (-1, 100, NAN)],
    (IsCam(steps=0), "steps is a whole number from 1 to 1000; got 0"),
    (RefineCam(levels=0), "levels is a whole number from 1 to 100; got 0"),
    (Fem(deviations=-1), "deviations is a number from 0 to 100; got -1"),
    (KpcaCam(kernel="cubic"), "no kernel is called 'cubic'"),
    *[(KpcaCam(gamma=gamma), "gamma is a number above 0; got") for gamma in (0, -1, INFINITE)],
]


@pytest.mark.parametrize(
    ("probe", "text"), BAD, ids=[f"{probe.name}-{number}" for number, (probe, _) in enumerate(BAD)]
)
def test_settings_that_make_no_sense(net: nn.Module, probe: Probe, text: str) -> None:
    with pytest.raises(ConvAtlasError) as caught:
        explain(net, X, probe, 1)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG: dict[str, tuple[object, ...]] = {
    "int": (None, True, 2.5, "2", [2], b"2"),
    "int | None": (True, 2.5, "2", [2]),
    "float": (None, True, "2", [2.0], 1j, torch.tensor([1.0, 2.0])),
    "float | None": (True, "2", [2.0]),
    "str": (None, 1, ["epsilon"], {}, b"epsilon"),
    "bool": (None, 1, "yes", []),
    "Sequence[float]": (None, 0.1, "0.1", {}),
}
"""Values of other types than a setting's own."""


@pytest.mark.parametrize("name", all_probes())
def test_settings_of_another_type(name: str) -> None:
    probe = all_probes()[name]
    for setting in fields(probe):
        for value in WRONG[str(setting.type)]:
            with pytest.raises(ConvAtlasError, match=rf"^{setting.name} of {name} is [^\n]+; got ") as caught:
                as_probe(replace(probe, **{setting.name: value}))
            assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(net: nn.Module) -> None:
    assert explain(net, X, Lrp(gamma=np.float32(0.25), alpha=np.int64(2)), 1).settings["gamma"] == 0.25


WITH_LAYER = ("cam", "relevance", "recovery")
WHERE = [name for name, probe in all_probes().items() if probe.spatial and probe.family in WITH_LAYER]


@pytest.mark.parametrize("probe", WHERE)
def test_a_layer_without_maps(net: nn.Module, probe: str) -> None:
    with pytest.raises(ConvAtlasError, match=r"^head does not output maps .*; the last layer that does is \w+$"):
        explain(net, X, probe, 1, layer="head")
