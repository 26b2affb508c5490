"""Memory: gradients and tails of layers are computed few at a time, within `memory`, and the maps stay the same."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.probes import (  # type: ignore[attr-defined]
    AblationCam,
    ExpectedGradients,
    IntegratedGradients,
    ReciproCam,
    SmoothGrad,
    VarGrad,
)
from convatlas.probes.gradient import _paths
from convatlas.probes.subject import Subject
from convatlas.probes.tape import tail
from convatlas.probes.tape.record import record

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Counting(nn.Module):
    """Notes on how many photos it runs, but for scores alone, which keep nothing."""

    batches: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_inference_mode_enabled():
            self.batches.append(len(x))
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))).mean((2, 3)))


GRADIENTS = [
    SmoothGrad(samples=8),
    VarGrad(samples=8),
    ExpectedGradients(samples=8),
    IntegratedGradients(steps=16),
    IntegratedGradients(steps=16, path="blur"),
]


@pytest.mark.parametrize("probe", GRADIENTS, ids=str)
def test_gradients_are_computed_within_the_memory(probe: Any) -> None:
    net = Counting().double().eval()
    expected = ca.explain(net, X, probe, 1)
    kept = record(net, X[None], lambda output: output[:, 1]).memory(0)
    for memory, most in ((2 * (kept + 100), 2), (kept // 2, 1)):
        Counting.batches.clear()
        result = ca.explain(net, X, probe, 1, memory=memory)
        assert max(Counting.batches) == most
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-9, atol=1e-15)
        assert (result.forwards, result.backwards) == (expected.forwards, expected.backwards)


def test_what_a_tape_keeps_is_counted() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5)).double().eval()
    tape = record(net, X[None], lambda output: output[:, 1])
    # The photo, maps, rectified maps, and scores; flattening makes a view.
    assert tape.memory(tape.photo) == 8 * (3 * 16 * 16 + 2 * 4 * 14 * 14 + 5)
    assert tape.memory(tape.layers["1"][-1]) == 8 * (4 * 14 * 14 + 5)


def test_a_path_of_blurs_holds_only_a_batch_of_points(monkeypatch: pytest.MonkeyPatch) -> None:
    blur, gradients = _paths._blur, Subject.gradients
    order: list[str] = []
    monkeypatch.setattr(_paths, "_blur", lambda x, deviation: order.append("blur") or blur(x, deviation))
    monkeypatch.setattr(Subject, "gradients", lambda *args: order.append("gradients") or gradients(*args))
    ca.explain(Counting().double().eval(), X, IntegratedGradients(steps=16, path="blur", tolerance=1.0), 1)
    assert order[:12] == ["blur"] * 5 + ["gradients"] + ["blur"] * 4 + ["gradients"] + ["blur"]


@pytest.mark.parametrize("probe", [AblationCam(), ReciproCam()], ids=str)
def test_tails_run_within_the_memory(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    vmap = tail.vmap
    monkeypatch.setattr(
        tail, "vmap", lambda run, **options: lambda values: sizes.append(len(values)) or vmap(run, **options)(values)
    )
    net = Counting().double().eval()
    expected = ca.explain(net, X, probe, 1, layer="first")
    assert max(sizes) > 3
    tape = record(net, X[None], lambda output: output[:, 1])
    for memory, most in ((3 * tape.memory(tape.layers["first"][-1]) + 100, 3), (1, 1)):
        sizes.clear()
        result = ca.explain(net, X, probe, 1, layer="first", memory=memory)
        assert max(sizes) == most
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-9, atol=1e-15)
