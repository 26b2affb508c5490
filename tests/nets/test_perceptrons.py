"""Perceptrons against the formula, and their genes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.base.errors import GeneError
from convatlas.catalogue.cards import find_card

ROWS = {
    "linear": (784, 10),
    "mlp_300": (784, 300, 10),
    "mlp_1000": (784, 1000, 10),
    "mlp_300_100": (784, 300, 100, 10),
    "mlp_1000_150": (784, 1000, 150, 10),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_perceptron_is_its_formula(name):
    widths = ROWS[name]
    assert find_card("-".join(map(str, widths))).name == name
    net = ca.build(name, seed=2).double()
    x = np.random.default_rng(0).normal(size=(4, 1, 28, 28))
    y = x.reshape(4, -1)
    weights = [weight.detach().numpy() for weight in net.parameters()]
    assert [weight.shape for weight in weights[::2]] == list(zip(widths[1:], widths, strict=False))
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        y = y @ weight.T + bias
        y = y if name == "linear" else 1.7159 * np.tanh(2 / 3 * y)
    np.testing.assert_allclose(net(torch.from_numpy(x)).detach().numpy(), y, rtol=0, atol=1e-13)


def test_output_genes_on_the_same_weights():
    x = torch.randn(3, 1, 28, 28)
    squashed, dense = (ca.build("mlp_300", genes={"output": output}, seed=1) for output in ("squashed", "dense"))
    dense.load_state_dict(squashed.state_dict())
    torch.testing.assert_close(1.7159 * torch.tanh(dense(x) * 2 / 3), squashed(x))


def test_photos_of_other_sizes_and_colours():
    net = ca.build("mlp_300", size=(20, 14), channels=3, classes=4)
    assert net(torch.zeros(2, 3, 20, 14)).shape == (2, 4)
    assert ca.measure(net, size=(20, 14)).trainable == 3 * 20 * 14 * 300 + 300 + 300 * 4 + 4
    assert ca.measure("elman", size=8).macs == 4 * (64 * 300 + 300 * 300 + 300 * 10)


def test_a_row_of_84_features_has_no_bitmaps_to_feed_back():
    """Feedback needs weights in its last layer; the genes fit one by one, and together they do not."""
    genes = {"output": "rbf", "feedback": "chain"}
    with pytest.raises(GeneError, match=r"linear cannot be built from these genes together .*dense or squashed"):
        ca.build("linear", size=(7, 12), genes=genes)


def test_first_weights_are_uniform_in_two_point_four_over_fan_in():
    net = ca.build("mlp_300")
    for weight, fan_in in zip(net.parameters(), (784, 784, 300, 300), strict=True):
        assert 0.9 * 2.4 / fan_in < weight.abs().max().item() <= 2.4 / fan_in
