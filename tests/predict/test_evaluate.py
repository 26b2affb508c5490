"""Accuracy on folders whose right answers are known, by every layout; it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, StoreError, WeightsError
from convatlas.base.store.evaluations import evaluations_of
from convatlas.base.store.sealed import read_sealed_json, write_sealed_json
from convatlas.cli.app import app
from convatlas.images.labels import labels, synsets
from convatlas.images.samples import sample
from convatlas.predict import evaluate as evaluating
from convatlas.predict.label_map import class_indices


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
    with pytest.raises(ImageError, match=r"has no label for 1 photos, the first is val_0\.png"):
        ca.evaluate(net, folder, truth=truth)
    truth.write_text("490\n361\n171\n")
    with pytest.raises(ImageError, match="another order of classes"):
        ca.evaluate(net, folder, truth=truth)


def test_a_map_of_classes(home, net, noise):
    folder = laid_out(home / "data", net, noise, [0] * 12, lambda n: f"kind {n}")
    with pytest.raises(ConvAtlasError, match="the net has no class 'kind"):
        ca.evaluate(net, folder)
    names = {each.name: synsets()[int(each.name.split()[1])] for each in folder.iterdir()}
    assert ca.evaluate(net, folder, classes=names).top1 == 100
    numbers = {name: synsets().index(synset) for name, synset in names.items()}
    assert ca.evaluate(net, folder, classes=numbers).top1 == 100
    some = next(iter(names))
    for wrong in (None, [1], True, 2.5, {}):
        with pytest.raises(ConvAtlasError, match="a class is mapped to a name or a number; got"):
            ca.evaluate(net, folder, classes={**names, some: wrong})
    for wrong in ([*names], "map.csv", 5):
        with pytest.raises(
            ConvAtlasError, match="classes is a mapping from the data set's class names to the net's; got"
        ):
            ca.evaluate(net, folder, classes=wrong)
    with pytest.raises(ConvAtlasError, match="the net has no class '1000'"):
        ca.evaluate(net, folder, classes={**names, some: 1000})


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
    steps = evaluating.evaluate.steps(net, folder)
    assert next(steps)[:2] == (5, 12)
    assert next(steps)[:2] == (10, 12)
    steps.close()
    seen = []
    prepare = evaluating.prepare
    monkeypatch.setattr(evaluating, "prepare", lambda how, photos: seen.extend(photos) or prepare(how, photos))
    assert ca.evaluate(net, folder).top1 == pytest.approx(100 * 5 / 12)
    assert len(seen) == 2
    (part,) = (home / "home" / "evaluated").glob("*/00000000.json")
    part.write_text("[1, 2")
    assert ca.evaluate(net, folder).top1 == pytest.approx(100 * 5 / 12)
    assert len(seen) == 7


def test_numbers_and_synsets_are_imagenet_s_in_whatever_order_the_net_has_them():
    """Darknet's classifiers put the same classes out in the order of ILSVRC's own numbers."""
    theirs = labels("imagenet1k_darknet")
    assert theirs != labels()
    assert set(theirs) == set(labels())
    for asked in (synsets(), map(str, range(1000)), labels()):
        asked = list(asked)
        found = class_indices(asked, theirs, None)
        assert [theirs[found[label]] for label in asked] == list(labels())
    some = labels()[5:15]
    assert class_indices([synsets()[7], "7", labels()[7]], some, None) == {synsets()[7]: 2, "7": 7, labels()[7]: 2}
    with pytest.raises(ConvAtlasError, match="the net has no class"):
        class_indices([synsets()[3]], some, None)


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
    found = ca.evaluate("efficientnet_lite0", laid_out(home / "data", net, noise, PLACES, str))
    assert found.published
    cell = next(cell for cell in ca.check("efficientnet_lite0").cells if cell.column == "top1")
    assert cell.measured == pytest.approx(100 * 5 / 12)
    assert cell.rule.startswith("lite weights on 12 photos of ")
    assert cell.difference == pytest.approx(100 * 5 / 12 / 75.1 - 1)


def measured():
    """What `check` would show."""
    found = evaluations_of("efficientnet_lite0")
    return found[-1]["top1"] if found else None


def halved(net):
    return net.half()


def swapped(net):
    net.stem.act = torch.nn.ReLU()
    return net


def retrained(net):
    with torch.no_grad():
        net.stem.conv.weight[0, 0, 0, 0] += 1e-7
    return net


def drifted(net):
    net.stem.norm.running_mean[0] += 1e-7
    return net


ALTERED = {
    "other channels": lambda: ca.load("efficientnet_lite0", channels=1),
    "another size": lambda: ca.load("efficientnet_lite0", size=128),
    "another gene": lambda: ca.load("efficientnet_lite0", genes={"activation": "relu"}),
    "a gene of no weights": lambda: ca.load("efficientnet_lite0", genes={"dropout": 0.5}),
    "a module of the user's": lambda: swapped(ca.load("efficientnet_lite0")),
    "half precision": lambda: halved(ca.load("efficientnet_lite0")),
    "double precision": lambda: ca.load("efficientnet_lite0").double(),
    "changed weights": lambda: retrained(ca.load("efficientnet_lite0")),
    "changed statistics": lambda: drifted(ca.load("efficientnet_lite0")),
}


@pytest.mark.parametrize("what", ALTERED)
def test_check_shows_no_altered_net(home, net, noise, what):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 5], str)
    altered = ALTERED[what]()
    found = ca.evaluate(altered, folder)
    assert (found.weights, found.published) == ("lite", False)
    assert "lite weights (not as published)" in str(found)
    assert measured() is None
    # Not even through a file, which says the same of its lineage; nor by a name that the same weights have elsewhere.
    if what in ("changed weights", "another gene"):
        for way in ("again.safetensors", "again.pth"):
            if what == "changed weights" or way.endswith("tensors"):
                path = ca.export(altered, home / way)
                again = ca.load("efficientnet_lite0", weights=path)
                assert not ca.evaluate(again, folder).published
        assert measured() is None


def test_check_shows_a_net_that_came_through_a_file(home, net, noise):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 5], str)
    path = ca.export(ca.load("efficientnet_lite0"), home / "copy.safetensors")
    found = ca.evaluate(str(path), folder)
    assert found.published
    assert measured() == found.top1 == pytest.approx(200 / 3)
    # Whose preprocessing it is no longer is not it.
    other = ca.load(path)
    seen = other.lineage.preprocessing
    other.lineage = replace(other.lineage, preprocessing=replace(seen, resize=seen.resize + 9))
    assert not ca.evaluate(other, folder).published


def test_other_answers_are_another_evaluation(home, net, noise):
    """Of one folder: by another file of truths, by another map, with other photos."""
    folder, truth = home / "flat", home / "truth.txt"
    folder.mkdir()
    right = []
    for number, photo in enumerate(noise[:3]):
        Image.fromarray(photo).save(folder / f"{number}.png")
        right.append(ranked(net, photo)[0])
    seen = []
    for wrong in range(4):
        truth.write_text("\n".join(f"{n}.png {right[n] if n >= wrong else 'x'}" for n in range(3)))
        seen.append(ca.evaluate("efficientnet_lite0", folder, truth=truth, classes={"x": (right[0] + 1) % 1000}))
        assert measured() == seen[-1].top1
    assert [one.top1 for one in seen] == pytest.approx([100, 200 / 3, 100 / 3, 0])
    assert len({one.key for one in seen}) == 4
    mapped = ca.evaluate("efficientnet_lite0", folder, truth=truth, classes={"x": right[2]})
    assert mapped.top1 >= 100 / 3
    assert mapped.key not in {one.key for one in seen}
    kept = read_sealed_json(home / "home" / "evaluated" / "efficientnet_lite0.json")
    assert [one["key"] for one in kept] == [one.key for one in (*seen, mapped)]
    again = ca.evaluate("efficientnet_lite0", folder, truth=truth, classes={"x": right[2]})
    assert again == mapped
    kept = read_sealed_json(home / "home" / "evaluated" / "efficientnet_lite0.json")
    assert len(kept) == 5


def test_folders_without_photos_are_left_out_and_named(home, net, noise):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 0], str)
    (folder / "no such class").mkdir()
    found = ca.evaluate(net, folder)
    assert (found.photos, found.top1, found.empty) == (3, 100, (str(folder / "no such class"),))
    said = CliRunner().invoke(app, ["evaluate", "efficientnet_lite0", "--data", str(folder)])
    assert said.exit_code == 0
    assert f"{folder / 'no such class'} holds no photo and is left out" in said.stderr


@pytest.mark.parametrize("text", ["[1, 2", "5", "{}", '["a", "b", "c"]', "[true, 0, 0]", "[" * 100_000, "[0, 0]"])
def test_a_damaged_part_is_made_anew(home, net, noise, text):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 5], str)
    found = ca.evaluate(net, folder)
    part = home / "home" / "evaluated" / found.key / "00000000.json"
    part.write_text(text)
    assert ca.evaluate(net, folder) == found
    assert sum(rank == 0 for rank in read_sealed_json(part)) == 2


def test_photos_that_become_other_channels_than_the_net_takes(home, noise):
    path = ca.export(ca.build("darknet19"), home / "darknet19.weights")
    net = ca.load("darknet19", weights=path, channels=1)
    (home / "data" / "1").mkdir(parents=True)
    Image.fromarray(noise[0]).save(home / "data" / "1" / "a.png")
    with pytest.raises(ConvAtlasError, match="photos are prepared with 3 channels; this net takes 1"):
        ca.evaluate(net, home / "data")
    with pytest.raises(ConvAtlasError, match="photos are prepared with 3 channels; this net takes 1"):
        ca.classify(noise[0], net)


def test_a_link_that_leads_nowhere_is_no_photo(home, net, noise):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 0], str)
    link = next(folder.iterdir()) / "link.png"
    link.symlink_to(home / "nowhere")
    found = ca.evaluate(net, folder)
    assert (found.photos, found.unreadable) == (3, (str(link),))


@pytest.mark.parametrize("where", ["part", "result"])
def test_folders_in_the_place_of_results(home, net, noise, where):
    folder = laid_out(home / "data", net, noise[:3], [0, 0, 0], str)
    found = ca.evaluate("efficientnet_lite0", folder)
    there = home / "home" / "evaluated"
    path = there / found.key / "00000000.json" if where == "part" else there / "efficientnet_lite0.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be used: Is a directory") as told:
        ca.evaluate("efficientnet_lite0", folder)
    assert str(path) in str(told.value)
    assert measured() is None or where == "part"


def test_a_damaged_list_of_results_is_none(home):
    path = home / "home" / "evaluated" / "efficientnet_lite0.json"
    path.parent.mkdir(parents=True)
    whole = {"key": "k", "weights": "lite", "preprocessing": "lite", "data": "d", "photos": 3, "classes": 2}
    whole |= {"top1": 50.0, "top5": 60.0, "top1_interval": [1.0, 99.0], "top5_interval": [2.0, 99.0]}
    write_sealed_json(path, [whole])
    assert measured() == 50
    path.write_text(path.read_text().replace("50.0", "51.0"))
    assert measured() is None
    wrong = [{**whole, name: value} for name in whole for value in (None, [["a"]], {})]
    wrong += [{**whole, "top1": "50"}, {**whole, "top1_interval": [1.0]}, {**whole, "top5_interval": ["1", "99"]}]
    for text in ("[" * 100_000, "{}", "[1]", '[{"top1": 1}]', "\xff"):
        path.write_text(text)
        assert measured() is None, text
    for entry in wrong:
        write_sealed_json(path, [entry])
        assert measured() is None, entry


def test_what_another_preprocessing_costs(home, net, noise):
    folder = laid_out(home / "data", net, noise, [0] * 12, str)
    own = ca.evaluate("efficientnet_lite0", folder)
    other = ca.evaluate("efficientnet_lite0", folder, preprocessing="timm/ra_in1k")
    assert (own.preprocessing, other.preprocessing) == ("lite", "timm/ra_in1k")
    assert own.top1 == 100 > other.top1
    assert "lite weights, 12" in str(own)
    assert "lite weights with the preprocessing of timm/ra_in1k, 12" in str(other)
    cell = next(cell for cell in ca.check("efficientnet_lite0").cells if cell.column == "top1")
    assert cell.measured == 100, "the wrong preprocessing is no measurement of the net"
    assert json.loads(own.to_json())["top1"] == 100


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda net, folder: ca.evaluate(net, folder / "nowhere"), ImageError, "folder .* does not exist"),
        (lambda net, folder: ca.evaluate(net, folder), ImageError, "no folders of classes"),
        (lambda net, folder: ca.evaluate(ca.build("mobilenet"), folder), WeightsError, "random weights"),
        (lambda net, folder: ca.evaluate(net, folder, device="tpu"), ConvAtlasError, "cpu"),
        (lambda net, folder: ca.evaluate(net, folder, preprocessing="keras"), WeightsError, "timm/ra_in1k"),
        (lambda net, folder: ca.evaluate(net, folder, truth=folder / "none"), ImageError, "file of labels"),
        (lambda net, folder: ca.evaluate(5, folder), ConvAtlasError, "a name, or a net from `load`, not int"),
        (lambda net, folder: ca.evaluate(torch.nn.ReLU(), folder), ConvAtlasError, "ReLU has no weights that say"),
        (lambda net, folder: ca.evaluate(ca.build("yolo_v2_tiny"), folder), ConvAtlasError, "is a detector"),
        (lambda net, folder: ca.evaluate(net, folder, weights="lite"), ConvAtlasError, "weights go with a net's name"),
        (lambda net, folder: ca.evaluate(net, 5), ImageError, "given as paths of a folder and a file; got 5"),
        (lambda net, folder: ca.evaluate(net, "a" * 5000), ImageError, "folder .* does not exist"),
        (lambda net, folder: ca.evaluate(net, folder, preprocessing=5), WeightsError, "no 5 weights"),
        (lambda net, folder: ca.evaluate(net, folder, device=5), ConvAtlasError, "no device is called 5"),
    ],
)
def test_refusals(home, net, call, error, words):
    (home / "empty").mkdir()
    with pytest.raises(error, match=words) as told:
        call(net, home / "empty")
    assert "\n" not in str(told.value)


def test_genes_and_photos_that_cannot_be_read_on_the_command_line(home, net, noise):
    """Genes without weights of their own change the answers; the status says that a photo could not be read."""
    folder = laid_out(home / "data", net, noise, [0] * 12, str)
    words = ["evaluate", "efficientnet_lite0", "--data", str(folder), "--json"]
    plain = CliRunner().invoke(app, words)
    next(folder.glob("*/3.png")).write_bytes(b"no photo")
    swapped = CliRunner().invoke(app, [*words, "--genes", "activation=tanh"])
    first, second = json.loads(plain.stdout), json.loads(swapped.stdout)
    assert (first["published"], first["top1"]) == (True, 100)
    assert second["published"] is False
    assert second["top1"] < 100
    assert (plain.exit_code, swapped.exit_code) == (0, 3)
    assert swapped.stderr.count("could not be read") == 1
