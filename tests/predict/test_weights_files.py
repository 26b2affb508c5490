"""Files of weights of a user's own classes are used by every verb, with their conventions and names of classes."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.bulk.job import Job
from convatlas.cli.app import app
from convatlas.weights.weights_file import WeightsFile, read_labels, weights_file

NET, OFF, ON = "googlenet_bn", "torchvision/transform_input=False", "torchvision"


@pytest.fixture(scope="module")
def peer() -> torch.nn.Module:
    torch.manual_seed(0)
    net = models.googlenet(weights=None, init_weights=False, num_classes=3, aux_logits=False).eval()
    torch.nn.init.normal_(net.fc.weight, 0, 100)
    return net


@pytest.fixture
def here(peer: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    torch.save({"model": peer.state_dict()}, "pets.pth")
    Path("pets.txt").write_text("cat\ndog\n\nhorse of mine\n", encoding="utf-8")
    draw = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(draw.integers(0, 255, (240, 260, 3), np.uint8)).save(f"{name}.png")
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


@torch.no_grad()
def probabilities(peer: torch.nn.Module, photo: Path) -> list[float]:
    x = models.GoogLeNet_Weights.IMAGENET1K_V1.transforms()(Image.open(photo))
    return peer(x[None]).softmax(1)[0].tolist()


def test_a_file_of_three_classes_classifies(here: Path, peer: torch.nn.Module) -> None:
    answers = ca.classify("a.png", NET, weights="pets.pth", convention=OFF, top=3).answers
    right = probabilities(peer, here / "a.png")
    assert {answer.label: answer.index for answer in answers} == {"0": 0, "1": 1, "2": 2}
    assert [answer.probability for answer in answers] == pytest.approx(sorted(right, reverse=True), abs=1e-5)
    other = ca.classify("a.png", NET, weights="pets.pth", convention=ON, top=3).answers
    assert [answer.probability for answer in other] != pytest.approx(sorted(right, reverse=True), abs=1e-4)
    for labels in ("pets.txt", Path("pets.txt"), ["cat", "dog", "horse of mine"]):
        named = ca.classify("a.png", NET, weights="pets.pth", convention=OFF, labels=labels, top=3).answers
        assert {answer.label: answer.index for answer in named} == {"cat": 0, "dog": 1, "horse of mine": 2}


def test_the_commands(here: Path, peer: torch.nn.Module) -> None:
    asked = CliRunner().invoke(app, ["classify", "a.png", "--net", NET, "--weights", "pets.pth"])
    assert "choose one with --convention" in str(asked.exception)
    options = ["--weights", "pets.pth", "--convention", OFF]
    said = run("classify", "a.png", "--net", NET, *options, "--labels", "pets.txt", "--top", "1", "--csv")
    best = int(np.argmax(probabilities(peer, here / "a.png")))
    assert ("cat", "dog", "horse of mine")[best] in next(csv.reader(io.StringIO(said.splitlines()[1])))
    for name in ("cat", "dog"):
        (here / "data" / name).mkdir(parents=True)
        (here / f"{'a' if name == 'cat' else 'b'}.png").rename(here / "data" / name / "x.png")
    measured = json.loads(run("evaluate", NET, "--data", "data", *options, "--labels", "pets.txt", "--json"))
    assert measured["photos"] == 2
    run("export", NET, "out.safetensors", *options)
    assert ca.load("out.safetensors").follows == OFF
    run("draw", NET, "-o", "f.svg", "--filters", *options)
    assert Path("f.svg").is_file()


REFUSED = {
    "two names for three": ({"labels": ["a", "b"]}, "labels= has 2 names, and this googlenet_bn 3 classes"),
    "a name twice": ({"labels": ["a", "b", "a"]}, "labels= names 'a' twice"),
    "no names": ({"labels": []}, "labels= is a list of names"),
    "numbers": ({"labels": [1, 2, 3]}, "labels= is a list of names"),
    "an escape sequence": ({"labels": ["a", "b", "\x1b[31m"]}, "labels= is a list of names"),
    "no such file": ({"labels": "nowhere.txt"}, "the labels in 'nowhere.txt' cannot be read: No such file"),
    "a pipe": ({"labels": "pipe"}, "the labels in 'pipe' cannot be read: it is not an ordinary file"),
    "no text": ({"labels": "a.png"}, "the labels in 'a.png' cannot be read: it is no text"),
    "published weights": (
        {"labels": "pets.txt", "convention": None, "weights": "torchvision"},
        "labels= is only for a file of weights",
    ),
    "a published convention": ({"weights": None, "convention": "keras"}, "convention=keras is only for a file"),
    "another convention": ({"convention": "keras/none"}, "no keras/none weights of googlenet_bn are known"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_labels_and_conventions(case: str, here: Path) -> None:
    options, words = REFUSED[case]
    os.mkfifo("pipe")
    with pytest.raises(ConvAtlasError, match=words.replace("(", r"\(")) as raised:
        ca.classify("a.png", NET, **{"weights": "pets.pth", "convention": OFF, **options})
    assert str(raised.value).isprintable()


def test_one_output_is_no_class_among_others(here: Path) -> None:
    torch.save(models.shufflenet_v2_x0_5(num_classes=1).state_dict(), "one.pth")
    with pytest.raises(WeightsError, match="has one output, and a classifier has one for each of its classes"):
        ca.classify("a.png", "shufflenet_v2_x0_5", weights="one.pth")


def test_a_file_keeps_what_is_said_of_it_on_its_way(here: Path) -> None:
    file = weights_file(Path("pets.pth"), OFF, "pets.txt")
    assert isinstance(file, WeightsFile)
    assert weights_file("torchvision") == "torchvision"
    job = Job("classify", NET, file)
    for sent in (job, pickle.loads(pickle.dumps(job))):
        there = sent.source[1]
        assert there == str(here / "pets.pth")
        assert (there.convention, there.labels) == (OFF, read_labels("pets.txt"))
