"""The LeNets: every layer's parameters and connections as the papers count them, and LeNet-5 in numpy beside ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

import convatlas as ca
from convatlas.genes.digits import bitmaps
from convatlas.nets.families.lenet import C3, C3_OF_LENET4

# Layer: maps and their size, trainable parameters, connections. LeNet-5's are printed so in LeCun et al. 1998, II-B,
# down to F6; its RBF has 84 connections a unit, of fixed weights.
LAYERS = {
    "lenet1": {
        "h1": ((4, 24, 24), 104, 59_904),
        "h2": ((4, 12, 12), 8, 2_880),
        "h3": ((12, 8, 8), 512, 32_768),
        "h4": ((12, 4, 4), 24, 960),
        "head": ((10,), 1_930, 1_930),
    },
    "lenet4": {
        "c1": ((4, 28, 28), 104, 81_536),
        "s2": ((8, 14, 14), 16, 7_840),
        "c3": ((16, 10, 10), 1_516, 151_600),
        "s4": ((16, 5, 5), 32, 2_000),
        "f5": ((120, 1, 1), 14_120, 14_120),
        "head": ((10,), 1_210, 1_210),
    },
    "lenet5": {
        "c1": ((6, 28, 28), 156, 122_304),
        "s2": ((6, 14, 14), 12, 5_880),
        "c3": ((16, 10, 10), 1_516, 151_600),
        "s4": ((16, 5, 5), 32, 2_000),
        "c5": ((120, 1, 1), 48_120, 48_120),
        "f6": ((84,), 10_164, 10_164),
        "head": ((10,), 0, 840),
    },
}
LAYERS["lenet4_dense"] = LAYERS["lenet4"] | {"f5": ((120, 1, 1), 48_120, 48_120)}
TOTALS = {
    "lenet1": (2_578, 98_442),
    "lenet4": (16_998, 258_306),
    "lenet4_dense": (50_998, 292_306),
    "lenet5": (60_000, 340_908),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_the_published_counts(name):
    anatomy = ca.measure(name)
    found = {}
    for layer in anatomy.layers:
        stage = layer.name.split(".")[0]
        _, parameters, connections = found.get(stage, (None, 0, 0))
        found[stage] = (layer.output, parameters + layer.trainable, connections + layer.connections)
    assert found.pop("flatten")[1:] == (0, 0)
    assert found == LAYERS[name]
    assert (anatomy.parameters, anatomy.connections) == TOTALS[name]


def test_units_of_lenet1():
    assert ca.measure("lenet1").units == 4_635


def test_the_layers_the_review_counts():
    """Five in LeNet-5: three convolutions and two dense layers, of which the output has fixed weights."""
    layers = [layer for layer in ca.measure("lenet5").layers if layer.locus in ("convolution", "dense")]
    assert [layer.name.split(".")[0] for layer in layers] == ["c1", "c3", "c5", "f6", "head"]
    assert [ca.measure(name).path for name in ("lenet1", "lenet4", "lenet5", "boosted_lenet4")] == [3, 4, 5, 4]


def squash(a: np.ndarray) -> np.ndarray:
    return 1.7159 * np.tanh(2 / 3 * a)


def convolved(x: np.ndarray, kernels: list[np.ndarray], links: tuple[tuple[int, ...], ...], bias: np.ndarray):
    left = iter(kernels)
    maps = [sum(signal.correlate2d(x[channel], next(left), "valid") for channel in seen) for seen in links]
    return np.stack(maps) + bias[:, None, None]


def halved(x: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    total = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return gain[:, None, None] * total + bias[:, None, None]


def arrays(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """The weights in float64, larger than at the start and with no two subsampling gains alike."""
    torch.manual_seed(0)
    net.double()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return {name: weight.detach().numpy() for name, weight in net.named_parameters()}


def flat(kernels: np.ndarray) -> list[np.ndarray]:
    return list(kernels.reshape(-1, 5, 5))


def test_lenet5_is_the_paper_s_function():
    net = ca.build("lenet5")
    w, photo = arrays(net), np.random.default_rng(0).uniform(-0.1, 1.175, (1, 32, 32))
    every = tuple(range(16))
    y = squash(convolved(photo, flat(w["c1.conv.weight"]), ((0,),) * 6, w["c1.conv.bias"]))
    y = squash(halved(y, w["s2.pool.weight"], w["s2.pool.bias"]))
    y = squash(convolved(y, list(w["c3.conv.weight"]), C3, w["c3.conv.bias"]))
    y = squash(halved(y, w["s4.pool.weight"], w["s4.pool.bias"]))
    y = squash(convolved(y, flat(w["c5.conv.weight"]), (every,) * 120, w["c5.conv.bias"]))[:, 0, 0]
    y = squash(w["f6.dense.weight"] @ y + w["f6.dense.bias"])
    y = -((y - np.array(bitmaps())) ** 2).sum(1)
    found = net(torch.from_numpy(photo)[None]).detach().numpy()[0]
    assert np.abs(found - y).max() / y.std() <= 1e-9


def test_lenet4_feeds_each_map_of_s2_pairwise():
    net = ca.build("lenet4_dense")
    w, photo = arrays(net), np.random.default_rng(0).uniform(-0.1, 1.175, (1, 32, 32))
    y = squash(convolved(photo, flat(w["c1.conv.weight"]), ((0,),) * 4, w["c1.conv.bias"]))
    y = squash(halved(y[[0, 0, 1, 1, 2, 2, 3, 3]], w["s2.pool.weight"], w["s2.pool.bias"]))
    y = squash(convolved(y, list(w["c3.conv.weight"]), C3_OF_LENET4, w["c3.conv.bias"]))
    y = squash(halved(y, w["s4.pool.weight"], w["s4.pool.bias"]))
    y = squash(convolved(y, flat(w["f5.conv.weight"]), (tuple(range(16)),) * 120, w["f5.conv.bias"]))[:, 0, 0]
    y = squash(w["head.dense.weight"] @ y + w["head.dense.bias"])
    found = net(torch.from_numpy(photo)[None]).detach().numpy()[0]
    assert np.abs(found - y).max() / y.std() <= 1e-9


def test_the_modern_reading_is_a_gene():
    net = ca.build("lenet5", genes={"output": "dense", "activation": "relu", "pooling": "max", "convolution": "dense"})
    # C3 whole: 6 x 16 x 25 + 16 in place of 1,516; no gains and biases in S2 and S4; 850 in the last layer.
    assert sum(weight.numel() for weight in net.parameters()) == 60_000 + (2_416 - 1_516) - 44 + 850
    assert ca.measure("lenet5", genes={"output": "dense"}).path == 5


def test_larger_photos_leave_larger_maps():
    net = ca.build("lenet5", size=40)
    assert net.outputs(torch.zeros(1, 1, 40, 40))["c5"].shape == (1, 120, 3, 3)
    assert net(torch.zeros(1, 1, 40, 40)).shape == (1, 10)
    # LeNet-5 on MNIST's own 28 x 28 pixels, as is usual today: a border in place of padded photos.
    assert ca.measure("lenet5", size=28, genes={"alignment": "same"}).output == (10,)


def test_first_weights():
    net = ca.build("lenet5")
    for module, fan_in in ((net.c1.conv, 25), (net.c5.conv, 400), (net.f6.dense, 120)):
        assert 0.8 * 2.4 / fan_in < module.weight.abs().max().item() <= 2.4 / fan_in
    assert torch.equal(net.s2.pool.weight, torch.full((6,), 0.25))
    answers = net(torch.empty(64, 1, 32, 32).uniform_(-0.1, 1.175))
    assert torch.isfinite(answers).all()
