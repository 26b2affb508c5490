"""Accuracy on folders whose right answers are known, by every layout; it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError
from convatlas.images.labels import labels, synsets
from convatlas.images.samples import sample
from convatlas.weights import evaluating


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture(scope="module")
def net():
    return ca.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def noise():
    """Twelve photos of noise."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (60, 80, 3), dtype=np.uint8) for _ in range(12)]


def ranked(net, photo: np.ndarray) -> list[int]:
    """The net's answers, the first one first."""
    with torch.no_grad():
        return net(net.preprocess(photo)[None])[0].argsort(descending=True, stable=True).tolist()


def laid_out(folder: Path, net, noise, place: list[int], name) -> Path:
    """Photos in folders of the classes that the net ranks at the given places."""
    for number, photo in enumerate(noise):
        wanted = ranked(net, photo)[place[number]]
        path = folder / name(wanted) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    return folder


PLACES = [0, 0, 0, 0, 0, 1, 2, 4, 5, 9, 500, 999]
"""Five are right at once, eight within five."""


@pytest.mark.parametrize("name", [lambda n: synsets()[n], str, lambda n: f"{n:04}", lambda n: labels()[n]])
def test_folders_of_classes(home, net, noise, name):
    found = ca.evaluate(net, laid_out(home / "data", net, noise, PLACES, name))
    assert (found.photos, found.top1, found.top5) == (12, pytest.approx(100 * 5 / 12), pytest.approx(100 * 8 / 12))
    exact = binomtest(5, 12).proportion_ci(method="wilson")
    assert found.top1_interval == pytest.approx((100 * exact.low, 100 * exact.high), abs=1e-4)


def test_a_flat_folder_and_a_file_of_truths(home, net, noise):
    folder = home / "flat"
    folder.mkdir()
    lines = {" ": [], ",": []}
    for number, photo in enumerate(noise):
        Image.fromarray(photo).save(folder / f"val_{number}.png")
        right = ranked(net, photo)[PLACES[number]]
        lines[" "].append(f"val_{number}.png {right}")
        lines[","].append(f"val_{number},{synsets()[right]} 85 1 499 272")
    for comma, told in lines.items():
        truth = home / f"truth{len(comma)}.txt"
        truth.write_text("ImageId,PredictionString\n" * (comma == ",") + "\n".join(told))
        assert ca.evaluate(net, folder, truth=truth).top1 == pytest.approx(100 * 5 / 12)
    truth.write_text("\n".join(lines[","][1:]))
    with pytest.raises(ImageError, match=r"tells nothing of 1 photos, val_0\.png"):
        ca.evaluate(net, folder, truth=truth)
    truth.write_text("490\n361\n171\n")
    with pytest.raises(ImageError, match="order of its own"):
        ca.evaluate(net, folder, truth=truth)


def test_a_map_of_classes(home, net, noise):
    folder = laid_out(home / "data", net, noise, [0] * 12, lambda n: f"kind {n}")
    with pytest.raises(ConvAtlasError, match="the net has no class 'kind"):
        ca.evaluate(net, folder)
    names = {each.name: synsets()[int(each.name.split()[1])] for each in folder.iterdir()}
    assert ca.evaluate(net, folder, classes=names).top1 == 100


def test_the_sample_photos(home, net):
    """The net is right about the cup and the cat, has the rocket among five, and takes the astronaut for a player."""
    truth = {"coffee": "espresso", "chelsea": "tiger cat", "rocket": "projectile", "astronaut": "space shuttle"}
    for name, label in truth.items():
        (home / "samples" / label).mkdir(parents=True)
        shutil.copy(sample(name), home / "samples" / label)
    places = [labels().index(label) for label in truth.values()]
    ranks = [ranked(net, sample(name)).index(place) for name, place in zip(truth, places, strict=True)]
    found = ca.evaluate(net, home / "samples")
    assert found.top1 == 100 * sum(rank == 0 for rank in ranks) / 4
    assert found.top5 == 100 * sum(rank < 5 for rank in ranks) / 4
    assert (found.photos, found.classes) == (4, 4)


def test_it_goes_on_where_it_was_stopped(home, net, noise, monkeypatch):
    folder = laid_out(home / "data", net, noise, PLACES, str)
    monkeypatch.setattr(evaluating, "SHARD", 5)
    steps = evaluating.evaluations(net, folder)
    assert next(steps)[:2] == (5, 12)
    assert next(steps)[:2] == (10, 12)
    steps.close()
    seen = []
    lineage = type(net.lineage)
    prepare = lineage.prepare
    monkeypatch.setattr(lineage, "prepare", lambda self, photo: seen.append(photo) or prepare(self, photo))
    assert ca.evaluate(net, folder).top1 == pytest.approx(100 * 5 / 12)
    assert len(seen) == 2
    (part,) = (home / "home" / "evaluated").glob("*/00000000.json")
    part.write_text("[1, 2")
    assert ca.evaluate(net, folder).top1 == pytest.approx(100 * 5 / 12)
    assert len(seen) == 7


def test_a_damaged_photo_is_named_and_does_not_count(home, net, noise):
    folder = laid_out(home / "data", net, noise, [0] * 12, str)
    broken = next(folder.glob("*/3.png"))
    broken.write_bytes(b"no photo")
    found = ca.evaluate(net, folder)
    assert (found.photos, found.top1) == (11, 100)
    assert found.unreadable == (str(broken),)


def test_check_shows_what_was_measured(home, net, noise):
    cell = next(cell for cell in ca.check("efficientnet_lite0").cells if cell.column == "top1")
    assert (cell.measured, cell.rule) == (None, "not measured here")
    ca.evaluate(net, laid_out(home / "data", net, noise, PLACES, str))
    cell = next(cell for cell in ca.check("efficientnet_lite0").cells if cell.column == "top1")
    assert cell.measured == pytest.approx(100 * 5 / 12)
    assert cell.rule.startswith("lite weights on 12 photos of ")
    assert cell.difference == pytest.approx(100 * 5 / 12 / 75.1 - 1)


def test_what_another_preprocessing_costs(home, net, noise):
    folder = laid_out(home / "data", net, noise, [0] * 12, str)
    own = ca.evaluate(net, folder)
    other = ca.evaluate(net, folder, preprocessing="timm/ra_in1k")
    assert (own.preprocessing, other.preprocessing) == ("lite", "timm/ra_in1k")
    assert own.top1 == 100 > other.top1
    cell = next(cell for cell in ca.check("efficientnet_lite0").cells if cell.column == "top1")
    assert cell.measured == 100, "the wrong preprocessing is no measurement of the net"
    assert json.loads(own.to_json())["top1"] == 100


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda net, folder: ca.evaluate(net, folder / "nowhere"), ImageError, "no folder"),
        (lambda net, folder: ca.evaluate(net, folder), ImageError, "no folders of classes"),
        (lambda net, folder: ca.evaluate(ca.build("mobilenet"), folder), WeightsError, "names no classes"),
        (lambda net, folder: ca.evaluate(net, folder, device="tpu"), ConvAtlasError, "cpu"),
        (lambda net, folder: ca.evaluate(net, folder, preprocessing="keras"), WeightsError, "timm/ra_in1k"),
        (lambda net, folder: ca.evaluate(net, folder, truth=folder / "none"), ImageError, "file of truths"),
    ],
)
def test_refusals(home, net, call, error, words):
    (home / "empty").mkdir()
    with pytest.raises(error, match=words) as told:
        call(net, home / "empty")
    assert "\n" not in str(told.value)
