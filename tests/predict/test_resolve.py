"""What a caller names becomes a net in one place, and once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, UnknownName, WeightsError
from convatlas.images.samples import sample
from convatlas.weights import resolve as resolving
from convatlas.weights.resolve import RANDOM, find_net, resolve


def test_names_of_nets_and_weights() -> None:
    named = find_net("LeNet-5")
    assert named is not None
    assert named.card.name == "lenet5"
    assert named.published is not None
    assert named.published.name == "own/mnist"
    assert find_net(named) is named
    assert find_net("lenet5", RANDOM).published is None
    assert find_net("lenet5", "somewhere/mine.safetensors").weights == "somewhere/mine.safetensors"
    for other in ("mine.safetensors", "package.module:net", "net.pt2", Path("mine.safetensors"), nn.Linear(2, 2)):
        assert find_net(other) is None
    with pytest.raises(UnknownName, match="lenet5"):
        find_net("lenet55")
    with pytest.raises(WeightsError, match="no keras weights"):
        find_net("lenet5", "keras")


def test_whatever_names_a_net_gives_it(tmp_path: Path) -> None:
    net = ca.load("lenet5")
    file = ca.export(net, tmp_path / "mine.safetensors")
    for name, weights in (("lenet5", None), (find_net("lenet5"), None), (file, None), (str(file), None)):
        same = resolve(name, weights)
        assert not same.training
        assert all(torch.equal(tensor, same.state_dict()[key]) for key, tensor in net.state_dict().items())
    assert resolve(net) is net
    assert resolve("lenet5", RANDOM).lineage is None
    assert isinstance(resolve("torchvision.models:squeezenet1_0"), nn.Module)
    with pytest.raises(ConvAtlasError, match="weights go with a net's name"):
        resolve(net, "own/mnist")
    with pytest.raises(ConvAtlasError, match="a net is a name, or a net from `load`, not int"):
        resolve(5)


@pytest.mark.parametrize("call", [
    lambda: ca.classify(sample("coffee"), "lenet5"),
    lambda: ca.classify(sample("coffee"), "lenet5", engine="eager"),
    lambda: ca.accelerate("lenet5", "eager"),
])  # fmt: skip
def test_a_name_is_looked_up_once(call, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    find_card = resolving.find_card
    monkeypatch.setattr(resolving, "find_card", lambda name: names.append(name) or find_card(name))
    monkeypatch.setattr("convatlas.weights.load.choose", None)
    call()
    assert names == ["lenet5"]
