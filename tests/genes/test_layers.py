"""The random weights that layers start from: the published spread, one seed one tensor, large and small alike."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from convatlas.genes.layers import CHUNK, Convolution, Dense, uniform

SMALL, LARGE = (CHUNK // 2,), (5 * CHUNK + 3,)


@pytest.mark.parametrize("shape", [SMALL, LARGE, (3, CHUNK), (CHUNK,), (7, 5, 3, 2)])
def test_uniform_is_uniform(shape):
    torch.manual_seed(2)
    uniform(tensor := torch.full(shape, torch.nan), 0.5)
    bound = 0.5 * 3**0.5
    assert tensor.abs().max() <= bound
    assert stats.kstest(tensor.flatten().numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


def test_numbers_of_one_tensor_and_of_two_are_independent():
    torch.manual_seed(1)
    uniform(one := torch.empty(LARGE), 1.0)
    uniform(two := torch.empty(LARGE), 1.0)
    for a, b in ((one, two), (one[1:], one[:-1]), (one[CHUNK:], one[:-CHUNK])):
        assert abs(stats.pearsonr(a.numpy(), b.numpy()).statistic) < 4 / len(a) ** 0.5


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_the_generator_of_torch_decides(shape):
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        uniform(tensor := torch.empty(shape), 1.0)
        return tensor

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_dtype_and_layout(dtype):
    weight = torch.empty(64, 64, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    uniform(weight, 0.5)
    assert torch.isfinite(weight).all()
    assert weight.double().std().item() == pytest.approx(0.5, rel=0.02)


def test_layers_start_as_they_say_and_can_be_trained():
    conv, dense = Convolution(32, 64, 3, groups=2), Dense(300, 100)
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert dense.weight.std().item() == pytest.approx(0.01, rel=0.05)
    for layer in (conv, dense):
        assert not layer.bias.any()
        assert layer.weight.requires_grad
        assert layer.weight.is_leaf
