"""Detecting: planted objects come back in pixels of the photo; bad photos, settings and nets are told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.predict.detectors import quiet_detector
from torch import Tensor, nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, StoreError, WeightsError
from convatlas.cli.app import app
from convatlas.images.decoding import read
from convatlas.images.samples import sample
from convatlas.nets.build import build
from convatlas.predict.results import object_table
from convatlas.weights.formats import darknet_files

ROCKET = sample("rocket")  # 427 x 640


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Random weights in a file; the classes' biases keep the net silent but for what is planted."""
    return quiet_detector(tmp_path_factory.mktemp("weights"), -30)


class Planted(nn.Module):
    """In the head's place: what it says of boxes at given places of the input, as (x, y, w, h, class, score)."""

    def __init__(self, head: nn.Module, things: list[tuple[float, float, float, float, int, float]]):
        super().__init__()
        self.head, self.things = head, things

    def forward(self, *maps: Tensor) -> Tensor:
        rows = self.head(*maps).clone()
        for x, y, w, h, number, score in self.things:
            column, row = int(x // 32), int(y // 32)
            place = rows[:, (row * 13 + column) * 3 + 2]  # the anchor of 344 x 319
            place[:, 0] = math.log((x / 32 - column) / (1 - (x / 32 - column)))
            place[:, 1] = math.log((y / 32 - row) / (1 - (y / 32 - row)))
            place[:, 2], place[:, 3] = math.log(w / 344), math.log(h / 319)
            place[:, 4] = 20
            place[:, 5:] = -20
            place[:, 5 + number] = math.log(score / (1 - score))
        return rows


def planted(file: Path, *things: tuple[float, float, float, float, int, float]) -> nn.Module:
    net = ca.load("yolo_v3_tiny", weights=str(file))
    net.head = Planted(net.head, list(things))
    return net


def test_a_planted_object_is_found_in_pixels_of_the_photo(file):
    """The photo of 427 x 640 lies in rows 69 to 346 of the input, 0.65 times its size."""
    net = planted(file, (100, 200, 52, 104, 16, 0.8), (300, 250, 65, 65, 0, 0.6))
    found = ca.detect(ROCKET, net)
    assert (found.photo, found.net, found.weights, found.size) == (str(ROCKET), "yolo_v3_tiny", "darknet", (427, 640))
    assert [(one.label, one.index) for one in found.objects] == [("dog", 16), ("person", 0)]
    assert [one.score for one in found.objects] == pytest.approx([0.8, 0.6], abs=1e-4)
    dog = [(100 - 26) / 0.65, (200 - 52 - 69) * 427 / 277, (100 + 26) / 0.65, (200 + 52 - 69) * 427 / 277]
    assert found.objects[0].box == pytest.approx(dog, abs=0.01)
    assert str(found) == f"{ROCKET}: dog 0.800, person 0.600"


def test_thresholds_and_numbers(file):
    net = planted(file, (100, 200, 52, 104, 16, 0.8), (300, 250, 65, 65, 0, 0.6))
    assert len(ca.detect(ROCKET, net, threshold=0.7).objects) == 1
    assert len(ca.detect(ROCKET, net, top=1).objects) == 1
    nothing = ca.detect(ROCKET, net, threshold=0.9)
    assert nothing.objects == ()
    assert str(nothing) == f"{ROCKET}: nothing"
    assert object_table([nothing]).rows[0]["label"] == "nothing"


def test_two_boxes_of_one_thing_are_one(file):
    near = (100, 200, 52, 104, 16, 0.8), (132, 200, 110, 104, 16, 0.7), (150, 330, 30, 30, 16, 0.6)
    found = ca.detect(ROCKET, planted(file, *near))
    assert [round(one.score, 2) for one in found.objects] == [0.8, 0.7, 0.6]
    over = (100, 200, 52, 104, 16, 0.8), (130, 200, 80, 104, 16, 0.7)
    assert len(ca.detect(ROCKET, planted(file, *over)).objects) == 2
    over = (127, 200, 80, 104, 16, 0.8), (129, 200, 80, 104, 16, 0.7)
    assert [round(one.score, 2) for one in ca.detect(ROCKET, planted(file, *over)).objects] == [0.8]
    over = (127, 200, 80, 104, 16, 0.8), (129, 200, 80, 104, 15, 0.7)
    assert [one.label for one in ca.detect(ROCKET, planted(file, *over)).objects] == ["dog", "cat"]


def test_boxes_end_with_the_photo_and_grey_holds_nothing(file):
    net = planted(file, (10, 75, 100, 100, 16, 0.8), (200, 20, 60, 30, 0, 0.9))
    (dog,) = ca.detect(ROCKET, net).objects
    assert dog.label == "dog"
    assert dog.box[:2] == (0, 0)
    assert dog.box[2:] == pytest.approx((60 / 0.65, 56 * 427 / 277), abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (416, 416), (900, 200)])
def test_photos_of_every_shape(file, shape):
    net = planted(file, (208.1, 208.1, 400, 400, 16, 0.8))
    found = ca.detect(np.zeros((*shape, 3), np.uint8), net)
    assert found.size == shape
    (dog,) = found.objects
    assert 0 <= dog.box[0] < dog.box[2] <= shape[1]
    assert 0 <= dog.box[1] < dog.box[3] <= shape[0]
    assert found.draw(np.zeros((*shape, 3), np.uint8)).size == shape[::-1]


def test_one_photo_in_every_form_has_one_answer(file):
    net = planted(file, (100, 200, 52, 104, 16, 0.8))
    forms = [ROCKET, str(ROCKET), ROCKET.read_bytes(), read(ROCKET), Image.open(ROCKET)]
    together = ca.detect(forms, net)
    assert len({found.objects for found in together}) == 1
    assert [found.photo for found in together][2:4] == ["bytes", "ndarray"]
    assert together[0].objects == ca.detect(ROCKET, net).objects


def test_double_precision(file):
    net = planted(file, (100, 200, 52, 104, 16, 0.8)).double()
    assert [one.label for one in ca.detect(ROCKET, net).objects] == ["dog"]
    assert next(net.parameters()).dtype == torch.float64


def test_a_folder_with_bad_files(file, tmp_path):
    (tmp_path / "a.jpg").write_bytes(ROCKET.read_bytes()[:2000])
    (tmp_path / "b.jpg").write_bytes(ROCKET.read_bytes())
    net = planted(file, (100, 200, 52, 104, 16, 0.8))
    bad, good = ca.detect(tmp_path, net)
    assert bad.objects == ()
    assert "a.jpg" in str(bad)
    assert good.objects[0].label == "dog"
    with pytest.raises(ImageError, match=r"a\.jpg"):
        ca.detect(tmp_path / "a.jpg", net)
    with pytest.raises(ImageError, match=r"a\.jpg"):
        bad.draw()
    assert ca.detect([], net) == []


def test_the_record(file):
    found = ca.detect(ROCKET, planted(file, (100, 200, 52, 104, 16, 0.8)), threshold=0.5)
    data = json.loads(found.to_json())
    assert (data["threshold"], data["size"], data["error"]) == (0.5, [427, 640], None)
    assert data["objects"][0]["label"] == "dog"
    assert len(data["objects"][0]["box"]) == 4
    assert {"convatlas", "torch", "numpy", "pillow"} <= set(data["made"]["versions"])
    drawn, photo = np.asarray(found.draw()), read(ROCKET)
    assert drawn.shape == photo.shape
    assert (drawn != photo).any(2).sum() > 500
    with pytest.raises(ImageError, match=r"has \(4, 4\) pixels, not \(427, 640\) as when detected"):
        found.draw(np.zeros((4, 4, 3), np.uint8))


def test_random_weights_are_refused():
    with pytest.raises(WeightsError, match="yolo_v3_tiny has random weights, whose predictions mean nothing"):
        ca.detect(ROCKET, build("yolo_v3_tiny"))


def test_fresh_classes_and_other_channels_are_refused(tmp_path):
    file = ca.export(build("yolo_v3_tiny"), tmp_path / "a.weights")
    with pytest.raises(WeightsError, match="this yolo_v3_tiny has no class names: its last layer is new"):
        ca.detect(ROCKET, ca.load("yolo_v3_tiny", weights=file, classes=7))
    with pytest.raises(ConvAtlasError, match="photos are prepared with 3 channels; this net takes 4"):
        ca.detect(ROCKET, ca.load("yolo_v3_tiny", weights=file, channels=4))


def test_weights_that_are_not_here_are_told_of(monkeypatch):
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    with pytest.raises(StoreError, match=r"https://data.pjreddie.com/files/yolov3.weights"):
        ca.detect(ROCKET)


def test_nets_that_find_no_boxes(file):
    with pytest.raises(ConvAtlasError, match=r"lite0 is not a detector; these are: yolo_v1, .*yolo_v3_tiny"):
        ca.detect(ROCKET, "efficientnet_lite0")
    with pytest.raises(ConvAtlasError, match="Linear is not a detector"):
        ca.detect(ROCKET, nn.Linear(2, 2))
    with pytest.raises(ConvAtlasError, match="yolo_v3_tiny is a detector, not a classifier"):
        ca.classify(ROCKET, ca.load("yolo_v3_tiny", weights=str(file)))
    with pytest.raises(ConvAtlasError, match="weights go with a net's name"):
        ca.detect(ROCKET, ca.load("yolo_v3_tiny", weights=str(file)), weights=str(file))


@pytest.mark.parametrize("threshold", [-0.1, 1, 1.5, "high", True, None, float("nan")])
def test_what_is_no_threshold(threshold):
    with pytest.raises(ConvAtlasError, match="a threshold is a score from 0"):
        ca.detect(ROCKET, threshold=threshold)


@pytest.mark.parametrize("top", [0, -1, 1.5, "5", True, None])
def test_what_is_no_number_of_objects(top):
    with pytest.raises(ConvAtlasError, match="top is a number of objects"):
        ca.detect(ROCKET, top=top)


@pytest.mark.parametrize("name", ["yolo_v1_tiny", "yolo_v2_tiny_voc"])
def test_versions_1_and_2(name, tmp_path):
    """Version 1 stretches the photo, both name VOC's classes; a faint threshold finds something on random weights."""
    darknet_files.write(build(name, seed=1), tmp_path / "a.weights")
    found = ca.detect(ROCKET, name, weights=str(tmp_path / "a.weights"), threshold=0.001, top=5)
    net = ca.load(name, weights=str(tmp_path / "a.weights"))
    assert net.lineage.preprocessing.kind == ("stretch" if "v1" in name else "letterbox")
    assert len(net.lineage.class_names) == 20
    assert all(one.label in net.lineage.class_names for one in found.objects)
    assert len(found.objects) == 5 or "v1" in name


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["detect", *words], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_the_command_line(file, tmp_path):
    net = ["--net", "yolo_v3_tiny", "--weights", str(file), "--threshold", "0.2"]
    code, out, _ = run(str(ROCKET), *net, "--json", "-o", str(tmp_path / "out.png"))
    assert code == 0
    (found,) = json.loads(out)
    assert (found["net"], found["threshold"]) == ("yolo_v3_tiny", 0.2)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (640, 427)
    for form in ("--markdown", "--csv"):
        code, out, _ = run(str(ROCKET), *net, form)
        assert code == 0
        assert "rocket.jpg" in out
    (tmp_path / "bad.png").write_bytes(b"x")
    code, out, error = run(str(ROCKET), str(tmp_path / "bad.png"), *net, "-o", str(tmp_path / "drawn"))
    assert code == 3
    assert "rocket.jpg" in out
    assert "bad.png" in error
    assert sum("bad.png" in line for line in error.splitlines()) == 1
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["rocket.png"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([str(ROCKET)], "https://data.pjreddie.com/files/yolov3.weights"),
        ([str(ROCKET), "--weights", "nowhere.weights"], "nowhere.weights"),
        ([str(ROCKET), "--weights", "keras"], "no keras weights of yolo_v3"),
        ([str(ROCKET), "--net", "resnet50"], "resnet50 is not a detector"),
        ([str(ROCKET), "--net", "yolo_v4"], "yolo_v"),
        ([str(ROCKET), "--threshold", "2"], "a threshold is a score"),
        ([str(ROCKET), "--top", "0"], "top is a number"),
        ([str(ROCKET), str(ROCKET), "-o", "a.png"], "name a folder"),
        ([str(ROCKET), "--json", "--csv"], "one of"),
    ],
)
def test_mistakes_are_told_in_one_line(words, hint):
    with pytest.raises(ConvAtlasError) as told:
        run(*words)
    assert hint in str(told.value)
    assert "\n" not in str(told.value)


def test_missing_photos_are_named_before_weights_are_looked_for(store: Path, monkeypatch) -> None:
    monkeypatch.setattr("convatlas.predict.detect.detecting_net", None)
    with pytest.raises(ImageError, match=r"^'nowhere\.jpg' does not exist$"):
        ca.detect("nowhere.jpg")
    for photos in (["nowhere.jpg", Path("b.jpg")], ("nowhere.jpg", "c.jpg")):
        with pytest.raises(ImageError, match=r"^'nowhere\.jpg' does not exist, and neither do the others \(1\)$"):
            list(ca.detect.steps(photos))
