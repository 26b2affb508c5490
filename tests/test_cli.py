"""The command line: every verb, every format, and one line for whatever a user can cause."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from convatlas.base.errors import ConvAtlasError
from convatlas.catalogue.cards import cards
from convatlas.cli.app import app
from convatlas.images.samples import sample
from convatlas.weights.export import layouts

COFFEE = str(sample("coffee"))
READING = [
    ["list"],
    ["show", "resnet50"],
    ["show", "gelu"],
    ["show", "pooling"],
    ["show", "Dropout"],
    ["show", "regularization"],
    ["measure", "mobilenet", "--size", "64", "--genes", "activation=gelu"],
    ["check", "resnet50", "VGG16"],
    ["compare", "vgg16", "VGG19"],
    ["choose", "--max-parameters", "10M", "--min-top1", "75", "--size", "224"],
    ["classify", COFFEE, "--top", "2"],
]


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("words", READING, ids=lambda words: " ".join(words[:2])[:24])
def test_formats(words):
    assert json.loads(run(*words, "--json"))
    rows = list(csv.reader(io.StringIO(run(*words, "--csv"))))
    assert len(rows) > 1
    assert len({len(row) for row in rows}) == 1
    assert "| --- |" in run(*words, "--markdown") or "---: |" in run(*words, "--markdown")
    assert run(*words)


def test_list_shows_accuracies_in_one_form_and_keeps_them_as_printed():
    """Publications print 76.3% or 56.522."""
    cells = [line.split(" | ")[8:10] for line in run("list", "--markdown").splitlines()[2:]]
    assert all(re.fullmatch(r"(\d\d\.\d%)?", cell.strip()) for row in cells for cell in row), cells
    assert ["56.5%", "79.1%"] in cells
    assert "56.522" in [row["top1"] for row in json.loads(run("list", "--json"))]


def test_explain_names_the_file_that_it_wrote(tmp_path):
    words = ("explain", COFFEE, "--probe", "sobel", "--target", "espresso", "-o", str(tmp_path / "saw.html"))
    assert run(*words).splitlines()[-1] == str(tmp_path / "saw.html")
    assert json.loads(run(*words, "--json"))
    assert "What efficientnet_lite0 saw in coffee" in (tmp_path / "saw.html").read_text("utf-8")


def test_list_filters_and_sorts():
    rows = json.loads(run("list", "--family", "resnet", "--year", "2016", "--sort=-macs", "--json"))
    assert [row["name"] for row in rows] == ["resnet152_v2", "resnet101_v2", "resnext50_32x4d", "resnet50_v2"]
    small = json.loads(run("list", "--max-parameters", "5.4M", "--min-top1", "77", "--json"))
    assert [row["name"] for row in small] == ["efficientnet_b0"]
    assert len(json.loads(run("list", "--lineage", "lite", "--json"))) == 3
    assert [row["name"] for row in json.loads(run("list", "--json"))] == list(cards())


def test_fetch_lists_one_lineage():
    rows = json.loads(run("fetch", "--list", "--weights", "keras", "--json"))
    assert {row["weights"].partition("/")[0] for row in rows} == {"keras"}
    assert [row["net"] for row in json.loads(run("fetch", "--list", "resnet50", "--weights", "Keras/notop", "--json"))]


def test_the_help_of_export_names_every_layout():
    (layout,) = (option for option in get_command(app).get_command(None, "export").params if option.name == "layout")
    assert set(re.findall(r"\w+", layout.help.partition(":")[2])) - {"or"} == set(layouts())


def test_measure_follows_its_options():
    found = json.loads(run("measure", "resnet50", "--size", "64x96", "--channels", "1", "--classes", "7", "--json"))
    assert found["input"] == [1, 64, 96]
    assert found["output"] == [7]
    looped = json.loads(run("measure", "mlp_300", "--genes", "feedback=output->hidden1, hidden1->hidden1", "--json"))
    assert looped["trainable"] == 238510 + 10 * 300 + 300 * 300
    own = json.loads(run("measure", "torchvision.models:alexnet", "--json"))
    assert own["trainable"] == 61100840


def test_show_says_all():
    shown = json.loads(run("show", "EfficientNetV2B0", "--json"))
    assert shown["card"]["name"] == "efficientnetv2_b0"
    assert shown["genome"]["activation"] == "silu"
    assert shown["anatomy"]["depth"] == 151
    assert json.loads(run("show", "elman", "--json"))["card"]["name"] == "elman"  # a gene's name, too
    assert json.loads(run("show", "gelu", "--json"))[0]["locus"] == "activation"
    assert len(run("show", "vgg16", "--layers").splitlines()) > len(run("show", "vgg16").splitlines())


WRONG = [
    (["show", "resnet5"], "resnet50"),
    (["show", "geluu"], "gelu"),
    (["list", "--family", "res"], "resnet"),
    (["list", "--sort", "beauty"], "parameters"),
    (["list", "--year", "x"], "2016"),
    (["list", "--max-parameters", "many"], "25.6M"),
    (["list", "--json", "--csv"], "one of"),
    (["measure", "resnet50", "--size", "big"], "pixels"),
    (["measure", "vgg16", "--size", "8"], "32 x 32"),
    (["measure", "resnet50", "--genes", "gelu"], "LOCUS=NAME"),
    (["measure", "resnet50", "--genes", "activation=gleu"], "gelu"),
    (["measure", "resnet50", "--genes", "dropout=7"], "probability"),
    (["measure", "mlp_300", "--genes", "feedback=hidden1->output"], "hidden1->hidden1"),
    (["measure", "resnet50", "--genes", "pooling=max", "--genes", "pooling=l2"], "pooling=max and pooling=l2"),
    (["measure", "nowhere:net"], "nowhere"),
    (["check", "resnet50", "resnet5"], "resnet50"),
    (["fetch", "--list", "--weights", "kers"], "did you mean keras"),
    (["export", "lenet5", "lenet5.safetensors", "--size", "64"], "--size is for graphs"),
    (["export", "lenet5", "lenet5.pth"], "native weights go to .safetensors"),
    (["export", "resnet18", "resnet18.pth", "--weights", "none"], "--layout: torchvision, timm"),
    (["draw", "lenet5", "-o", "a.svg", "--expand", "nowhere"], "known: c1, c3, c5"),
    (["classify"], "--samples"),
    (["classify", "nowhere.jpg"], "nowhere.jpg"),
    (["classify", COFFEE, "--net", "resnet50"], "CONVATLAS_OFFLINE forbids"),
    (["classify", COFFEE, "--top", "0"], "1 to 1000"),
    (["classify", COFFEE, "--device", "abacus"], "cpu"),
]


@pytest.mark.parametrize(("words", "hint"), WRONG, ids=lambda value: " ".join(value)[:30])
def test_mistakes_are_told_in_one_line(monkeypatch, words, hint):
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    try:
        done = CliRunner().invoke(app, words, catch_exceptions=False)
    except ConvAtlasError as error:  # which `main` prints
        said = str(error)
    else:
        assert done.exit_code == 1
        said = done.stderr.strip()
    assert hint in said
    assert "\n" not in said


def program(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from convatlas.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=os.environ | environment, capture_output=True, text=True
    )


def test_the_program_itself(tmp_path):
    done = program("show", "resnet5")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("convatlas: no net or gene is called 'resnet5'")
    assert done.stderr.count("\n") == 1
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    (tmp_path / "good.png").write_bytes(sample("coffee").read_bytes())
    done = program("classify", str(tmp_path), "--top", "1", "--csv")
    assert done.returncode == 3
    assert "espresso" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "bad.png" in done.stderr
    assert program("list", PYTHONIOENCODING="ascii").returncode == 0
    assert program("check", "vgg16", "--markdown", PYTHONIOENCODING="ascii").returncode == 0


def test_a_reader_that_leaves_is_no_error():
    code = "from convatlas.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "show", "genes", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    said = process.stderr.read()
    process.wait()
    assert said == b""


def test_measure_draw_and_compare_take_other_inputs_than_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sounds.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv1d(1, 4, 9, 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    found = json.loads(run("measure", "sounds:make", "--input-shape", "1,16000", "--json"))
    assert (found["input"], found["output"], found["macs"]) == ([1, 16000], [4, 3998], 4 * 3998 * 9)
    run("draw", "sounds:make", "--input-shape", "1,16000", "-o", "sound.svg")
    assert "3998" in Path("sound.svg").read_text()
    assert "16000" in run("compare", "sounds:make", "sounds:make", "--input-shape", "1,16000")
    assert json.loads(run("measure", "resnet18", "--input-shape", "3,64,96", "--json"))["input"] == [3, 64, 96]
