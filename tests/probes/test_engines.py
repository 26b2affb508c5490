"""Which probes ask an engine for scores, and what their records say about it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import convatlas as ca
from convatlas.base.errors import SizeError
from convatlas.probes.attribution import Attribution
from convatlas.probes.cam.is_cam import IsCam
from convatlas.probes.cam.score_cam import ScoreCam
from convatlas.probes.cam.ss_cam import SsCam
from convatlas.probes.explain import explain
from convatlas.probes.perturbation.occlusion import Occlusion
from tests.probes.nets import Functional

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
CHANNELS = 4


class Counted:
    """A session that counts the photos it is asked about, and rounds its outputs to a precision."""

    def __init__(self, session: Any, dtype: torch.dtype):
        self.session, self.dtype, self.photos = session, dtype, 0

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.photos += len(batch)
        rounded: NDArray[np.float32] = torch.from_numpy(self.session(batch)).to(self.dtype).float().numpy()
        return rounded


def small() -> Functional:
    torch.manual_seed(0)
    return Functional().eval()


def opened(net: Functional, engine: str = "eager", dtype: torch.dtype = torch.float32) -> tuple[Any, Counted]:
    fast = ca.accelerate(net, engine, input_shape=(3, 16, 16), batch=4)
    counted = Counted(fast.session, dtype)
    fast.session = counted  # type: ignore[assignment]
    return fast, counted


def one(net: Any, probe: object, x: torch.Tensor = X) -> Attribution:
    result = explain(net, x, probe, 1)
    assert isinstance(result, Attribution)
    return result


@pytest.mark.parametrize(
    ("probe", "looks", "engine"),
    [
        (ScoreCam(), 1, "eager"),
        (ScoreCam(), 1, "onnxruntime"),
        (SsCam(samples=2), 2, "eager"),
        (IsCam(steps=3), 3, "eager"),
    ],
    ids=str,
)
def test_photos_masked_by_maps_are_scored_by_the_engine(probe: object, looks: int, engine: str) -> None:
    net = small()
    fast, counted = opened(net, engine)
    in_engine, eager = one(fast, probe), one(net, probe)
    # The photo through each mask, and the background.
    assert counted.photos == CHANNELS * looks + 1
    assert (in_engine.engine, eager.engine) == (str(fast.record.options), "eager")
    assert in_engine.forwards == eager.forwards
    np.testing.assert_allclose(in_engine.values, eager.values, rtol=0, atol=1e-4 * abs(eager.values).max())


@pytest.mark.parametrize("probe", ["occlusion", "score_cam"])
def test_an_engine_refuses_inputs_of_another_size(probe: str) -> None:
    fast, _ = opened(small())
    with pytest.raises(SizeError, match="takes inputs of 16 × 16, not 24 × 20"):
        one(fast, probe, torch.rand(3, 24, 20))


def test_a_remembered_engine_is_passed_over_for_inputs_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(batch: object) -> None:
        raise AssertionError("it takes inputs of 224 × 224")

    cached = SimpleNamespace(session=refuse, lineage=ca.load("efficientnet_lite0").lineage)
    monkeypatch.setattr(import_module("convatlas.probes.explaining.opened"), "cached_net", lambda net: cached)
    assert one("efficientnet_lite0", Occlusion(32, 32), torch.rand(3, 64, 64)).engine == "eager"


@pytest.mark.parametrize("probe", ["grad_cam", "ablation_cam", "recipro_cam", "smooth_grad_cam_plus_plus"])
def test_probes_of_gradients_and_tails_stay_in_eager_mode(probe: str) -> None:
    fast, counted = opened(small())
    assert one(fast, probe).engine == "eager"
    assert not counted.photos


def test_only_what_an_engine_computed_is_below_float32() -> None:
    fast, _ = opened(small(), dtype=torch.bfloat16)
    fast.record = replace(fast.record, options=replace(fast.record.options, precision="bfloat16"), top1=0.75)
    masked, gradient = explain(fast, X, ["score_cam", "grad_cam"], 1)
    assert (masked.precision, masked.agreement) == ("bfloat16", 0.75)
    assert (gradient.precision, gradient.agreement, gradient.engine) == ("float32", None, "eager")
