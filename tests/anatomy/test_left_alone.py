"""Measuring changes nothing of a net, whether it works or fails, and takes no memory for weights."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

import convatlas as ca
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import SizeError


def state(net: nn.Module) -> list[tuple[Any, ...]]:
    """All that a net is: tensors by identity, version and bits, flags, hooks, attributes."""
    found: list[tuple[Any, ...]] = []
    for path, module in net.named_modules():
        found.append((path, type(module), id(module), module.training))
        found.append((path, [(key, id(value)) for key, value in module._modules.items()]))
        for owned in (module._parameters, module._buffers):
            for name, tensor in owned.items():
                what = (
                    None if tensor is None else (id(tensor), tensor._version, tensor.data_ptr(), tensor.requires_grad)
                )
                found.append((path, name, type(tensor), what))
        found += [(path, name, len(value)) for name, value in vars(module).items() if isinstance(value, OrderedDict)]
        found.append((path, sorted(vars(module)), [id(value) for value in vars(module).values()]))
    found += [
        (name, tensor.detach().numpy().tobytes()) for name, tensor in (*net.named_parameters(), *net.named_buffers())
    ]
    return found


class Remembering(nn.Module):
    """A forward that writes to its buffers and attributes, adds a module, and may look at values, or fail."""

    def __init__(self, looks: bool = False, fails: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.conv.weight
        self.conv.bias.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.grid: Tensor | None = None
        self.looks, self.fails = looks, fails

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        self.scratch = self.scratch * 2
        if self.grid is None:
            self.grid = torch.ones(x.shape[-1], device=x.device)
        self.extra = nn.ReLU()
        self.register_buffer("new", torch.zeros(1))
        y = self.conv(x * self.grid) + self.tied(x)
        if self.looks and y.sum().item() < -1e9:
            return x
        if self.fails:
            raise KeyError("it fails")
        return self.extra(y)


def nets() -> dict[str, nn.Module]:
    resnet = models.resnet18(weights=None)
    resnet.layer2.eval()
    resnet.fc.weight.requires_grad_(False)
    resnet.relu.register_forward_hook(lambda module, given, output: None)
    return {
        "resnet18": resnet,
        "shufflenet": models.shufflenet_v2_x0_5(weights=None),
        "timm": timm.create_model("seresnet18"),
        "ours": ca.build("mobilenet", classes=3),
        "remembering": Remembering(),
        "looking": Remembering(looks=True),
        "weight norm": nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
        "one layer": nn.Conv2d(3, 4, 3),
    }


@pytest.mark.parametrize("name", list(nets()))
@pytest.mark.parametrize("training", [True, False])
def test_a_net_is_left_as_it_was(name: str, training: bool) -> None:
    net = nets()[name]
    if not training:
        net.eval()
    before, generator = state(net), torch.get_rng_state()
    first = ca.measure(net, size=64)
    assert state(net) == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert ca.measure(net, size=64) == first
    assert state(net) == before


@pytest.mark.parametrize("looks", [True, False])
def test_a_net_that_fails_is_left_as_it_was(looks: bool) -> None:
    net = Remembering(looks=looks, fails=True)
    before = state(net)
    with pytest.raises(SizeError, match="it fails"):
        ca.measure(net, size=8)
    assert state(net) == before
    with pytest.raises(SizeError):
        ca.measure(net, size=2)
    assert state(net) == before


def test_the_eye_that_watches_sees() -> None:
    """Each of the changes that a forward makes is one that `state` tells."""
    changes = {
        "a buffer written to": lambda net: net.calls.add_(1),
        "another buffer": lambda net: setattr(net, "scratch", net.scratch.clone()),
        "another buffer's bits": lambda net: net.scratch.data.mul_(2),
        "an attribute": lambda net: setattr(net, "grid", torch.ones(1)),
        "a module": lambda net: setattr(net, "extra", nn.ReLU()),
        "one buffer more": lambda net: net.register_buffer("new", torch.zeros(1)),
        "a weight's bits": lambda net: net.conv.weight.data.mul_(2),
        "another weight": lambda net: setattr(net.tied, "weight", nn.Parameter(net.conv.weight.clone())),
        "a gradient wanted": lambda net: net.conv.bias.requires_grad_(True),
        "another mode": lambda net: net.conv.eval(),
        "a hook": lambda net: net.conv.register_forward_pre_hook(lambda module, given: None),
    }
    for what, change in changes.items():
        net = Remembering()
        before = state(net)
        assert state(net) == before
        change(net)
        assert state(net) != before, what


def test_a_traced_pass_that_fails_leaves_no_hooks() -> None:
    net = Remembering(fails=True)
    with pytest.raises(KeyError):
        trace(net, torch.zeros(1, 3, 8, 8))
    assert net.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert not torch.overrides._get_current_function_mode_stack()


def test_the_answers_are_the_same_afterwards() -> None:
    net = models.resnet18(weights=None).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = net(x)
        ca.measure(net, size=64)
        assert torch.equal(net(x), before)
    net(x).sum().backward()
    assert net.conv1.weight.grad is not None


MEMORY = """
import torch
import convatlas as ca
from torch import nn

def peak():
    # Not `getrusage`: its peak is that of the process this one was forked from, where that was larger.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

ca.measure("convnext_tiny")
wide = nn.Sequential(*[nn.Conv2d(3, 64, 3, padding=1), *[nn.Conv2d(64, 64, 3, padding=1) for _ in range(8)]])
ca.measure(wide, size=32)
before = peak()
{what}
print((peak() - before) * 1024)
"""


def grown(what: str) -> int:
    """How many bytes more a process needed at its peak, for `what`."""
    made = subprocess.run([sys.executable, "-c", MEMORY.format(what=what)], capture_output=True, text=True, check=True)
    return int(made.stdout)


def test_no_memory_for_weights_and_maps() -> None:
    """1.4 GB of weights, and 4 GB of maps of a net whose weights are on the CPU."""
    weights = 'assert ca.measure("convnext_xlarge").parameters == 350196968'
    assert grown(f"{weights}; assert ca.measure(wide, size=1344).memory > 4e9") < 300e6


def test_the_scales_weigh() -> None:
    assert grown("kept = torch.ones(150_000_000)") > 300e6
