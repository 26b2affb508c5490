"""The tape: what it records is what ran, and what goes back over it is the derivative."""

from __future__ import annotations

import ctypes
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.probes.certificate import certify
from convatlas.probes.explain import explain
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.layer_rules import AlphaBeta, Box, Flat, Gamma, WeightSquare, Zero
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.rules.secants import secant
from convatlas.probes.tape.backward import backward
from convatlas.probes.tape.record import record
from tests.probes.nets import Custom, Functional, Gated, Square, ThroughNumpy


def third(output: torch.Tensor) -> torch.Tensor:
    return output.flatten(1)[:, 3]


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval().double()


def photo(channels: int = 3, side: int = 12, seed: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Choosing(nn.Module):
    """Chooses between two branches, and a constant, by values that depend on the photo."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.where(x.mean() > 0, self.first(x), self.second(x)).mean((2, 3))
        y = torch.where(y.abs().sum() > 1e-9, y, torch.tensor(3.0, dtype=y.dtype))
        largest = y.topk(2).values
        return torch.where(largest[:, :1] - largest[:, 1:] > 1e9, torch.ones_like(y), y)


class Padded(nn.Module):
    """Pads the photo on two sides before its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 6, 3, 2), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(x, (0, 1, 0, 1), value=0.7)
        return self.head(self.first(x).relu().mean((2, 3)))


NETS = {
    "padded": lambda: (made(Padded), photo()),
    "choosing": lambda: (made(Choosing), photo()),
    "functional": lambda: (made(Functional), photo()),
    "custom": lambda: (made(Custom), photo()),
    "gated": lambda: (made(Gated), photo()),
    "lenet5": lambda: (ca.build("lenet5").eval().double(), photo(1, 32)),
    "shufflenet": lambda: (ca.build("shufflenet_v2_x0_5").eval().double(), photo(3, 64)),
    "resnet18": lambda: (ca.build("resnet18").eval().double(), photo(3, 64)),
    "capsnet": lambda: (ca.build("capsnet").eval().double(), photo(1, 28)),
}


@pytest.mark.parametrize("name", NETS)
def test_running_the_tape_again_gives_the_same_numbers(name: str) -> None:
    net, x = NETS[name]()
    with torch.no_grad():
        expected = third(net(x))
    tape = record(net, x, third)
    assert torch.equal(tape.values[tape.output], expected)
    again = {tape.photo: x}
    for operation in tape.operations:
        results = operation.run(lambda index: again.get(index, tape.values[index]))
        for index, result in zip(operation.outputs, results, strict=True):
            if index is not None:
                assert torch.allclose(result.double(), tape.values[index].double(), rtol=1e-12, atol=1e-14), operation
                again[index] = result
    assert torch.allclose(again[tape.output], expected, rtol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_the_gradient_is_the_derivative_and_autograd_s(name: str) -> None:
    net, x = NETS[name]()
    tape = record(net, x, third)
    gradient = backward(tape, [tape.photo])[tape.photo]
    if name != "custom":  # whose own backward is a lie
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(third(net(leaf)).sum(), leaf)
        assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert certify(net, x, tape, third, name).difference <= 1e-3


def test_a_backward_that_lies_is_not_believed() -> None:
    x = photo()
    tape = record(_Lying(), x, third)
    gradient = backward(tape, [tape.photo])[tape.photo]
    assert torch.allclose(gradient.flatten()[3], 2 * x.flatten()[3])


class _Lying(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Square.apply(x)


def test_a_branch_through_numpy_is_refused_by_name() -> None:
    net, x = made(ThroughNumpy), photo()
    tape = record(net, x, third)
    with pytest.raises(ca.ConvAtlasError, match=r"leaves PyTorch by numpy\(\).*occlusion"):
        certify(net, x, tape, third, "numpy")


class _FromNowhere(nn.Module):
    """Computes a value in C memory that no operation shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # This reads the memory without any function of PyTorch that could be watched.
        numbers = (ctypes.c_double * x.numel()).from_address(x.untyped_storage().data_ptr())
        hidden = torch.tensor(list(numbers), dtype=x.dtype).view(x.shape)
        return (x + hidden).mean((2, 3))


def test_a_value_from_nowhere_is_refused() -> None:
    net, x = _FromNowhere(), photo()
    score = lambda output: output[:, 1]  # noqa: E731
    tape = record(net, x, score)
    with pytest.raises(ca.ConvAtlasError, match=r"enters from outside of PyTorch"):
        certify(net, x, tape, score, "nowhere")


def test_nets_are_left_alone() -> None:
    net, x = made(Functional), photo()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    kept, state = x.clone(), torch.get_rng_state()
    record(net, x, third)
    assert torch.equal(x, kept)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("name", NETS)
def test_deep_lift_s_multipliers_sum_to_the_difference(name: str) -> None:
    net, x = NETS[name]()
    b = torch.full_like(x, 0.3)
    tapes = [record(net, each, third) for each in (x, b)]
    found = backward(tapes[0], [tapes[0].photo], lambda tape, op, gradients: secant(tape, tapes[1], op, gradients))
    scores = [float(tape.values[tape.output]) for tape in tapes]
    total = float(((x - b) * found[tapes[0].photo]).sum())
    assert abs(total - (scores[0] - scores[1])) <= 1e-11 * max(map(abs, scores))


RULES = {
    "zero": lambda number: Zero(),
    "gamma": lambda number: Gamma(0.25),
    "alpha_beta": lambda number: AlphaBeta(2.0),
    "z_plus": lambda number: AlphaBeta(1.0),
    "z_box": lambda number: AlphaBeta(1.0) if number else Box(torch.zeros(()).double(), torch.ones(()).double()),
    "flat": lambda number: Zero() if number else Flat(),
    "w_square": lambda number: Zero() if number else WeightSquare(),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["padded", "functional", "choosing", "custom", "gated", "lenet5", "capsnet"])
def test_relevance_and_ledger_sum_to_the_score(name: str, rule: str) -> None:
    net, x = NETS[name]()
    tape = record(net, x, third)
    for products in ("uniform", "signal"):
        rules = Relevance(tape, lambda number, operation: RULES[rule](number), 1e-6, products)
        multiplier = backward(tape, [tape.photo], rules.rule, rules.visit)[tape.photo]
        relevance = x * multiplier + rules.extra.get(tape.photo, torch.zeros_like(x))
        score = float(tape.values[tape.output])
        assert abs(float(relevance.sum()) + rules.ledger.total - score) <= 1e-10 * abs(score)


@pytest.mark.parametrize("composite", ["z_plus_box", "epsilon_plus"])
def test_padding_before_the_first_layer_is_as_its_own_padding(composite: str) -> None:
    x = photo() - 0.5
    results = []
    for own in (True, False):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 6, 3, 2, padding=int(own)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        net = nn.Sequential(*([] if own else [nn.ZeroPad2d(1)]), *layers, nn.Linear(6, 5))
        results.append(explain(net.eval().double(), x, Lrp(composite), 3))
    first, second = results
    assert np.allclose(first.values, second.values, rtol=1e-10, atol=1e-14)
    assert first.ledger == pytest.approx(second.ledger)


@pytest.mark.parametrize(
    "name", ["functional", "resnet18", "vgg16", "alexnet_one_tower", "densenet121", "googlenet_bn"]
)
def test_lrp_is_gradient_times_input_where_all_is_relu_and_max_pooling(name: str) -> None:
    net, x = NETS[name]() if name in NETS else (ca.build(name, seed=0, size=64).eval().double(), photo(3, 64))
    tape = record(net, x, third)
    rules = Relevance(tape, lambda number, operation: Zero(), 1e-12)
    found = x * backward(tape, [tape.photo], rules.rule, rules.visit)[tape.photo]
    expected = x * backward(tape, [tape.photo])[tape.photo]
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_tape_is_freed_with_its_last_name() -> None:
    """Tapes are large: they must not wait for the garbage collector."""
    net, x = Functional().eval(), torch.rand(1, 3, 8, 8)
    # The first recording of a process loads parts of PyTorch that keep its frames.
    record(net, x, lambda output: output[:, 0])
    gc.collect()
    gc.disable()
    try:
        tape = record(net, x, lambda output: output[:, 0])
        freed = weakref.ref(tape)
        del tape
        assert freed() is None
    finally:
        gc.enable()
