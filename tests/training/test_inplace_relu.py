"""ReLUs that run in place during training: which ones do, and that the gradients stay the same."""

from __future__ import annotations

import pytest
import torch
from tests.training.toys import CLASSES
from torch import nn

import convatlas as ca
from convatlas.training.inplace_relu import inplace_candidates, run_inplace

SMALL = {"resnet18": 64, "resnet50_v2": 64, "xception": 71, "densenet121": 64, "vgg16": 32, "shufflenet_v2_x1_0": 64}


def gradients(net, x):
    net.zero_grad()
    net.train()(x).square().sum().backward()
    return [weight.grad.clone() for weight in net.parameters()]


def ready(name):
    return ca.build(name, classes=CLASSES, size=SMALL[name], seed=1), torch.randn(2, 3, SMALL[name], SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_the_same_bits(name):
    net, x = ready(name)
    with torch.random.fork_rng():
        before = gradients(net, x)
    with run_inplace(inplace_candidates(net)), torch.random.fork_rng():
        assert any(isinstance(one, nn.ReLU) and one.inplace for one in net.modules())
        after = gradients(net, x)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(getattr(one, "inplace", False) for one in net.modules())


def test_all_of_resnet_18_and_none_that_another_reads():
    net, _ = ready("resnet18")
    assert len(inplace_candidates(net)) == 17
    # 11 of Xception's 35 ReLUs start a block whose shortcut reads the same map.
    net, _ = ready("xception")
    assert sum(isinstance(one, nn.ReLU) for one in net.modules()) == 35
    assert len(inplace_candidates(net)) == 24


def test_what_was_set_is_put_back_after_an_error():
    net, _ = ready("resnet18")
    with pytest.raises(KeyError), run_inplace(inplace_candidates(net)):
        raise KeyError
    assert not any(getattr(one, "inplace", False) for one in net.modules())
