"""What holds for every probe: batches, precision and layout change no map, and nothing of the caller's changes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.explain import explain
from convatlas.probes.registry import all_probes
from tests.probes.cheap import cheap, concepts_of, layer_for
from tests.probes.subjects import Case, photo


class Tiny(nn.Module):
    """A net with a normalization and dropout, which would change if it was left to train."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, 2, padding=1), nn.BatchNorm2d(4)
        self.second, self.drop = nn.Conv2d(4, 6, 3, padding=1), nn.Dropout(0.5)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.first(x)))
        return self.head(self.drop(F.relu(self.second(y)).mean((2, 3))))


DETECTORS = ("d_rise",)
"""Probes that explain detectors only, and have tests of their own."""

MAPS = [
    name
    for name, probe in all_probes().items()
    if not probe.pictures and probe.family != "capsule" and name not in DETECTORS
]
"""Probes that make maps of any net."""


def subject() -> Case:
    """A tiny net with its input, always the same."""
    torch.manual_seed(3)
    return Case(Tiny().eval(), photo(3, 16), 1)


def made(name: str, case: Case, **options: Any) -> list[np.ndarray]:
    """All arrays that a probe returns for a subject."""
    options = {"layer": layer_for(name), "concepts": concepts_of(case.x)} | options
    return list(_arrays(explain(case.net, case.x, cheap(name), case.target, **options)))


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, Tensor | np.ndarray):
        yield np.asarray(value)
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _arrays(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))


def _distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Largest distance of two results, relative to the size of each array."""
    assert len(first) == len(second) > 0
    assert [a.shape for a in first] == [b.shape for b in second]
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(first, second, strict=True)]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)) for a, b in pairs if a.size)


every_probe = pytest.mark.parametrize("name", MAPS)


@every_probe
def test_batches_and_layout_change_nothing(name: str) -> None:
    tiny = subject()
    whole = made(name, tiny, precision="float64")
    alone = made(name, tiny, precision="float64", memory=1)
    assert _distance(alone, whole) < 1e-9
    last = tiny.x[None].contiguous(memory_format=torch.channels_last)
    assert _distance(made(name, Case(tiny.net, last, tiny.target), precision="float64"), whole) < 1e-9


@every_probe
def test_the_seed_decides(name: str) -> None:
    tiny = subject()
    first = made(name, tiny)
    torch.rand(7)
    random.random()
    np.random.rand(7)  # noqa: NPY002
    second = made(name, tiny)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@every_probe
def test_float64_agrees(name: str) -> None:
    tiny = subject()
    assert _distance(made(name, tiny), made(name, tiny, precision="float64")) < 2e-3


def _state(net: nn.Module, x: Tensor) -> list[object]:
    """Everything that a caller could notice, as bytes and plain values."""
    seen: list[object] = [x.numpy().tobytes(), x.requires_grad, x.grad is None]
    for module_name, module in net.named_modules():
        hooks = {key: list(value) for key, value in vars(module).items() if "hooks" in key and value is not None}
        seen += [module_name, module.training, sorted(vars(module)), repr(hooks), "forward" in vars(module)]
    for tensor_name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        gradient = None if tensor.grad is None else tensor.grad.numpy().tobytes()
        seen += [
            tensor_name,
            id(tensor),
            tensor.detach().numpy().tobytes(),
            tensor.requires_grad,
            gradient,
            tensor._version,
        ]
    generators = torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()
    return [*seen, *generators, *modes]


def _marked(case: Case) -> None:
    """Give the net modes, gradients and hooks that it would miss."""
    for number, module in enumerate(case.net.modules()):
        module.training = number % 2 == 0
    for parameter in case.net.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(case.net.children()).register_forward_hook(_hook)


def _hook(*_: object) -> None:
    pass


@pytest.fixture
def own() -> Case:
    """A subject with modes, gradients and hooks that it would miss."""
    marked = subject()
    _marked(marked)
    return marked


@every_probe
def test_nothing_of_the_caller_s_changes(name: str, own: Case) -> None:
    before = _state(own.net, own.x)
    made(name, own)
    assert _state(own.net, own.x) == before


@every_probe
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_changes_when_the_net_fails(
    name: str, own: Case, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forward fails at its first call, at its second, and so on to the fourth if there are so many."""
    forward = type(own.net).forward
    before = _state(own.net, own.x)
    for last in range(4):
        calls = 0

        def failing(self: nn.Module, x: Tensor, last: int = last) -> Tensor:
            nonlocal calls
            calls += 1
            result = forward(self, x)
            if calls > last:
                raise error("stop")
            return result

        with monkeypatch.context() as patch:
            patch.setattr(type(own.net), "forward", failing)
            try:
                made(name, own)
            except error:
                pass
            except ConvAtlasError:
                assert error is RuntimeError
            else:
                assert calls <= last
        assert _state(own.net, own.x) == before
