"""`convatlas train` and `convatlas data`, on small stand-ins for the published sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.images.sets import small
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.catalogue.lineages import weights_of
from convatlas.cli.app import app
from convatlas.nets.net import Net
from convatlas.training.data.splits import load_splits
from convatlas.training.recipe import Recipe
from convatlas.weights.lineage import lineage


@pytest.fixture
def mnist(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    found = run("data", "get", "mnist", "--folder", str(tmp_path), "--json")
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
    words = ["train", "resnet18", "--data", "data", "--size", "32", "--epochs", "2", "-b", "6", "--aa", "5"]
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
        (["lenet5", "--data", "nowhere"], "folder 'nowhere' does not exist"),
        (["lenet55", "--data", "mnist"], "lenet5"),
        (["lenet5", "--data", "mnist", "--lr", "0"], "lr is a number above 0"),
        (["torch.nn:Identity", "--data", "mnist"], "set size"),
        (["lenet5", "--data", "mnist", "--freeze", "stem"], "the stages are c1"),
        (["yolo_v3_tiny", "--data", "mnist"], "'mnist' is no data set with boxes"),
        (["lenet5", "--data", "mnist", "--workers", "-1"], "workers is a whole number from 0 up; got -1"),
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
    assert {"curves.png", "confusion.png"} <= {path.name for path in (mnist / "run").iterdir()}


def pictures(folder: Path, **classes: int) -> str:
    """A data set of dark and light photos of several sizes: so many of each class."""
    random = np.random.default_rng(0)
    for name, many in classes.items():
        for number in range(many):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 60, (30 + 9 * number, 40, 3)) + 190 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(folder)


@pytest.mark.parametrize(
    ("classes", "settings", "said"),
    [
        ({"dark": 3}, {}, "has only one class, 'dark'; training needs two or more"),
        ({"dark": 3, "light": 3}, {"val_split": 0.05}, r"val_split=0\.05 holds out 0 of 6 photos"),
        ({"dark": 3, "light": 3}, {"val_split": 0.95}, r"val_split=0\.95 holds out 6 of 6 photos"),
        ({"dark": 3, "light": 2}, {"batch_size": 4}, "the last batch of 5 photos has 1"),
        ({"dark": 3, "light": 3}, {"distort": 0.3}, "distort, shift and deslant are for mnist and fashion_mnist"),
        ({"dark": 3, "light": 3}, {"shift": 2}, "distort, shift and deslant are for mnist and fashion_mnist"),
        ({"dark": 3, "light": 3}, {"deslant": True}, "distort, shift and deslant are for mnist and fashion_mnist"),
    ],
)
def test_data_that_do_not_do(tmp_path, classes, settings, said):
    data = pictures(tmp_path / "data", **classes)
    with pytest.raises(ConvAtlasError, match=said) as error:
        ca.train("resnet18", data, recipe=settings, size=32, output=tmp_path / "run")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_folder_that_is_called_as_digits_are(mnist, name):
    """A path means the folder, even if it ends in the name of a set of digits."""
    data = pictures(mnist / name, dark=3, light=3)
    assert ca.train("resnet18", data, recipe={"epochs": 1}, size=32, output=mnist / "run").classes == ("dark", "light")


def test_channels_that_no_photo_has(tmp_path):
    data = pictures(tmp_path / "data", dark=3, light=3)
    with pytest.raises(ConvAtlasError, match="the net takes 2 channels; photos have 1 or 3"):
        ca.train("matrix_capsnet_small", data, output=tmp_path / "run")


def darknet() -> Net:
    """A net with the preprocessing of darknet's weights."""
    net = ca.build("darknet19", classes=2)
    net.lineage = lineage(weights_of("darknet19")[0])
    return net


def test_darknet_s_weights_are_for_photos_in_colour(mnist):
    recipe = Recipe(scale=0.5, batch_size=2)
    splits = load_splits(pictures(mnist / "data", dark=3, light=3), darknet(), recipe, (64, 48))
    ((x, _),) = splits.train.train_batches([torch.tensor([0, 4])], 0)
    assert x.shape == (2, 3, 64, 48)
    with pytest.raises(ConvAtlasError, match="mnist is grey, and these weights take photos in colour"):
        load_splits("mnist", darknet(), recipe, (64, 48))


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(4 * 30 * 30, 2)

    def forward(self, x):
        y = self.conv(x).relu()
        return self.dense(y.view(len(y), -1))
"""


def test_a_net_of_one_s_own_is_resumed(tmp_path, monkeypatch):
    data = pictures(tmp_path / "data", dark=3, light=3)
    (tmp_path / "my_own_net_in_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    words = ("my_own_net_in_a_test:Net", data)
    settings = {"recipe": {"epochs": 1, "seed": 4}, "size": 32, "output": tmp_path / "run"}
    first = ca.train(*words, **settings)
    assert ca.train(*words, **settings, resume=True) == first


def test_digits_are_distorted_or_augmented_as_photos(mnist):
    with pytest.raises(ConvAtlasError, match="without aa, hflip and scale"):
        ca.train("mlp_300", "mnist", recipe={"distort": 0.3, "aa": 5}, output=mnist / "run")


def test_a_photo_that_is_none(tmp_path):
    """The error names the file; photos are read only when a batch needs them."""
    data = pictures(tmp_path / "data", dark=3, light=3)
    (tmp_path / "data" / "dark" / "1.png").write_text("nothing")
    with pytest.raises(ConvAtlasError, match=r"dark/1\.png' is not an image"):
        ca.train("resnet18", data, recipe={"epochs": 1}, size=32, output=tmp_path / "run")


def test_nothing_to_resume(mnist):
    words = ["train", "mlp_300", "--data", "mnist", "--epochs", "1", "-o", str(mnist / "run"), "--resume"]
    first, again = (CliRunner().invoke(app, words, catch_exceptions=False) for _ in range(2))
    assert first.stderr == f"convatlas: {mnist / 'run'} has no run to resume: training starts from the beginning\n"
    assert again.stderr == ""
    assert again.stdout == first.stdout


def test_tensorboard(mnist, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, epoch):
            written.append((name, epoch))

        def flush(self):
            written.append("flushed")

    words = ["train", "mlp_300", "--data", "mnist", "--epochs", "2", "-o", str(mnist / "run"), "--tensorboard"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConvAtlasError, match="tensorboard is not installed: pip install tensorboard"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    run(*words)
    assert written[0] == str(mnist / "run" / "tensorboard")
    assert {one for one in written[1:] if isinstance(one, tuple)} >= {("loss", 1), ("loss", 2), ("lr", 2)}
    assert written[-1] == "flushed"


@pytest.mark.sweep
def test_torchrun_of_the_command(tmp_path):
    """Several processes, started as the docs say, give the weights of one, up to the order of summation in float32."""
    data = pictures(tmp_path / "data", dark=5, light=4)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    nets = []
    for name, how in (("one", []), ("two", torchrun)):
        words = ["train", "lenet5", "--data", data, "--epochs", "2", "-b", "4", "-o", str(tmp_path / name), "--json"]
        done = subprocess.run(
            [sys.executable, *how, "-m", "convatlas", *words], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == 6
        nets.append(ca.load(tmp_path / name / "weights.safetensors"))
    start = ca.build("lenet5", classes=2)
    for name, weight in nets[0].state_dict().items():
        torch.testing.assert_close(nets[1].state_dict()[name], weight, rtol=0, atol=2e-4)
    assert not torch.equal(nets[0].state_dict()["f6.dense.weight"], start.state_dict()["f6.dense.weight"])


def test_help_says_the_defaults_of_the_recipe(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    help = " ".join(run("train", "--help").replace("│", " ").split())
    for setting in ("epochs", "batch_size", "opt", "lr", "momentum", "sched", "decay_epochs", "loss", "scale"):
        option = help.split(f"--{setting.replace('_', '-')} ")[1]
        assert option.split(". ")[0].endswith(f"by default {getattr(Recipe(), setting)}"), setting
