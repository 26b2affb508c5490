"""The output layer: distances to drawn digits, against numpy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.base.errors import GeneError
from convatlas.genes.digits import DRAWING, bitmaps
from convatlas.genes.output import RadialBasis


def test_bitmaps_are_ten_distinct_drawings_of_7_by_12():
    lines = DRAWING.strip().splitlines()
    assert len(lines) == 12
    assert all(len(part) == 7 and set(part) <= set(".#") for line in lines for part in line.split())
    digits = np.array(bitmaps())
    assert digits.shape == (10, 84)
    assert set(np.unique(digits)) == {-1.0, 1.0}
    # Each pair differs in at least 8 pixels: 32 apart in squared distance.
    assert min(((a - b) ** 2).sum() for a, b in combinations(digits, 2)) >= 32
    one = digits[1].reshape(12, 7)
    assert one[:, 3].tolist() == [1.0] * 12
    assert (one[5] == 1).sum() == 1


def test_distances_are_those_of_numpy_and_their_gradient_too():
    made = RadialBasis(84, 10).double()
    x = torch.randn(6, 84, dtype=torch.float64, requires_grad=True)
    y = made(x)
    digits = np.array(bitmaps())
    expected = -((x.detach().numpy()[:, None] - digits) ** 2).sum(2)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=0, atol=1e-12)
    y[0, 3].backward()
    np.testing.assert_allclose(x.grad[0].numpy(), -2 * (x.detach().numpy()[0] - digits[3]), atol=1e-12)
    assert not list(made.parameters())
    assert not made.state_dict()


def test_a_drawn_digit_is_told_from_the_others():
    answers = RadialBasis(84, 10)(torch.tensor(bitmaps()))
    assert answers.argmax(1).tolist() == list(range(10))
    assert answers.diagonal().tolist() == [0.0] * 10


def test_fewer_classes_take_the_first_digits_and_more_are_refused():
    net = ca.build("lenet5", classes=4).eval()
    assert torch.equal(net.head.points, torch.tensor(bitmaps()[:4]))
    with pytest.raises(GeneError, match="bitmaps of 10 digits, not of 11 classes; use dense or squashed"):
        ca.build("lenet5", classes=11)
    assert ca.build("lenet5", classes=11, genes={"output": "softmax"})(torch.zeros(1, 1, 32, 32)).shape == (1, 11)
