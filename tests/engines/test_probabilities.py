"""Maps from outputs to probabilities: those that cards name, and those of swapped output genes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import cards
from convatlas.engines.probabilities import MAPS, probability_map_of
from convatlas.nets.build import build, skeleton
from convatlas.nets.net import Net
from convatlas.predict.nets import classifying_net

Y = torch.tensor([[0.5, -1.0, 3.0], [-1.0, -1.0, 1.0]])


def probabilities(net: Net, y: Tensor) -> Tensor:
    array: NDArray[np.float32] = MAPS[probability_map_of(net)](y.numpy())
    return torch.from_numpy(array)


def test_softmax_and_halves():
    torch.testing.assert_close(probabilities(skeleton("mobilenet", classes=3), Y), Y.softmax(1))
    halves = torch.tensor([[0.75, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(probabilities(skeleton("lenet1"), Y), halves / halves.sum(1, keepdim=True))
    torch.testing.assert_close(probabilities(skeleton("lenet1", genes={"output": "dense"}), Y), Y.softmax(1))
    torch.testing.assert_close(probabilities(skeleton("lenet5"), Y), Y.softmax(1))


def test_outputs_that_are_probabilities_already():
    net = build("capsnet", seed=0).eval()
    with torch.no_grad():
        y = net(torch.rand(2, 1, 28, 28))
    assert torch.equal(probabilities(net, y), y)


def test_outputs_that_score_no_class():
    assert probability_map_of(skeleton("neocognitron")) == "none"
    assert "none" not in MAPS
    with pytest.raises(WeightsError, match="neocognitron"):
        classifying_net(build("neocognitron"))


def test_every_classifier_s_card_names_a_map():
    others = {card.family for card in cards().values() if card.probabilities not in MAPS}
    assert others == {"yolo", "cognitron", "neocognitron"}


EXPECTED = {
    "softmax": lambda y: y.softmax(1),
    "halved": lambda y: ((1 + y) / 2).clamp(0, 1) / ((1 + y) / 2).clamp(0, 1).sum(1, keepdim=True).clamp_min(1e-12),
    "identity": lambda y: y,
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_equal_their_formulas_in_torch(name: str) -> None:
    y = 3 * torch.randn(4, 10)
    y[0] = -2
    assert np.allclose(MAPS[name](y.numpy()), EXPECTED[name](y).numpy(), atol=1e-6)
    assert set(MAPS) == set(EXPECTED)
