"""Photos with boxes come back from both kinds of files as they were written; bad files are refused in one line."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from tests.training.boxed import CLASSES, scenes, write_coco, write_yolo

from convatlas.base.errors import ImageError
from convatlas.images.boxed.photo import BoxedSplits
from convatlas.images.boxed.read import read_boxed
from convatlas.images.decoding import read


def assert_same(loaded: BoxedSplits, written: BoxedSplits) -> None:
    assert loaded.classes == written.classes
    assert loaded.photos.keys() == written.photos.keys()
    for split, photos in written.photos.items():
        for photo, other in zip(photos, loaded.photos[split], strict=True):
            assert np.array_equal(photo.source, read(other.source))
            assert photo.boxes == pytest.approx(other.boxes, abs=1e-12)


def test_a_file_of_coco(tmp_path):
    boxed = scenes(3)
    assert_same(read_boxed(write_coco(boxed.photos["train"], tmp_path)), boxed)


def test_splits_of_coco(tmp_path):
    boxed = scenes(2, 1)
    for folder, split in (("train", "train"), ("valid", "validation")):
        write_coco(boxed.photos[split], tmp_path / "exported" / folder, "_annotations.coco.json")
        file = write_coco(boxed.photos[split], tmp_path / "coco" / f"{folder}2017", f"instances_{folder}2017.json")
        (tmp_path / "coco" / "annotations").mkdir(exist_ok=True)
        os.rename(file, tmp_path / "coco" / "annotations" / file.name)
    (tmp_path / "coco" / "annotations" / "captions_train2017.json").write_text("{}")
    assert_same(read_boxed(tmp_path / "exported"), boxed)
    assert_same(read_boxed(tmp_path / "coco"), boxed)


def test_texts_of_yolo(tmp_path):
    boxed = scenes(3, 2)
    assert_same(read_boxed(write_yolo(boxed, tmp_path / "a")), boxed)
    for name in ("train", "valid"):
        for part in ("images", "labels"):
            (tmp_path / "b" / name).mkdir(parents=True, exist_ok=True)
            os.rename(tmp_path / "a" / part / {"valid": "validation"}.get(name, name), tmp_path / "b" / name / part)
    assert read_boxed(tmp_path / "b").classes == ("0", "1")
    (tmp_path / "b" / "classes.txt").write_text("bar\ndisc\n\n")
    assert_same(read_boxed(tmp_path / "b"), boxed)


def test_a_photo_without_a_text_has_no_boxes(tmp_path):
    write_yolo(scenes(2), tmp_path, by_split=False)
    (tmp_path / "labels" / "train1.txt").unlink()
    assert [len(photo.boxes) for photo in read_boxed(tmp_path).photos["train"]] == [2, 0]


def test_boxes_are_cut_off_at_the_edges_and_crowds_left_out(tmp_path):
    file = write_coco(scenes(1).photos["train"], tmp_path)
    content = json.loads(file.read_text())
    place = {"image_id": 70, "category_id": 3}
    content["annotations"] = [
        place | {"bbox": [-9, 32, 57, 99]},
        place | {"bbox": [96, 0, 5, 5]},
        place | {"bbox": [1, 1, 50, 50], "iscrowd": 1},
    ]
    file.write_text(json.dumps(content))
    assert read_boxed(file).photos["train"][0].boxes.tolist() == [[0, 0, 0.5, 0.5, 1]]


def test_the_classes_of_a_split_are_those_of_the_training_split(tmp_path):
    boxed = scenes(2, 1)
    write_coco(boxed.photos["train"], tmp_path / "train")
    file = write_coco(boxed.photos["validation"], tmp_path / "val", classes=CLASSES[::-1])
    expected = boxed.photos["validation"][0].boxes[:, 0]
    assert read_boxed(tmp_path).photos["validation"][0].boxes[:, 0].tolist() == (1 - expected).tolist()
    file.write_text(file.read_text().replace('"disc"', '"ring"'))
    with pytest.raises(ImageError, match="not trained: 'ring'"):
        read_boxed(tmp_path)


LINE = "0 0.5 0.5 0.2 0.2"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.2", "not the class, x, y, width and height"),
        (f"{LINE} 0.9", "not the class, x, y, width and height"),
        ("zero 0.5 0.5 0.2 0.2", "not the class, x, y, width and height"),
        ("-1 0.5 0.5 0.2 0.2", "has the class '-1'"),
        ("0.5 0.5 0.5 0.2 0.2", "has the class '0.5'"),
        ("1e9 0.5 0.5 0.2 0.2", "has the class '1e9'"),
        ("7 0.5 0.5 0.2 0.2", "names 2 classes, 0 to 1, and uses 7"),
        ("0 nan 0.5 0.2 0.2", "not in shares"),
        ("0 0.5 0.5 inf 0.2", "not in shares"),
        ("0 120 80 40 30", "not in shares"),
        ("0 0.5 0.5 -0.2 0.2", "not in shares"),
        ("\n".join([LINE] * 1001), "has 1,001 boxes; at most 1,000"),
        ("\udcff", "cannot be read as boxes"),
    ],
)
def test_bad_texts(tmp_path, line, said):
    write_yolo(scenes(1), tmp_path, by_split=False)
    (tmp_path / "labels" / "train0.txt").write_bytes(line.encode("utf-8", "surrogateescape"))
    refused(tmp_path, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [a, a]", "there twice"),
        ("names: [a]", "names 1 classes, 0 to 0, and uses 1"),
        ("names: {0: a, 2: b}", "for names"),
        ("names: bar", "for names"),
        ("names: [[a], b]", "for names"),
        ('names: ["\\u001b[31m", b]', "unprintable"),
        ("names: &a [x, y]\nother: *a", "aliases"),
        ("names: [a", "cannot be read as YAML"),
        ("names: " + "[" * 20, "nested too deep"),
        ("names: " + "[" * 200_000, "cannot be read as YAML"),
        ("names: !!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("#" * 300_000, "bytes"),
        ("", "for names"),
    ],
)
def test_bad_names(tmp_path, text, said):
    write_yolo(scenes(1), tmp_path, by_split=False)
    (tmp_path / "data.yaml").write_text(text)
    refused(tmp_path, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("images"), "no list of images"),
        (lambda data: data.update(annotations={}), "no list of annotations"),
        (lambda data: data.update(categories=[]), "names 0 classes"),
        (lambda data: data["images"][0].update(file_name="../0.png"), "no path below"),
        (lambda data: data["images"][0].update(file_name="/etc/passwd"), "no path below"),
        (lambda data: data["images"][0].update(file_name="C:\\0.png"), "no path below"),
        (lambda data: data["images"][0].update(file_name="other.png"), "does not exist"),
        (lambda data: data["images"][0].update(file_name=["0.png"]), "for file_name"),
        (lambda data: data["images"][0].update(width=0), "has 0 for width"),
        (lambda data: data["images"][0].update(height=1e9), "for height"),
        (lambda data: data["images"][0].update(id="70"), "for id"),
        (lambda data: data["images"].append(data["images"][0]), "two images with the id 70"),
        (lambda data: data["categories"].append(data["categories"][0]), "two categories with one id"),
        (lambda data: data["categories"][0].update(name="bar"), "there twice"),
        (lambda data: data["annotations"][0].update(image_id=1), "does not have both"),
        (lambda data: data["annotations"][0].update(category_id=10**400), "very long number"),
        (lambda data: data["annotations"][0].update(bbox=[1, 2, 3]), "for a box"),
        (lambda data: data["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "for a box"),
        (lambda data: data["annotations"][0].update(bbox=[1, 2, 3, "4"]), "for a box"),
        (lambda data: data.update(annotations=[]), "no boxes to train with"),
    ],
)
def test_bad_files_of_coco(tmp_path, change, said):
    file = write_coco(scenes(1).photos["train"], tmp_path)
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    refused(file, said)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null"])
def test_files_that_are_not_of_coco(tmp_path, text):
    (tmp_path / "boxes.json").write_text(text)
    refused(tmp_path / "boxes.json", "COCO")


def test_what_holds_no_boxes(tmp_path):
    refused(tmp_path / "nowhere", "is no data set with boxes")
    refused(tmp_path, "is no data set with boxes")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    refused(tmp_path, "holds no photo")
    os.mkfifo(tmp_path / "pipe.json")
    refused(tmp_path / "pipe.json", "not an ordinary file")
    refused("https://example.org/boxes.json", "is an address")


def refused(path, said):
    with pytest.raises(ImageError, match=re.escape(said)) as error:
        read_boxed(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 700
