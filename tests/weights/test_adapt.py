"""Other classes and channels than the weights have: adapted, or refused in a line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from tests.parity.test_keras import distance
from tests.weights.following import following

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, SizeError, WeightsError
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.lineages import all_weights
from convatlas.nets.net import Net
from convatlas.weights.registry import choose

CLASS_WEIGHTS = {
    "boosted_lenet4": {f"net{n}.head.dense.{part}" for n in (1, 2, 3) for part in ("weight", "bias")},
    "capsnet": {"poses.votes.weight", "reconstruction.decoder.dense1.weight"},
    "jordan": {"head.output_weight", "head.output_bias", "head.output_to_hidden1"},
    "matrix_capsnet_small": {f"class_capsules.{part}" for part in ("votes.weight", "routing.beta_a", "routing.beta_u")},
    "yolo_v2_tiny_voc": {"boxes.boxes1.conv.weight", "boxes.boxes1.conv.bias"},
    "lenet1": {"head.dense.weight", "head.dense.bias"},
}
"""Weights that depend on the number of classes."""


def file_of(name: str, folder: Path) -> tuple[Net, Path]:
    net = ca.build(name, seed=3).eval()
    return net, ca.export(net, folder / f"{name}.safetensors")


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_other_classes_start_only_what_depends_on_them(tmp_path: Path, name: str) -> None:
    original, path = file_of(name, tmp_path)
    net, again, plain = (ca.load(path, classes=7, seed=seed) for seed in (5, 5, 6))
    assert net.classes == 7
    state = original.state_dict()
    fresh = {key for key, tensor in net.state_dict().items() if tensor.shape != state[key].shape}
    assert fresh == CLASS_WEIGHTS[name]
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])
        assert torch.equal(tensor, state[key]) == (key not in fresh)
        assert tensor.isfinite().all()
    assert any(not torch.equal(net.state_dict()[key], plain.state_dict()[key]) for key in fresh)
    with torch.no_grad():
        y = net(torch.rand(2, net.channels, *net.size))
    assert y.isfinite().all()
    # Boxes count more than the classes.
    assert y.shape[-1] == (7 if "yolo" not in name else 12)


def test_a_last_layer_without_weights_keeps_its_classes(tmp_path: Path) -> None:
    """The bitmaps of LeNet-5 are the digits: no weights depend on their number, and ten of them are not fresh."""
    _, path = file_of("lenet5", tmp_path)
    with pytest.raises(WeightsError, match=r"^lenet5 keeps its classes: its last layer has no weights"):
        ca.load(path, classes=7)
    assert ca.load(path, classes=10).classes == 10


@pytest.mark.parametrize("name", ["elman", "mlp_300", "linear", "feedback_chain", "capsnet", "cognitron"])
def test_weights_for_each_pixel_keep_their_channels(tmp_path: Path, name: str) -> None:
    _, path = file_of(name, tmp_path)
    with pytest.raises(WeightsError, match=rf"^{name} keeps its channels: \S+ has weights for each pixel") as raised:
        ca.load(path, channels=4)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "reader"), [("lenet5", "c1.conv"), ("boosted_lenet4", "net2.c1.conv")])
def test_grey_photos_in_colour(tmp_path: Path, name: str, reader: str) -> None:
    """A net for grey photos sees three equal channels as it saw one; and back from three to one."""
    original, path = file_of(name, tmp_path)
    x = torch.randn(3, 1, 32, 32)
    colour = ca.load(path, channels=3)
    assert colour.get_submodule(reader).weight.shape[1] == 3
    with torch.no_grad():
        assert torch.allclose(colour(x.expand(3, 3, 32, 32)), original(x), atol=1e-5)
        grey = ca.load(ca.export(colour, tmp_path / "colour.safetensors"), channels=1)
        assert torch.allclose(grey(x), original(x), atol=1e-5)


WAYS = [
    ("mobilenet_v2", "keras", ".weights.h5"),
    ("mobilenet_v2", "torchvision/IMAGENET1K_V1", ".pth"),
    ("mobilenet_v2", "timm/ra_in1k", ".safetensors"),
    ("efficientnet_lite0", "lite", ".pth"),
    ("efficientnet_b0", "", ".weights.h5"),
    ("yolo_v3_tiny", "darknet", ".weights"),
]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("name", "follows", "ending"), WAYS)
def test_the_way_back_with_other_channels(tmp_path: Path, name: str, follows: str, ending: str, channels: int) -> None:
    net = following(name, follows, channels)
    path = ca.export(net, tmp_path / f"net{ending}", layout=follows.partition("/")[0] or "keras")
    convention = follows if follows.startswith(("timm", "torchvision")) else None
    back = ca.load(name, weights=path, channels=channels, convention=convention)
    assert (back.channels, back.follows) == (channels, follows)
    x = torch.randn(1, channels, 64, 64)
    with torch.no_grad():
        assert torch.equal(back(x), net(x))
    # Of a file that was not said to be for others, three are expected.
    with pytest.raises(WeightsError, match=r"net\.(pth|safetensors|weights)"):
        ca.load(name, weights=path, convention=convention)


def test_timm_reads_four_channels_of_ours(tmp_path: Path) -> None:
    net = following("resnet18", "timm/a1_in1k", 4)
    path = ca.export(net, tmp_path / "net.safetensors", layout="timm")
    peer = timm.create_model("resnet18", in_chans=4, checkpoint_path=str(path)).eval()
    x = torch.randn(2, 4, 64, 64).double()
    with torch.no_grad():
        theirs = peer.double()(x).numpy()
        assert distance(net.double()(x).numpy(), theirs) <= 1e-9
        back = ca.load("resnet18", weights=path, channels=4, convention="timm/a1_in1k")
        assert distance(back.double()(x).numpy(), theirs) <= 1e-9


def test_a_file_for_three_channels_is_adapted_by_its_path(tmp_path: Path) -> None:
    net = ca.load("efficientnet_lite0")
    path = ca.export(net, tmp_path / "net.pth")
    four = ca.load("efficientnet_lite0", weights=path, channels=4)
    kernels = net.stem.conv.weight
    assert torch.allclose(four.stem.conv.weight, 0.75 * kernels[:, [0, 1, 2, 0]])
    assert np.isclose(four.stem.conv.weight.sum().item(), 0.75 * kernels[:, [0, 1, 2, 0]].sum().item())


ODD: list[tuple[dict[str, Any], type[ConvAtlasError], str]] = [
    ({"classes": 0}, SizeError, "classes is a whole number from 1"),
    ({"classes": "7"}, SizeError, "classes is a whole number from 1"),
    ({"classes": []}, SizeError, "classes is a whole number from 1"),
    ({"classes": True}, SizeError, "classes is a whole number from 1"),
    ({"channels": 0}, SizeError, "channels is a whole number from 1"),
    ({"channels": 1.5}, SizeError, "channels is a whole number from 1"),
    ({"genes": ["relu"]}, ConvAtlasError, "genes are a table"),
    ({"genes": "relu"}, ConvAtlasError, "genes are a table"),
    ({"genes": {1: "relu"}}, ConvAtlasError, "no locus is called '1'"),
    ({"size": "224"}, SizeError, "a size is a number of pixels"),
    ({"seed": "x"}, ConvAtlasError, "a seed is a whole number"),
    ({"weights": 5}, ConvAtlasError, "given by a name or a path; got 5"),
    ({"weights": b"lite"}, ConvAtlasError, "given by a name or a path; got b'lite'"),
    ({"weights": ""}, WeightsError, "weights of efficientnet_lite0 are known; these are: lite"),
    ({"convention": "keras"}, ConvAtlasError, "convention= is only for a foreign file of weights"),
    ({"convention": 5}, ConvAtlasError, "convention= is only for a foreign file of weights"),
    ({"weights": "a" * 5000 + ".pth"}, WeightsError, "there is no file 'aaaa"),
    ({"weights": "a\0.pth"}, WeightsError, r"there is no file 'a\\x00.pth'"),
    ({"weights": "a/" * 3000 + ".safetensors"}, WeightsError, "there is no file 'a/a/"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), ODD, ids=[str(arguments)[:40] for arguments, *_ in ODD])
def test_odd_arguments(arguments: dict[str, Any], error: type[ConvAtlasError], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        ca.load("efficientnet_lite0", **arguments)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_odd_names(tmp_path: Path) -> None:
    for name in (5, None, b"lenet5", ["lenet5"]):
        with pytest.raises(ConvAtlasError, match="given by a name or a path; got"):
            ca.load(name)
    _, path = file_of("lenet1", tmp_path)
    with pytest.raises(ConvAtlasError, match="already holds weights: leave out weights="):
        ca.load(path, weights="keras")
    for name in ("a" * 5000 + ".safetensors", tmp_path):
        with pytest.raises(ConvAtlasError):
            ca.load(name)


@pytest.mark.parametrize("name", ["LITE", "Lite", "TIMM/RA_in1k", "timm/efficientnet_lite0.ra_in1k".upper()])
def test_capitals_of_lineages_do_not_matter(name: str) -> None:
    assert choose(find_card("efficientnet_lite0"), name) == choose(find_card("efficientnet_lite0"), name.lower())
    assert choose(find_card("resnet50"), "torchvision/imagenet1k_v2").name == "torchvision/IMAGENET1K_V2"
    assert choose(find_card("resnet50"), "TorchVision").name == "torchvision/IMAGENET1K_V2"


def test_no_two_lineages_differ_by_capitals_alone() -> None:
    names = [(row.net, row.name.lower()) for row in all_weights()]
    assert len(set(names)) == len(names)
