"""EfficientNet-Lite0 to 4 compute the functions of `efficientnet_lite_pytorch`."""

from __future__ import annotations

import pytest
import torch
from tests.parity import lite_oracle
from tests.parity.subjects import subject
from tests.parity.test_keras import BOUND, answer, arrays, distance


def compare(number: int, size: int) -> None:
    net, x = subject(f"efficientnet_lite{number}", size)
    theirs, single = lite_oracle.logits(f"efficientnet-lite{number}", arrays(net, x), x.numpy(), ["float64", "float32"])
    assert distance(answer(net, x, torch.float64), theirs) <= BOUND
    peer = distance(single, theirs)
    assert distance(answer(net, x, torch.float32), single.astype("float64")) <= 10 * peer


@pytest.mark.parametrize("size", [64, 95])
def test_lite0(size):
    compare(0, size)


@pytest.mark.sweep
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [64, 95])
def test_lite(number, size):
    compare(number, size)
