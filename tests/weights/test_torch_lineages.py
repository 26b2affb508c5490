"""Files written by live torchvision and timm load with their logits, and ours load there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.parity.subjects import calibrate, double, fill
from tests.parity.test_keras import BOUND, SIZES, USUAL, distance
from tests.weights import tables
from torch import nn
from torchvision import models

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import Weights, all_weights, table_text
from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample
from convatlas.weights.formats.state_io import read_state
from convatlas.weights.lineage import lineage
from convatlas.weights.registry import origin

ROWS = [row for row in all_weights() if row.origin in ("torchvision", "timm")]


def architecture(row: Weights) -> str:
    return f"{row.origin}/{row.model.partition('.')[0]}"


CASES = {architecture(row): row for row in reversed(ROWS) if row.outputs}
SMALL = (
    "torchvision/resnet50",
    "torchvision/densenet121",
    "torchvision/inception_v3",
    "torchvision/mobilenet_v2",
    "torchvision/efficientnet_b0",
    "torchvision/convnext_tiny",
    "torchvision/alexnet",
    "torchvision/googlenet",
    "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5",
    "timm/resnet50",
    "timm/densenet121",
    "timm/inception_resnet_v2",
    "timm/legacy_xception",
    "timm/mobilenetv1_100",
    "timm/mobilenetv2_100",
    "timm/tf_efficientnet_b0",
    "timm/efficientnet_b0",
    "timm/tf_efficientnetv2_b0",
    "timm/tf_efficientnet_lite0",
    "timm/efficientnet_lite0",
    "timm/convnext_tiny",
    "timm/seresnext50_32x4d",
)


def made(row: Weights, aux: bool = False) -> nn.Module:
    """The peer's net, with random weights, in float64."""
    name = row.model.partition(".")[0]
    with double():
        if row.origin == "timm":
            return timm.create_model(name, pretrained=False).eval()
        options = {"transform_input": True, "aux_logits": aux, "init_weights": False}
        more = options if name in ("inception_v3", "googlenet") else {}
        return models.get_model(name, weights=None, **more).eval()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    return tmp_path


def published(row: Weights, peer: nn.Module, folder: Path) -> Path:
    """The file as its publisher writes it."""
    weights = {name: t.float() if t.is_floating_point() else t for name, t in peer.state_dict().items()}
    path = folder / row.file
    if path.suffix == ".safetensors":
        save_file(weights, path, {"format": "pt"})
    else:
        torch.save(weights, path)
    return path


@torch.no_grad()
def answers(net: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> np.ndarray:
    y = net.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    return y.numpy()


def compare(row: Weights, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    peer = made(row, aux=True)
    fill(peer, draw)
    sizes = (224,) if row.net.startswith(("vgg", "alexnet")) else SIZES.get(row.net, USUAL)
    calibrate(peer, torch.randn(16, 3, sizes[0], sizes[0], generator=draw).double())
    path = published(row, peer, home)
    monkeypatch.setattr(origin(row.origin), "file", lambda weights: path)
    net = ca.load(row.net, weights=row.name)
    assert net.lineage == lineage(row)
    by_path = ca.load(row.net, weights=str(path), convention=row.name)
    back = ca.export(net, home / f"back{path.suffix}", layout=row.origin)
    returned = made(row)
    state = read_state(back)
    missing, surplus = returned.load_state_dict(state, strict=False)
    assert not surplus
    assert not [name for name in missing if not name.endswith("num_batches_tracked")]
    for size in sizes:
        x = torch.randn(2, 3, size, size, generator=draw)
        theirs, single = answers(peer, x, torch.float64), answers(peer, x, torch.float32)
        assert theirs.std() > 0.1
        assert not np.allclose(theirs[0], theirs[1])
        ours = answers(net, x, torch.float32)
        assert distance(answers(net, x, torch.float64), theirs) <= BOUND
        assert distance(answers(by_path, x, torch.float64), theirs) <= BOUND
        assert distance(answers(returned, x, torch.float64), theirs) <= BOUND
        assert distance(ours, single.astype("float64")) <= 10 * distance(single, theirs)
        for module in (peer, net):
            module.float()


@pytest.mark.parametrize("case", SMALL)
def test_a_published_file_loads_with_the_publisher_s_logits(case, home, monkeypatch):
    compare(CASES[case], home, monkeypatch)


LARGE = ("efficientnet_v2_l", "efficientnetv2_l", "convnext_large", "convnext_xlarge", "vgg16", "vgg19")


@pytest.mark.sweep
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.xdist_group("large" if case.endswith(LARGE) else case)])
        for case in CASES
        if case not in SMALL
    ],
)
def test_every_other_published_file_does(case, home, monkeypatch):
    compare(CASES[case], home, monkeypatch)


def test_every_lineage_has_its_parity():
    assert set(SMALL) < set(CASES)
    assert {architecture(row) for row in ROWS} == set(CASES)
    assert len([row for row in ROWS if row.origin == "torchvision"]) >= 30
    assert len([row for row in ROWS if row.origin == "timm"]) >= 40


def test_the_tables_are_what_the_peers_say():
    assert table_text(tables.torchvision_rows()) == tables.table("torchvision")
    assert table_text(tables.timm_rows()) == tables.table("timm")


def transforms(row: Weights):
    if row.origin == "timm":
        options = timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(row.model).to_dict())
        return timm.data.create_transform(**options)
    name, _, member = row.model.partition(".")
    return models.get_model_weights(name)[member].transforms()


WAYS = {(row.origin, lineage(row).preprocessing): row for row in ROWS}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1].size[0]}-{way[1].resize}")
def test_preprocessing_is_theirs_to_the_bit(way):
    row = WAYS[way]
    for name in SAMPLES:
        photo = read(sample(name))
        for pixels in (photo, photo[:, ::3], photo[:200:4, ::2]):
            theirs = transforms(row)(Image.fromarray(np.ascontiguousarray(pixels)))
            assert torch.equal(torch.from_numpy(way[1](pixels)), theirs)


def test_vgg_s_features_have_no_classifier(home, monkeypatch):
    (row,) = (row for row in ROWS if row.name == "torchvision/IMAGENET1K_FEATURES")
    peer = models.vgg16(weights=None)
    for parameter in peer.classifier.parameters():
        nn.init.constant_(parameter, float("nan"))
    path = published(row, peer, home)
    monkeypatch.setattr(origin("torchvision"), "file", lambda weights: path)
    net = ca.load("vgg16", weights=row.name)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(net(x), peer.features(x).flatten(1), rtol=0, atol=1e-5)
    assert ca.load("vgg16", weights=row.name, classes=2)(x).isfinite().all()


def test_old_names_of_densenet(home):
    peer = models.densenet121(weights=None)
    old = {}
    for name, tensor in peer.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:4]}.{part[4]}.") if "denselayer" in name else name
        old[name] = tensor
    assert any(".norm.1." in name for name in old)
    torch.save(old, home / "old.pth")
    net = ca.load("densenet121", weights=str(home / "old.pth"))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(net(x), peer.eval()(x), atol=1e-5)


def test_a_file_that_fits_two_conventions_must_be_told(home):
    peer = timm.create_model("efficientnet_b0", pretrained=False)
    torch.save(peer.state_dict(), home / "b0.pth")
    with pytest.raises(WeightsError, match="compute different things: choose one with convention="):
        ca.load("efficientnet_b0", weights=str(home / "b0.pth"))
    ca.load("efficientnet_b0", weights=str(home / "b0.pth"), convention="timm/ra_in1k")


def test_other_heads_by_path(home):
    peer = timm.create_model("resnet50", pretrained=False, num_classes=7)
    torch.save({"state_dict": peer.state_dict()}, home / "seven.pth")
    net = ca.load("resnet50", weights=str(home / "seven.pth"))
    assert net.classes == 7
    assert net.lineage.class_names == tuple("0123456")
    assert read_state(home / "seven.pth").keys() == peer.state_dict().keys()
