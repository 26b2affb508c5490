"""What the tracer keeps of values, what it does where it cannot see, and that a net is only read."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import convatlas as ca
from convatlas.anatomy.looking.grids import draw_maps
from convatlas.anatomy.looking.pixel import explain_pixel
from convatlas.anatomy.measure.activations import activations
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import UnknownName
from convatlas.pictures.pixels import png, shaded
from convatlas.pictures.shapes import Image, flat


class Overwriting(nn.Module):
    """A convolution whose map a ReLU overwrites, and which is written to once more as a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.conv(x))
        z = self.last(y)
        y[:, :2] = 5
        return z * y.mean()


X = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def test_values_are_those_before_a_later_write() -> None:
    net = Overwriting().eval()
    with torch.no_grad():
        conv = net.conv(X)
        relu = conv.relu()
        last = net.last(relu)
        result = net(X)
    values = activations(net, X, ["conv", "relu", 3, "last"])
    for layer, right in (("conv", conv), ("relu", relu), (3, last), ("last", last)):
        assert torch.equal(values[layer], right)
    every = activations(net, X)
    assert list(every) == list(range(1, len(ca.measure(net, size=9).layers) + 1))
    assert torch.equal(every[1], conv)
    assert torch.equal(every[len(every)], result)
    with pytest.raises(UnknownName):
        activations(net, X, ["con"])
    with pytest.raises(UnknownName):
        activations(net, X, [len(every) + 1])


def test_a_pixel_and_maps_are_those_before_a_later_write() -> None:
    net = Overwriting().double().eval()
    x = X.double()
    with torch.no_grad():
        conv, last = net.conv(x), net.last(net.conv(x).relu())
    apart = explain_pixel(net, x, "conv", 1, 2, 3)
    assert apart.output == conv[0, 1, 2, 3]
    assert apart.total == pytest.approx(apart.output, abs=1e-12)
    apart = explain_pixel(net, x, "last", 1, 2, 3)
    assert apart.output == last[0, 1, 2, 3]
    assert apart.total == pytest.approx(apart.output, abs=1e-12)
    images = [shape for shape in flat(draw_maps(net, x, "conv").shapes) if isinstance(shape, Image)]
    assert images[2].png == png(shaded(conv[0, 2].numpy()))


def test_shapes_take_no_memory() -> None:
    net = Overwriting()
    for operation in trace(net, X):
        assert all(tensor.is_meta for tensor in operation.outputs)
    only = trace(net, X, keep="values", only={1})
    assert [operation.outputs[0].is_meta for operation in only] == [number != 1 for number in range(len(only))]
    assert [operation.shapes for operation in trace(net, X)] == [operation.shapes for operation in only]


def test_outputs_are_all_that_an_operation_gives() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.exp(), x[:, :1].sin()

    (operation,) = trace(nn.Sequential(Pair()), X, keep="values")
    assert [tuple(tensor.shape) for tensor in operation.outputs] == [(1, 3, 9, 9), (1, 1, 9, 9)]
    assert torch.equal(operation.outputs[1], X[:, :1].sin())


class Outside(torch.autograd.Function):
    """A function that computes in NumPy."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return torch.from_numpy(np.maximum(x.numpy(), 0))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return grad


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).relu()


class Within(nn.Module):
    """A convolution, a function, and a convolution that reads the function's result alone, beside a shortcut."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.function(self.first(x)))


@pytest.mark.parametrize(
    "function",
    [
        scripted,
        Outside.apply,
        torch.vmap(lambda x: x * 2),
        lambda x: torch.from_numpy(x.numpy()),
        lambda x: torch.tensor(x.tolist()),
    ],
    ids=["scripted", "autograd", "vmap", "numpy", "list"],
)
def test_what_cannot_be_seen_is_an_unknown_operation(function: Callable[[Tensor], Tensor]) -> None:
    layers = ca.measure(Within(function), size=8).layers
    assert [layer.name for layer in layers] == ["first", "", "second", ""]
    assert [layer.kind for layer in layers] == ["convolution", "unknown", "convolution", "sum"]
    assert [layer.inputs for layer in layers] == [(0,), (1,), (2,), (0, 3)]
    assert [layer.output for layer in layers] == [(4, 8, 8), (4, 8, 8), (3, 8, 8), (3, 8, 8)]
    assert sum(layer.macs for layer in layers) == 2 * 64 * 9 * 12


def in_memory(x: Tensor) -> Tensor:
    """Read a tensor's memory, which on the meta device is none."""
    values = (ctypes.c_float * x.numel()).from_address(x.data_ptr())
    return torch.frombuffer(bytearray(values), dtype=torch.float32).reshape(x.shape)


def one_by_one(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape)
    for channel in range(x.shape[1]):
        y[:, channel] = float(x[0, channel].mean())
    return y


LEAVING: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "numpy": (lambda x: torch.from_numpy(x.numpy() * 2), "first"),
    "array": (lambda x: torch.from_numpy(np.asarray(x) * 2), "first"),
    "a function of numpy": (lambda x: torch.as_tensor(np.maximum(x, 0)), "first"),
    "list": (lambda x: torch.tensor(x.tolist()), "first"),
    "list of items": (
        lambda x: torch.tensor([value.item() for value in x.flatten().unbind()]).reshape(x.shape),
        "unbind",
    ),
    "item": (lambda x: torch.full(x.shape, x.mean().item()), "mean"),
    "item as factor": (lambda x: x * x.mean().item(), "mean"),
    "float": (lambda x: torch.zeros(x.shape) + float(x.mean()), "mean"),
    "whole number": (lambda x: torch.zeros(x.shape) + int(x.mean()), "mean"),
    "index": (lambda x: x[:, [int(x[0, :, 0, 0].argmax())] * 4], "argmax"),
    "range": (lambda x: x * len(range(x.abs().max().long())), "long"),
    "one by one": (one_by_one, "mean"),
    "decision": (lambda x: x if x.mean() > 0 else x * 2, "gt"),
    "comparison": (lambda x: x if torch.equal(x, x) else -x, "first"),
    "memory": (in_memory, "first"),
    "storage": (lambda x: torch.zeros(x.shape) + x.untyped_storage()[0], "first"),
    "another library": (lambda x: torch.from_dlpack(np.from_dlpack(x).copy()), "first"),
}


@pytest.mark.parametrize("name", list(LEAVING))
def test_layers_whose_values_leave_pytorch_are_named_and_nothing_is_left_out(name: str) -> None:
    function, source = LEAVING[name]
    anatomy = ca.measure(Within(function), size=8)
    assert source in anatomy.left_torch
    assert f"not traced: what was computed outside PyTorch from {source}" in str(anatomy)
    # The layer behind counts whether the trace finds what feeds it or not.
    assert anatomy.macs == 2 * 64 * 9 * 12


def test_a_leaf_and_a_photo_that_leave_pytorch() -> None:
    class Outside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy((x * 2).numpy())

    assert ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), Outside()), size=8).left_torch == ("1",)
    first = Within(lambda x: x)
    first.register_forward_pre_hook(Scaled())
    assert ca.measure(first, size=8).left_torch == ("input",)
    assert ca.measure(Within(lambda x: x * 2), size=8).left_torch == ()


class Scaled:
    """A hook that is an object of its own."""

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        return torch.from_numpy(args[0].numpy() / 255)


def test_many_names_are_cut_short() -> None:
    def run(x: Tensor) -> Tensor:
        for name in ("sin", "cos", "tan", "exp", "sinh", "cosh"):
            x = x * getattr(x, name)().mean().item() * getattr(x, name)()[0, 0, 0, 0].item()
        return x

    assert str(ca.measure(Within(run), size=8)).endswith("from mean, getitem")
    many = Measurement("net", (3,), (3,), (), 0, 0, 0, 0, 0, 0, "-", (), left_torch=tuple("abcdef"))
    assert str(many).endswith("from a, b, c, d and 2 more")


def test_products_below_the_calls_are_counted() -> None:
    @torch.jit.script
    def convolves(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.conv2d(x, weight, padding=[1, 1])

    net = Within(lambda x: convolves(x, torch.ones(4, 4, 3, 3, device=x.device)))
    assert [layer.macs for layer in ca.measure(net, size=8).layers] == [64 * 108, 64 * 144, 64 * 108, 0]


def bits(net: nn.Module) -> list[bytes]:
    tensors = (*net.named_parameters(), *net.named_buffers())
    return [tensor.detach().numpy().tobytes() for _, tensor in tensors]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "part",
    [
        lambda: torch.jit.script(nn.BatchNorm2d(4)),
        lambda: torch.jit.trace(nn.Conv2d(4, 4, 1), torch.zeros(1, 4, 6, 6)),
        lambda: torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())),
    ],
    ids=["scripted normalization", "traced convolution", "scripted layers"],
)
def test_a_net_with_a_torchscript_part(part: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), part(), nn.Conv2d(4, 4, 3))
    modes = [module.training for module in net.modules()]
    answer, before = net(X), bits(net)
    layers = ca.measure(net, size=9).layers
    assert [layer.name for layer in layers] == ["0", "1", "2"]
    assert layers[1].trainable == sum(weight.numel() for weight in net[1].parameters())
    assert bits(net) == before
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(net(X), answer)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_leaf_is_called_by_the_class_it_was_compiled_from() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x) * torch.cos(x)

    net = nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(Twice()), torch.jit.trace(Twice(), torch.zeros(1)))
    assert [layer.kind for layer in ca.measure(net, size=9).layers] == ["convolution", "Twice", "Twice"]


def test_caches_hooks_and_locks_of_the_net_stay_as_they_are() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.grids: dict[int, Tensor] = {}
            self.same = [self.conv]
            self.lock = threading.Lock()
            self.bias = self.conv.bias * 2  # Not a leaf of autograd, which cannot be deep-copied.

        def forward(self, x: Tensor) -> Tensor:
            with self.lock:
                grid = self.grids.setdefault(x.shape[-1], torch.ones(x.shape[-1], device=x.device))
            return self.same[0](x * grid) + self.bias.sum().to(x.device)

    net = Caching()
    features: list[Tensor] = []
    net.conv.register_forward_hook(lambda module, args, output: features.append(output))
    anatomy = ca.measure(net, size=9)
    assert [layer.name for layer in anatomy.layers] == ["", "conv", ""]
    assert anatomy.macs == 49 * 108
    assert net.grids == {}
    assert features == []
    net(X)
    assert len(features) == 1


def test_a_hook_that_the_net_needs_runs() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(196, 2))
    net[0].register_forward_hook(lambda module, args, output: output.flatten(1))
    assert ca.measure(net, size=9).output == (2,)
    assert ca.measure(nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3))), size=9).macs == 49 * 108


def test_threads_measure_one_net_at_once() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3))
    before, right = bits(net), ca.measure(net, size=32)
    results: list[object] = []

    def measure() -> None:
        for _ in range(5):
            results.append(ca.measure(net, size=32))

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [right] * 20
    assert not any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers()))
    assert bits(net) == before
    assert net.training


def test_random_numbers_of_a_forward_leave_the_random_state() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + torch.rand(9) if x.sum() < 1e9 else x)

    before = torch.get_rng_state()
    activations(Noisy(), X)
    ca.measure(Noisy(), size=9, channels=3)
    assert torch.equal(torch.get_rng_state(), before)
