"""What holds for every probe: batches, precision and layout change no result, and nothing of the caller's changes."""

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
from convatlas.probes import placement
from convatlas.probes.explain import explain
from convatlas.probes.registry import all_probes
from tests.probes.capsnets import small_capsnet
from tests.probes.cheap import cheap, layer_for
from tests.probes.matrix import concepts_for
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


class TinyDetector(Tiny):
    """Two boxes of two classes, as a user's own detector gives them."""

    def decode_boxes(self, output: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        corners = output.new_tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 16.0, 16.0]]).expand(len(output), -1, -1)
        classes = output[:, 1:5].unflatten(1, (2, 2)).softmax(2)
        return corners, output[:, :1].sigmoid() * output.new_tensor([1.0, 0.5]), classes


PROBES = list(all_probes())
"""All of them."""


def subject(name: str) -> Case:
    """A tiny net that a probe explains, with its input, always the same."""
    torch.manual_seed(3)
    if all_probes()[name].family == "capsule":
        return Case(small_capsnet().float(), photo(1, 14)[:, 1:-1], 1)
    if name == "d_rise":
        return Case(TinyDetector().eval(), photo(3, 16), "box:0")
    return Case(Tiny().eval(), photo(3, 16), 1)


def made(name: str, case: Case, **options: Any) -> list[np.ndarray]:
    """All arrays that a probe returns for a subject."""
    options = {"layer": layer_for(name), "concepts": concepts_for(name, case.x.view(case.x.shape[-3:]))} | options
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
    distances = []
    for a, b in zip(first, second, strict=True):
        # Numbers on both sides of a half are rounded to pixels one level apart.
        level = 1.0 if a.dtype == np.uint8 else 0.0
        between = np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0) - level
        distances.append(max(between, 0.0) / max(np.abs(b.astype(np.float64)).max(initial=0.0), 1e-300))
    return max(distances)


every_probe = pytest.mark.parametrize("name", PROBES)


@every_probe
def test_batches_and_layout_change_nothing(name: str) -> None:
    tiny = subject(name)
    whole = made(name, tiny, precision="float64")
    alone = made(name, tiny, precision="float64", memory=1)
    assert _distance(alone, whole) < 1e-9
    last = tiny.x[None].contiguous(memory_format=torch.channels_last)
    assert _distance(made(name, Case(tiny.net, last, tiny.target), precision="float64"), whole) < 1e-9


@every_probe
def test_the_seed_decides(name: str) -> None:
    tiny = subject(name)
    first = made(name, tiny)
    torch.rand(7)
    random.random()
    np.random.rand(7)  # noqa: NPY002
    second = made(name, tiny)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@every_probe
def test_progress_never_falls(name: str) -> None:
    tiny, reached = subject(name), 0.0
    options = {"layer": layer_for(name), "concepts": concepts_for(name, tiny.x)}
    for done, total, _ in explain.steps(tiny.net, tiny.x, [cheap(name)], [tiny.target] * 2, **options):
        assert reached <= done / total <= 1
        reached = done / total
    assert reached == 1


@every_probe
def test_float64_agrees(name: str) -> None:
    tiny = subject(name)
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
def own(name: str) -> Case:
    """A subject with modes, gradients and hooks that it would miss."""
    marked = subject(name)
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
    """The forward fails at its first call, at its second, and so on to the fourth if there are so many.

    Cells whose receptive fields cannot be measured are placed evenly, so that no error but Ctrl-C ends the measuring.
    """
    forward, trace = type(own.net).forward, placement.trace_inputs
    measuring: list[bool] = []

    def traced(*args: Any, **options: Any) -> Any:
        measuring.append(error is RuntimeError)
        try:
            return trace(*args, **options)
        finally:
            measuring.pop()

    monkeypatch.setattr(placement, "trace_inputs", traced)
    before = _state(own.net, own.x)
    for last in range(4):
        calls = 0

        def failing(self: nn.Module, x: Tensor, last: int = last) -> Tensor:
            nonlocal calls
            result = forward(self, x)
            if any(measuring):
                return result
            calls += 1
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
