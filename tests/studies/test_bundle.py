"""Bundled weights: written from the error table's runs, found by name, and correct on digits."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import TrainingError, WeightsError
from convatlas.base.fingerprint import fingerprint
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.lineages import all_weights, table_text
from convatlas.cli.app import app
from convatlas.genes.digits import bitmaps
from convatlas.images.download import digits
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.build import build, skeleton
from convatlas.nets.initialize import initialize
from convatlas.studies import bundling
from convatlas.studies.capsules import bundle as capsules_bundle
from convatlas.studies.capsules.nets import NarrowCapsNet
from convatlas.studies.capsules.rows import BUNDLED
from convatlas.studies.mnist_errors import bundle
from convatlas.training.data.digits import digit_preprocessing, preprocess_digits
from convatlas.weights import bundled, user_weights
from convatlas.weights.bundled import MAX_BYTES
from convatlas.weights.formats import native
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.lineages.own import SMALL
from convatlas.weights.listing import local_path
from convatlas.weights.user_weights import UserLineage

OWN = [row for row in all_weights() if row.origin == "own"]
NAMES = [row.net for row in OWN]


def run_of(folder, net: str) -> torch.nn.Module:
    """Write a finished run of a net with random weights; return the net."""
    made = build(net, channels=1)
    preprocessing = digit_preprocessing(made, made.size)
    names = tuple("0123456789")
    sha256 = fingerprint(made.state_dict())
    made.lineage = Lineage("own/mnist", net, "trained here", "", sha256, preprocessing, names, "98.00")
    folder.mkdir(parents=True)
    native.write(made.state_dict(), native.describe(made), folder / "weights.safetensors")
    (folder / "error.json").write_text("{}")
    return made


def test_runs_that_are_done_are_shipped(tmp_path, monkeypatch):
    made = run_of(tmp_path / "runs" / "lenet5-error-published-0", "lenet5")
    run_of(tmp_path / "runs" / "lenet5-error-modern-0", "lenet5")
    run_of(tmp_path / "runs" / "mlp_300-error_distorted-published-0", "mlp_300")
    run_of(tmp_path / "runs" / "lenet1-error-published-0", "lenet1")
    (tmp_path / "runs" / "lenet1-error-published-0" / "error.json").unlink()
    (row,) = bundle.bundle_weights(tmp_path / "runs", tmp_path / "package")
    written = tmp_path / "package" / "weights" / "data" / "own" / "lenet5.safetensors"
    assert row.address == "convatlas reproduce errors --rows lenet5-error, as published, seed 0"
    assert (row.bytes, row.top1, row.hash) == (written.stat().st_size, "98.00", fingerprint(made.state_dict()))
    weights, described = native.read(written)
    assert described.lineage == lineage(row)
    assert described.lineage.preprocessing == made.lineage.preprocessing
    assert torch.equal(weights["f6.dense.weight"], made.state_dict()["f6.dense.weight"])
    listed = (tmp_path / "package" / "catalogue" / "data" / "weights" / "own.csv").read_text()
    assert listed == table_text([row if other.net == "lenet5" else other for other in OWN])
    with pytest.raises(TrainingError, match="no finished run of lenet1"):
        bundle.bundle_weights(tmp_path / "package", tmp_path / "package")
    monkeypatch.setattr(bundling, "MAX_BYTES", 1000)
    with pytest.raises(TrainingError, match="at most 1,000 may"):
        bundle.bundle_weights(tmp_path / "runs", tmp_path / "package")


def test_what_comes_along_is_small():
    folder = files("convatlas.weights") / "data" / "own"
    assert sum(len(path.read_bytes()) for path in folder.iterdir()) <= MAX_BYTES
    assert {path.name for path in folder.iterdir()} == {row.file for row in OWN}
    assert {row.net for row in OWN} <= {*bundle.NETS, "capsnet"}
    assert "lenet5" in NAMES


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.net)
def test_the_catalogue_says_what_comes_along(row):
    """The catalogue's rows are those that `studies.mnist_errors.bundle` wrote with the files."""
    weights, described = native.read(local_path(row))
    assert described.lineage == lineage(row)
    assert local_path(row).stat().st_size == row.bytes
    net = skeleton(row.net, channels=1, variant=SMALL.get(row.name))
    initialize(net, 0)
    net.load_state_dict(weights)
    assert fingerprint(net.state_dict()) == row.hash
    assert find_card(row.net).lineages == ("own",)
    assert ca.fetch(row.net, weights="own") == local_path(row)


def test_they_are_listed_as_others_are():
    done = CliRunner().invoke(app, ["fetch", "--list", "lenet5", "--json"], catch_exceptions=False)
    (shown,) = json.loads(done.stdout)
    assert (shown["weights"], shown["mb"], shown["licence"], shown["here"]) == ("own/mnist", 0.2, "Apache-2.0", True)
    assert float(shown["top1"]) > 98
    assert "convatlas" in shown["source"]
    assert {card.name for card in ca.list_nets(lineage="own")} == set(NAMES)


def test_a_damaged_file_in_the_package(tmp_path, monkeypatch):
    row = next(row for row in OWN if row.net == "lenet5")
    path = tmp_path / row.file
    monkeypatch.setattr(bundled, "local_path", lambda row: path)
    with pytest.raises(WeightsError, match="reinstall convatlas"):
        ca.load("lenet5")
    other = next(one for one in OWN if one.net == "lenet1")
    path.write_bytes(local_path(other).read_bytes())
    with pytest.raises(WeightsError, match="not the file that belongs to this version; reinstall convatlas"):
        ca.load("lenet5")


@pytest.mark.parametrize("name", NAMES)
def test_found_by_name(name, monkeypatch):
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    net = ca.load(name)
    assert net.lineage.name == ("own/mnist_small" if name == "capsnet" else "own/mnist")
    assert net.lineage.licence == "Apache-2.0"
    assert net.lineage.class_names == tuple("0123456789")
    assert isinstance(net.lineage.preprocessing, Preprocessing)
    assert native.describe(net).genes == {}
    again = ca.load(name, weights=net.lineage.name)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_a_digit_is_classified(tmp_path):
    drawn = np.array(bitmaps()[0]).reshape(12, 7) > 0
    digit = np.zeros((28, 28), np.uint8)
    digit[2:26, 7:21] = 255 * np.kron(drawn, np.ones((2, 2)))
    Image.fromarray(digit).save(tmp_path / "digit.png")
    words = ["classify", str(tmp_path / "digit.png"), "--net", "lenet5", "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(done.stdout)[0]["answers"][0]["label"] == "0"


def test_others_have_none():
    with pytest.raises(WeightsError, match=r"no published weights of mlp_300"):
        ca.load("mlp_300", weights="own")
    with pytest.raises(WeightsError, match="no published weights of mlp_300"):
        ca.load("mlp_300")


@pytest.mark.sweep
@pytest.mark.parametrize("name", NAMES)
def test_the_accuracy_is_the_lineage_s(name):
    net, found = ca.load(name), digits("mnist")
    x = preprocess_digits(found.test, net.lineage.preprocessing)
    with torch.inference_mode():
        right = sum(
            int((net(photos).argmax(1) == torch.from_numpy(labels.astype("int64"))).sum())
            for photos, labels in zip(x.split(500), np.split(found.test_labels, 20), strict=True)
        )
    assert f"{right / 100:.2f}" == net.lineage.top1


def test_the_small_capsnet():
    """It is a CapsNet of 16 channels, says so by the name of its weights, and is written and read as others are."""
    net = ca.load("capsnet")
    assert (net.lineage.name, net.follows) == ("own/mnist_small", "own/mnist_small")
    assert net.conv1.conv.out_channels == 16
    assert sum(weight.numel() for weight in net.parameters()) == 233_984
    assert next(row for row in OWN if row.net == "capsnet").bytes < 1_000_000
    assert ca.build("capsnet", channels=1).conv1.conv.out_channels == 256


def test_the_run_of_the_small_capsnet_is_bundled(tmp_path):
    with pytest.raises(TrainingError, match="no finished run of small"):
        capsules_bundle.bundle_weights(tmp_path, tmp_path)
    made = NarrowCapsNet(0, SMALL[BUNDLED]).eval()
    preprocessing = Preprocessing(
        (28, 28), "resize_crop", 28, "bilinear", 255.0, (0.0,), (1.0,), polarity="light on dark"
    )
    names = tuple("0123456789")
    trained = UserLineage("own/mnist", "small", "here", "", "", preprocessing, names, "98.00", probabilities="identity")
    (tmp_path / "small-0").mkdir()
    user_weights.write(made.state_dict(), trained, tmp_path / "small-0" / "weights.safetensors")
    (tmp_path / "small-0" / "error.json").write_text("{}")
    row = capsules_bundle.bundle_weights(tmp_path, tmp_path / "package")
    net = ca.load(tmp_path / "package" / "weights" / "data" / "own" / row.file)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(net(x), made(x))
    assert fingerprint(net.state_dict()) == row.hash
    assert net.lineage.top1 == "98.00"
