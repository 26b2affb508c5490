"""What is said to be known of a function's answer is what PyTorch gives, and what PyTorch refuses stays refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas as ca
from convatlas.anatomy.measure.tracing import recorder
from convatlas.anatomy.measure.tracing.meta_shortcuts import LIKE_INPUT, predicted
from convatlas.base.errors import SizeError


def vector(channels: int = 4) -> Tensor:
    return torch.empty(channels, device="meta")


X = torch.empty(2, 4, 5, 6, device="meta")
HALF = X.to(torch.float16)
STATISTICS = (vector(), vector())

SHORT = [
    (F.relu, (X,), {}),
    (F.relu, (HALF,), {"inplace": False}),
    (F.relu, (torch.empty(0, 3, device="meta"),), {}),
    (F.batch_norm, (X, *STATISTICS), {}),
    (F.batch_norm, (HALF, *STATISTICS, vector(), vector(), False, 0.1, 1e-3), {}),
    (F.batch_norm, (X, *STATISTICS), {"weight": vector(), "bias": None, "training": False}),
    (F.batch_norm, (torch.empty(2, 4, device="meta"), *STATISTICS), {}),
]
ASKED = [
    (F.relu, (X,), {"inplace": True}),
    (F.relu, (torch.zeros(2, 3),), {}),
    (F.relu, (X.transpose(2, 3),), {}),
    (F.gelu, (X,), {}),
    (torch.relu, (X,), {}),
    (F.batch_norm, (X, *STATISTICS), {"training": True}),
    (F.batch_norm, (X, None, None), {"training": True}),
    (F.batch_norm, (X, vector(), vector(5)), {}),
    (F.batch_norm, (X, *STATISTICS, vector(1)), {}),
    (F.batch_norm, (torch.zeros(1, 4), torch.zeros(4), torch.ones(4)), {}),
]


@pytest.mark.parametrize(("func", "args", "kwargs"), SHORT)
def test_the_answer_is_the_one_of_pytorch(func, args, kwargs):
    ours, theirs = predicted(func, args, kwargs), func(*args, **kwargs)
    for what in ("shape", "dtype", "device"):
        assert getattr(ours, what) == getattr(theirs, what)
    assert ours.stride() == theirs.stride()
    assert ours is not args[0]


@pytest.mark.parametrize(("func", "args", "kwargs"), ASKED)
def test_the_rest_is_left_to_pytorch(func, args, kwargs):
    assert predicted(func, args, kwargs) is None


@pytest.mark.parametrize("name", ["resnet50", "inception_resnet_v2"])
def test_the_anatomy_is_the_same_without(monkeypatch, name):
    short = ca.measure(name, size=128)
    asked = []
    monkeypatch.setattr(recorder, "predicted", lambda func, args, kwargs: asked.append(func))
    assert ca.measure(name, size=128) == short
    assert set(LIKE_INPUT) <= set(asked)


def test_a_net_that_pytorch_refuses_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5))
    with pytest.raises(SizeError, match="running_mean"):
        ca.measure(net, size=8)
