"""The map that a card names, and its own where the output gene was swapped."""

from __future__ import annotations

import pytest
import torch

from convatlas.base.errors import ConvAtlasError
from convatlas.catalogue.cards import cards
from convatlas.nets.build import build, skeleton
from convatlas.nets.probabilities import MAPS, probabilities

Y = torch.tensor([[0.5, -1.0, 3.0], [-1.0, -1.0, 1.0]])


def test_softmax_and_halves():
    assert torch.equal(probabilities(skeleton("mobilenet", classes=3), Y), Y.softmax(1))
    halves = torch.tensor([[0.75, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(probabilities(skeleton("lenet1"), Y), halves / halves.sum(1, keepdim=True))
    assert torch.equal(probabilities(skeleton("lenet1", genes={"output": "dense"}), Y), Y.softmax(1))
    assert torch.equal(probabilities(skeleton("lenet5"), Y), Y.softmax(1))


def test_what_is_a_probability_already():
    net = build("capsnet", seed=0).eval()
    with torch.no_grad():
        y = net(torch.rand(2, 1, 28, 28))
    assert torch.equal(probabilities(net, y), y)


def test_answers_that_name_no_class():
    with pytest.raises(
        ConvAtlasError, match="neocognitron puts out cell responses, which cannot be converted to probabilities"
    ):
        probabilities(skeleton("neocognitron"), Y)


def test_every_classifier_s_card_names_a_map():
    others = {card.family for card in cards().values() if card.probabilities not in MAPS}
    assert others == {"yolo", "cognitron", "neocognitron"}
