"""A net is given back as it was, whatever was done to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convatlas.base.untouched import evaluating, same_random_state, untouched


class Caching(nn.Module):
    """A module that caches a tensor by size and has a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.cache: dict[int, Tensor] = {}
        self.grid: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.cache[x.shape[-1]] = torch.ones(1)
        self.grid = torch.ones(x.shape[-1])
        return self.norm(self.conv(x))


def bits(tensor: Tensor) -> bytes | None:
    return None if tensor.is_meta else tensor.detach().numpy().tobytes()


def state(net: nn.Module) -> list[object]:
    """Tensors by identity, place and bits, flags, gradients, modes, attributes."""
    parts: list[object] = []
    for path, module in net.named_modules():
        parts.append((path, id(module), module.training, sorted(vars(module))))
        parts.append([id(value) for value in vars(module).values()])
        parts.append([list(value) for value in vars(module).values() if isinstance(value, dict)])
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                grad = None if tensor.grad is None else (id(tensor.grad), bits(tensor.grad))
                place = id(tensor), tensor.data_ptr(), tensor.requires_grad
                parts.append((path, name, *place, bits(tensor), grad))
    return parts


def train(net: Caching) -> None:
    net.train()
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    torch.optim.SGD(net.parameters(), 0.1).step()


CHANGES: dict[str, Callable[[Caching], object]] = {
    "training": train,
    "weights written": lambda net: net.conv.weight.data.zero_(),
    "a sign of zero": lambda net: net.norm.bias.data.neg_(),
    "weights elsewhere": lambda net: setattr(net.conv.weight, "data", torch.zeros(4, 3, 3, 3)),
    "another parameter": lambda net: setattr(net.conv, "weight", nn.Parameter(torch.zeros(4, 3, 3, 3))),
    "another type": lambda net: net.double(),
    "on the meta device": lambda net: net.to("meta"),
    "a buffer written": lambda net: net.norm.running_mean.add_(1),
    "a buffer more": lambda net: net.register_buffer("more", torch.ones(1)),
    "frozen": lambda net: net.requires_grad_(False),
    "gradients cleared": lambda net: net.zero_grad(),
    "gradients written": lambda net: net(torch.randn(1, 3, 8, 8)).sum().backward(),
    "modes": lambda net: net.eval(),
    "a hook": lambda net: net.conv.register_forward_hook(lambda module, args, output: None),
    "a hook that is removed": lambda net: net.conv._forward_hooks.clear(),
    "a module more": lambda net: setattr(net, "more", nn.ReLU()),
    "a module less": lambda net: delattr(net, "norm"),
}


def example() -> Caching:
    net = Caching()
    net.norm.eval()
    net.conv.register_forward_hook(lambda module, args, output: None)
    net(torch.randn(1, 3, 8, 8)).sum().backward()
    return net


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("fails", [False, True])
def test_a_net_is_what_it_was(name: str, fails: bool) -> None:
    net = example()
    before, random = state(net), torch.get_rng_state()
    try:
        with untouched(net) as inside:
            assert inside is net
            torch.rand(1)
            CHANGES[name](net)
            if fails:
                raise KeyError(name)
    except KeyError:
        assert fails
    assert state(net) == before
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("name", list(CHANGES))
def test_each_change_is_seen_without(name: str) -> None:
    net = example()
    before = state(net)
    CHANGES[name](net)
    assert state(net) != before


def test_gradients_are_hidden_meanwhile() -> None:
    net = example()
    with untouched(net):
        assert net.conv.weight.grad is None


def test_a_scripted_part_keeps_its_numbers_and_modes() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(nn.BatchNorm2d(4)))
    mean = net[1].running_mean.clone()
    net[0].eval()
    with untouched(net):
        net.train()
        net(torch.randn(2, 3, 8, 8))
        assert not torch.equal(net[1].running_mean, mean)
        net.eval()
    assert torch.equal(net[1].running_mean, mean)
    assert [net.training, net[0].training, net[1].training] == [True, False, True]


def test_evaluating_restores_each_mode() -> None:
    net = example()
    modes = [module.training for module in net.modules()]
    with evaluating(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == modes
    with pytest.raises(RuntimeError), evaluating(net):
        net(torch.zeros(1, 3, 2, 2))
    assert [module.training for module in net.modules()] == modes


def test_random_state_is_restored() -> None:
    before = torch.get_rng_state()
    with same_random_state():
        torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), before)
