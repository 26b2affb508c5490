"""Files that live Keras wrote, loaded through the front door: the same logits, and back again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity import subjects
from tests.parity.test_keras import BOUND, KERAS, LARGE, SIZES, SMALLEST, USUAL, answer, arrays, distance
from tests.weights import keras_live

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import cards
from convatlas.nets.families.efficientnet import DEVIATION
from convatlas.nets.net import Net
from convatlas.weights.registry import origin

ABOVE = ("vgg16", *LARGE)
"""Nets above 100 million parameters, which never run beside each other."""

QUICK_FORMATS = ("mobilenet", "convnext_tiny")
QUICK_NOTOP = ("vgg16", "mobilenet", "convnext_tiny")
"""Of the smallest nets of the families; with all, the quick suite would take minutes longer."""

WEIGHTS = ("weights.h5",)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Gone after the test, for the files are large; the store is in it, and the published file is its weights.h5."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        monkeypatch.setenv("CONVATLAS_HOME", str(path / "home"))
        monkeypatch.setattr(origin("keras"), "file", lambda weights: path / "weights.h5")
        yield path


def met(
    name: str, folder: Path, size: int, files: Iterable[str], top: bool = True
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Photos, and what live Keras says to them with random weights; it leaves its `files` in the folder."""
    draw = torch.Generator().manual_seed(0)
    net = ca.build(name, size=size).eval()
    subjects.fill(net, draw)
    # The deepest nets need more photos for statistics that hold for others, too.
    count = 16 if name in SMALLEST else 64
    photos = subjects.photos(net, count, size, draw).float()
    if name.startswith("efficientnet_b"):
        # For the net that Keras builds for published weights, whose photos are divided once more.
        mean, root = 255 * net.stem.standardize.mean[:, None, None], torch.tensor(DEVIATION)[:, None, None].sqrt()
        photos = mean + (photos - mean) / root
    subjects.calibrate(net, photos)
    x = subjects.photos(net, 2, size, draw)
    weights = arrays(net, x.float())
    if not top:
        net.cut_head([key for key, _ in net.head.named_children() if key in ("flatten", "norm")])
        weights = weights[: -6 if name.startswith("vgg") else -2]
    back = ca.export(net, folder / "back.weights.h5")
    del net
    answers = keras_live.meet(cards()[name].published_name, weights, x.numpy(), folder, top=top, names=files, back=back)
    theirs = answers["given"]
    assert np.isfinite(theirs).all()
    assert theirs.std() > 0.01, "answers that hardly differ would hide a difference"
    assert distance(answers["back"], theirs) <= BOUND
    return x, answers


def loaded(name: str, **options: object) -> Net:
    """In float64, with constants that never were float32."""
    with subjects.double():
        return ca.load(name, **options).double()


def same(net: Net, x: torch.Tensor, theirs: np.ndarray) -> None:
    assert distance(answer(net, x, torch.float64), theirs) <= BOUND


def compare(name: str, folder: Path, size: int, files: tuple[str, ...]) -> None:
    x, answers = met(name, folder, size, files)
    # Of all nets only VGG is another one for other photos: by its name it is the published one.
    published = not name.startswith("vgg") or size == cards()[name].input[0]
    if published:
        net = loaded(name, weights="keras")
        assert net.lineage.class_names[967] == "espresso"
        same(net, x, answers["published"])
        # The second time from the store.
        embedding = loaded(name, weights="keras", head=False)
        same(torch.nn.Sequential(embedding, net.head.dense), x, answers["published"])
    for file in files if files != WEIGHTS or not published else ():
        net = loaded(name, weights=str(folder / file), size=None if published else size)
        same(net, x, answers["given"])
        assert net.lineage.source == file
    if (folder / "imagenet").is_dir():
        for file in files:
            net = loaded(name, weights=str(folder / "imagenet" / file))
            same(net, x, answers["published"])


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xdist_group("large" if name in ABOVE else f"keras-weights-{name}")]


def each(names: Iterable[str], *, sweep: bool = False) -> list[object]:
    return [
        pytest.param(name, marks=[*marks(name), *([pytest.mark.sweep] if sweep else [])], id=name) for name in names
    ]


def size_of(name: str) -> int:
    return SIZES.get(name, USUAL)[0]


@pytest.mark.parametrize("name", each(SMALLEST))
def test_the_smallest_nets(name: str, folder: Path) -> None:
    compare(name, folder, size_of(name), keras_live.FILES if name in QUICK_FORMATS else WEIGHTS)


@pytest.mark.parametrize("name", each([name for name in SMALLEST if name not in QUICK_FORMATS], sweep=True))
def test_all_formats_of_the_smallest_nets(name: str, folder: Path) -> None:
    compare(name, folder, size_of(name), keras_live.FILES)


@pytest.mark.parametrize("name", each([name for name in KERAS if name not in SMALLEST or name == "vgg16"], sweep=True))
def test_all_other_nets(name: str, folder: Path) -> None:
    compare(name, folder, 224 if name.startswith("vgg") else size_of(name), WEIGHTS)


def compare_notop(name: str, folder: Path) -> None:
    x, answers = met(name, folder, size_of(name), ("weights.h5", "new.weights.h5"), top=False)
    genes = {"flattening": "global_average"} if name.startswith("vgg") else {}
    same(loaded(name, weights="keras/notop", genes=genes), x, answers["published"])
    for file in ("weights.h5", "new.weights.h5"):
        same(loaded(name, weights=str(folder / file), genes=genes), x, answers["given"])


@pytest.mark.parametrize("name", each(QUICK_NOTOP))
def test_without_the_top(name: str, folder: Path) -> None:
    compare_notop(name, folder)


@pytest.mark.parametrize("name", each([name for name in KERAS if name not in QUICK_NOTOP], sweep=True))
def test_all_other_nets_without_the_top(name: str, folder: Path) -> None:
    compare_notop(name, folder)


def test_other_classes_and_frozen_layers(folder: Path) -> None:
    """A user's own: seven classes, on frozen features, whose weights Keras lists as not trainable."""
    ours = ca.build("mobilenet", classes=7).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    back = ca.export(ours, folder / "back.weights.h5")
    answers = keras_live.meet("MobileNet", arrays(ours, x.float()), x.numpy(), folder, back=back, trainable=False)
    assert distance(answers["back"], answers["given"]) <= BOUND
    for file in keras_live.FILES:
        net = loaded("mobilenet", weights=str(folder / file))
        assert (net.classes, net.lineage.class_names) == (7, tuple("0123456"))
        same(net, x, answers["given"])
    with pytest.raises(WeightsError, match=r" is \(7, 1024\) for \(1000, 1024\)"):
        ca.load("mobilenet", weights="keras")


def test_what_keras_cannot_load_is_not_written(folder: Path) -> None:
    net = ca.build("vgg16", size=32)
    net.cut_head(["flatten", "dense1", "act1", "drop1"])
    file = folder / "vgg16.weights.h5"
    with pytest.raises(WeightsError, match="keras has no vgg16 that ends before its last layer"):
        ca.export(net, file)
    with pytest.raises(WeightsError, match="keras's mobilenet has other genes at activation"):
        ca.export(ca.build("mobilenet", genes={"activation": "gelu"}), file)
    assert not file.exists()


def test_neither_keras_nor_tensorflow_is_loaded(folder: Path) -> None:
    file = ca.export(ca.build("mobilenet"), folder / "mobilenet.weights.h5")
    code = (
        "import sys, convatlas as ca; net = ca.load('mobilenet', weights=sys.argv[1]); ca.export(net, sys.argv[1]);"
        "sys.exit(bool({'keras', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)]).returncode == 0


def test_every_net_is_compared() -> None:
    assert len(KERAS) == 38
    assert set(SMALLEST) < set(KERAS)
    assert {card.family for name, card in cards().items() if name in SMALLEST} == {
        card.family for name, card in cards().items() if name in KERAS
    }
