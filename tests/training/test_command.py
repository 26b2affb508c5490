"""`convatlas train` and `convatlas data`, on small stand-ins for the published sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.images.sets import small
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.cli import app


@pytest.fixture
def mnist(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    found = run("data", "get", "mnist", "--from", str(tmp_path), "--json")
    assert json.loads(found) == {"name": "mnist", "folder": str(store / "datasets" / "mnist")}
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_digits(mnist):
    (mnist / "run.toml").write_text("epochs = 1\nbatch_size = 8\nlr = 0.5\n")
    folder = str(mnist / "run")
    words = ["train", "lenet1", "--data", "mnist", "-o", folder, "--config", str(mnist / "run.toml"), "--lr", "0.01"]
    result = json.loads(run(*words, "--json"))
    assert (result["recipe"]["lr"], result["recipe"]["batch_size"], result["steps"]) == (0.01, 8, 3)
    assert {path.name for path in Path(folder).iterdir()} >= {
        "checkpoint-0000000003.pt",
        "confusion.png",
        "curves.png",
        "metrics.jsonl",
        "result.json",
        "run.json",
        "weights.safetensors",
    }
    assert f"sha256 {result['sha256']}" in run(*words, "--resume")
    digit = np.zeros((28, 28), np.uint8)
    digit[5:22, 12:16] = 255
    Image.fromarray(digit).save(mnist / "digit.png")
    found = json.loads(run("classify", str(mnist / "digit.png"), "--net", f"{folder}/weights.safetensors", "--json"))
    assert found[0]["weights"] == "own/mnist"
    assert {answer["label"] for answer in found[0]["answers"]} <= set("0123456789")


def test_photos_in_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for part, many in (("train", 6), ("val", 3)):
        for level, name in enumerate(("dark", "light")):
            for number in range(many):
                path = tmp_path / "data" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = random.integers(0, 60, (40, 50, 3)) + 190 * level
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    words = ["train", "resnet18", "--data", "data", "--img-size", "32", "--epochs", "2", "-b", "6", "--aa", "5"]
    result = json.loads(run(*words, "--scale", "0.5", "--hflip", "0.5", "--freeze", "conv2", "--json"))
    assert result["classes"] == ["dark", "light"]
    assert result["test_top1"] is None
    assert result["validation_top1"] is not None
    assert sum(map(sum, result["confusion"])) == 6
    assert (tmp_path / "runs" / "resnet18-data" / "confusion.png").is_file()
    net = ca.load(tmp_path / "runs" / "resnet18-data" / "weights.safetensors")
    assert ca.classify(tmp_path / "data/val/dark/0.png", net, top=1).answers[0].label in ("dark", "light")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet5", "--data", "nowhere"], "no folder 'nowhere'"),
        (["lenet55", "--data", "mnist"], "lenet5"),
        (["lenet5", "--data", "mnist", "--lr", "0"], "lr is a number above 0"),
        (["torch.nn:Identity", "--data", "mnist"], "say size"),
        (["lenet5", "--data", "mnist", "--freeze", "stem"], "the stages are c1"),
        (["yolo_v3_tiny", "--data", "mnist"], "raw detector heads"),
    ],
)
def test_mistakes(mnist, monkeypatch, words, said):
    monkeypatch.chdir(mnist)
    with pytest.raises(ConvAtlasError) as error:
        CliRunner().invoke(app, ["train", *words], catch_exceptions=False)
    assert said in str(error.value)
    assert str(error.value).isprintable()


def test_in_python(mnist):
    found = ca.train("mlp_300", "mnist", recipe={"epochs": 2, "val_split": 0.25}, output=mnist / "run")
    assert found.validation_top1 is not None
    assert found.epoch in (1, 2)
