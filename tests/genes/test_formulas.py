"""Each gene computes its formula: against numpy, scipy, closed forms and brute force, never against itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special

from convatlas.genes.attention import eca_kernel
from convatlas.genes.genome import Genome
from convatlas.genes.loci import LOCI, REGULARIZATIONS
from convatlas.genes.normalization import Norm, groups_of
from convatlas.genes.padding import Pad, same_amounts
from convatlas.genes.regularization import StochasticDepth

X = np.linspace(-5, 5, 101)

ACTIVATION_FORMULAS = {
    "identity": X,
    "logistic": special.expit(X),
    "tanh": np.tanh(X),
    "scaled_tanh": 1.7159 * np.tanh(2 * X / 3),
    "relu": np.maximum(X, 0),
    "relu6": np.clip(X, 0, 6),
    "leaky": np.where(X > 0, X, 0.01 * X),
    "leaky_darknet": np.where(X > 0, X, 0.1 * X),
    "prelu": np.where(X > 0, X, 0.25 * X),
    "elu": np.where(X > 0, X, np.expm1(X)),
    "selu": 1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(X)),
    "gelu": X * special.ndtr(X),
    "silu": X * special.expit(X),
    "hard_swish": X * np.clip(X + 3, 0, 6) / 6,
    "mish": X * np.tanh(np.log1p(np.exp(X))),
    "softplus": np.log1p(np.exp(X)),
    "gaussian": np.exp(-(X**2) / 2),
    "bell": 1 / (1 + np.abs(X) ** 4),
}


def test_every_activation_has_its_formula():
    assert set(ACTIVATION_FORMULAS) == set(LOCI["activation"])


@pytest.mark.parametrize("name", LOCI["activation"])
def test_activation(name):
    module = LOCI["activation"][name].make(1).double()
    found = module(torch.from_numpy(X).reshape(1, 1, 1, -1)).detach().numpy().ravel()
    np.testing.assert_allclose(found, ACTIVATION_FORMULAS[name], atol=1e-12)


def test_scaled_tanh_keeps_one():
    module = LOCI["activation"]["scaled_tanh"].make(1)
    assert module(torch.tensor([1.0, -1.0])).tolist() == pytest.approx([1, -1], abs=1e-4)


@given(st.integers(1, 300), st.integers(1, 11), st.integers(1, 5), st.integers(1, 3))
def test_same_gives_as_many_outputs_as_strides_and_puts_the_odd_pixel_after(size, kernel, stride, dilation):
    before, after = same_amounts(size, kernel, stride, dilation)
    reach = (kernel - 1) * dilation + 1
    assert after - before in (0, 1)
    outputs = -(-size // stride)
    if before + after:
        # No pixel of the border is spare: one less, and the last window would not fit.
        assert (outputs - 1) * stride + reach == size + before + after
    else:
        assert (outputs - 1) * stride + reach <= size


@pytest.mark.parametrize(
    ("fill", "mode"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_fills_are_those_of_numpy(fill, mode):
    x = np.arange(30.0).reshape(1, 1, 5, 6)
    found = Pad((1, 2), fill=fill)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(found, np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)), mode=mode))


@pytest.mark.parametrize("fill", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (5, 5)])
def test_a_convolution_with_each_fill_is_that_of_scipy(fill, stride, kernel):
    modes = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "grid-wrap"}
    genome = Genome(padding=fill)
    conv = torch.nn.Sequential(*genome.conv(1, 1, kernel, stride, alignment="symmetric").values()).double()
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = conv[-1].weight.detach().numpy()[0, 0]
    expected = ndimage.correlate(x.numpy()[0, 0], weight, mode=modes[fill])[::stride, ::stride]
    np.testing.assert_allclose(conv(x).detach().numpy()[0, 0], expected, atol=1e-12)


def windows(x: np.ndarray, kernel: int, stride: int, alignment, border: str) -> list[list[np.ndarray]]:
    """The windows of a map as a person would cut them out; positions outside are left out or zero."""
    height, width = x.shape
    if alignment == "valid":
        top = left = bottom = right = 0
    elif alignment == "same":
        (top, bottom), (left, right) = same_amounts(height, kernel, stride), same_amounts(width, kernel, stride)
    else:
        top = left = bottom = right = (kernel - 1) // 2
    rows = []
    for i in range(-top, height + bottom - kernel + 1, stride):
        row = []
        for j in range(-left, width + right - kernel + 1, stride):
            cells = [
                x[a, b] if 0 <= a < height and 0 <= b < width else 0.0
                for a in range(i, i + kernel)
                for b in range(j, j + kernel)
                if border == "zeros" or (0 <= a < height and 0 <= b < width)
            ]
            row.append(np.array(cells))
        rows.append(row)
    return rows


def stochastic(cells: np.ndarray) -> float:
    cells = np.maximum(cells, 0)
    return float((cells**2).sum() / max(cells.sum(), 1e-12))


POOLING_FORMULAS = {
    "max": np.max,
    "average": np.mean,
    "l2": lambda cells: math.sqrt((cells**2).mean()),
    "mixed": lambda cells: 0.5 * cells.max() + 0.5 * cells.mean(),
    "stochastic": stochastic,
}


@pytest.mark.parametrize("name", POOLING_FORMULAS)
@pytest.mark.parametrize("border", ["outside", "zeros"])
@pytest.mark.parametrize("alignment", ["valid", "same", "symmetric"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (6, 2, 2), (5, 3, 1)])
def test_pooling(name, border, alignment, size, kernel, stride):
    x = np.random.default_rng(size).normal(size=(size, size))
    pool = LOCI["pooling"][name].make(1, kernel, stride, alignment, border).double().eval()
    found = pool(torch.from_numpy(x)[None, None]).detach().numpy()[0, 0]
    expected = [
        [POOLING_FORMULAS[name](cells) for cells in row] for row in windows(x, kernel, stride, alignment, border)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6 if name == "l2" else 1e-12)


def test_subsampling_is_gain_times_sum_plus_bias():
    pool = LOCI["pooling"]["subsampling"].make(2, 2, 2)
    with torch.no_grad():
        pool.weight.copy_(torch.tensor([1.0, 2.0]))
        pool.bias.copy_(torch.tensor([0.5, -0.5]))
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pool(x).flatten().tolist() == [0 + 1 + 2 + 3 + 0.5, 2 * (4 + 5 + 6 + 7) - 0.5]


def test_overlapping_sees_one_pixel_more_than_the_stride():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert LOCI["pooling"]["overlapping"].make(1, 2, 2)(x).flatten().tolist() == [10, 11, 14, 15]
    assert LOCI["pooling"]["max"].make(1, 2, 2)(x).flatten().tolist() == [5, 7, 13, 15]


def test_blurred_is_a_binomial_blur_of_the_dense_maximum():
    x = np.random.default_rng(0).normal(size=(8, 8))
    dense = np.array([[x[i : i + 2, j : j + 2].max() for j in range(7)] for i in range(7)])
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = ndimage.correlate(dense, blur, mode="nearest")[::2, ::2]
    found = LOCI["pooling"]["blurred"].make(1, 2, 2).double()
    found.reset_parameters()
    np.testing.assert_allclose(found(torch.from_numpy(x)[None, None])[0, 0].numpy(), expected, atol=1e-12)


def test_stochastic_pooling_draws_in_proportion():
    torch.manual_seed(0)
    pool = LOCI["pooling"]["stochastic"].make(1, 2, 2).train()
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(20000, 1, 2, 2)
    drawn = pool(x).flatten()
    for value in (1.0, 2.0, 3.0, 4.0):
        share = (drawn == value).float().mean().item()
        assert share == pytest.approx(value / 10, abs=4 * math.sqrt(0.25 / 20000))


@given(st.integers(4, 40), st.sampled_from([(2, 2), (3, 2), (3, 1)]), st.sampled_from(["valid", "same", "symmetric"]))
@settings(max_examples=30, deadline=None)
def test_every_pooling_gives_the_same_map_size(size, window, alignment):
    kernel, stride = window
    x = torch.rand(1, 4, size, size)
    sizes = {
        name: tuple(gene.make(4, kernel, stride, alignment, "outside").eval()(x).shape)
        for name, gene in LOCI["pooling"].items()
    }
    assert len(set(sizes.values())) == 1, sizes


def test_flattenings():
    x = np.random.default_rng(0).random((2, 3, 8, 8)) + 0.1
    found = {
        name: gene.make().double()(torch.from_numpy(x)).detach().numpy() for name, gene in LOCI["flattening"].items()
    }
    np.testing.assert_array_equal(found["flatten"], x.reshape(2, -1))
    np.testing.assert_allclose(found["global_average"], x.mean((2, 3)), atol=1e-12)
    np.testing.assert_array_equal(found["global_max"], x.max((2, 3)))
    np.testing.assert_allclose(found["gem"], (x**3).mean((2, 3)) ** (1 / 3), atol=1e-12)
    parts = [
        x[:, :, i * s : (i + 1) * s, j * s : (j + 1) * s].max((2, 3))
        for bins, s in ((1, 8), (2, 4), (4, 2))
        for i in range(bins)
        for j in range(bins)
    ]
    ours = found["pyramid"]
    assert ours.shape == (2, 3 * 21)
    np.testing.assert_array_equal(np.sort(ours, 1), np.sort(np.concatenate(parts, 1), 1))


def test_normalizations():
    x = np.random.default_rng(0).normal(3, 2, size=(4, 64, 5, 5))
    norm = Norm(eps=1e-3)
    made = {name: gene.make(64, norm).double().train() for name, gene in LOCI["normalization"].items()}
    found = {name: module(torch.from_numpy(x)).detach().numpy() for name, module in made.items()}

    def standardized(values, axes):
        return (values - values.mean(axes, keepdims=True)) / np.sqrt(values.var(axes, keepdims=True) + 1e-3)

    np.testing.assert_array_equal(found["none"], x)
    np.testing.assert_allclose(found["batch"], standardized(x, (0, 2, 3)), atol=1e-12)
    deviation = x.std((0, 2, 3), ddof=1, keepdims=True) + 1e-3
    np.testing.assert_allclose(found["batch_darknet"], (x - x.mean((0, 2, 3), keepdims=True)) / deviation, atol=1e-12)
    np.testing.assert_allclose(found["layer"], standardized(x, 1), atol=1e-12)
    np.testing.assert_allclose(found["instance"], standardized(x, (2, 3)), atol=1e-12)
    grouped = standardized(x.reshape(4, 32, 2, 5, 5), (2, 3, 4)).reshape(x.shape)
    np.testing.assert_allclose(found["group"], grouped, atol=1e-12)
    padded = np.pad(x**2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    around = sum(padded[:, i : i + 64] for i in range(5))
    np.testing.assert_allclose(found["local_response"], x / (2 + 1e-4 * around) ** 0.75, rtol=1e-6)
    np.testing.assert_allclose(found["local_response_caffe"], x / (1 + 1e-4 / 5 * around) ** 0.75, rtol=1e-6)


def test_darknet_divides_by_the_deviation_plus_eps():
    draw = np.random.default_rng(0)
    # So small a variance that the place of eps can be told.
    x = draw.normal(3, 1e-6, size=(4, 5, 6, 7))
    norm = LOCI["normalization"]["batch_darknet"].make(5, Norm(eps=1e-6, momentum=0.01)).double()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(draw.random(5)))
        norm.bias.copy_(torch.from_numpy(draw.random(5)))
    gamma, beta = (part.detach().numpy()[:, None, None] for part in (norm.weight, norm.bias))
    mean, deviation = x.mean((0, 2, 3))[:, None, None], x.std((0, 2, 3), ddof=1)[:, None, None]
    found = norm.train()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, gamma * (x - mean) / (deviation + 1e-6) + beta, atol=1e-9)
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.01 * mean.ravel(), rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.numpy(), 0.99 + 0.01 * deviation.ravel() ** 2, rtol=1e-12)
    norm.running_var.copy_(torch.tensor([0, 1e-12, 1e-6, 1, 1e6], dtype=torch.float64))
    root = np.sqrt(norm.running_var.numpy())[:, None, None]
    still = gamma * (x - norm.running_mean.numpy()[:, None, None]) / (root + 1e-6) + beta
    np.testing.assert_allclose(norm.eval()(torch.from_numpy(x)).detach().numpy(), still, rtol=1e-9)


def test_darknet_s_normalization_of_dead_channels_has_a_slope():
    norm = LOCI["normalization"]["batch_darknet"].make(2, Norm(eps=1e-6, momentum=0.01)).train()
    x = torch.zeros(2, 2, 3, 3, requires_grad=True)
    norm(x).square().sum().backward()
    assert torch.isfinite(x.grad).all()
    with pytest.raises(ValueError, match="one value per channel"):
        norm(torch.zeros(1, 2, 1, 1))


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (24, 24), (44, 22), (7, 7), (37, 1), (1, 1), (728, 28)])
def test_groups(channels, groups):
    assert groups_of(channels) == groups


def relu(channels: int) -> torch.nn.Module:
    return torch.nn.ReLU()


def test_squeeze_excitation():
    module = LOCI["attention"]["squeeze_excitation"].make(8, 2, relu).double()
    x = np.random.default_rng(0).normal(size=(2, 8, 4, 4))
    w1, b1, w2, b2 = (p.detach().numpy().reshape(p.shape[0], -1) for p in module.parameters())
    hidden = np.maximum(x.mean((2, 3)) @ w1.T + b1.T, 0)
    gate = special.expit(hidden @ w2.T + b2.T)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), x * gate[:, :, None, None], atol=1e-12)


def test_eca_gates_by_neighbouring_channels():
    assert [eca_kernel(channels) for channels in (64, 128, 256, 512, 2048)] == [3, 5, 5, 5, 7]
    module = LOCI["attention"]["eca"].make(64, 4, relu).double()
    x = np.random.default_rng(0).normal(size=(2, 64, 4, 4))
    kernel = next(module.parameters()).detach().numpy().ravel()
    gate = special.expit(ndimage.correlate1d(x.mean((2, 3)), kernel, axis=1, mode="constant"))
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), x * gate[:, :, None, None], atol=1e-12)


def test_cbam():
    module = LOCI["attention"]["cbam"].make(8, 2, relu).double()
    x = torch.randn(2, 8, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w1, w2, w3 = module.parameters()

    def shared(v):
        return F.relu(v @ w1[:, :, 0, 0].T) @ w2[:, :, 0, 0].T

    y = x * torch.sigmoid(shared(x.mean((2, 3))) + shared(x.amax((2, 3))))[:, :, None, None]
    pair = torch.stack([y.mean(1), y.amax(1)], 1)
    expected = y * torch.sigmoid(F.conv2d(pair, w3, padding=3))
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=0)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = StochasticDepth(0.3).train()
    y = layer(torch.ones(20000, 2, 1, 1))
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert torch.equal(y[:, 0], y[:, 1])
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    x = torch.randn(3, 2, 2, 2)
    assert torch.equal(layer.eval()(x), x)


def test_every_gene_says_all_about_itself():
    for locus, genes in (LOCI | {"regularization": REGULARIZATIONS}).items():
        for name, gene in genes.items():
            assert (gene.locus, gene.name) == (locus, name)
            assert all((gene.formula, gene.shape, gene.parameters, gene.macs, gene.source))
