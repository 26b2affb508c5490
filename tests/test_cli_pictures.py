"""The commands that draw, and those that tell a net: what they write, what they print, what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import convatlas as ca
from convatlas.anatomy.structure.dna import dna
from convatlas.base.errors import ConvAtlasError
from convatlas.base.store.sealed import write_sealed_json
from convatlas.catalogue.descent import tree
from convatlas.cli.app import app
from convatlas.images.samples import sample


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    return tmp_path


DRAWN = [
    ["lenet5"],
    ["lenet5", "--style", "boxes"],
    ["vgg16", "--slide"],
    ["resnet18", "--expand", "conv2", "--size", "64"],
    ["mobilenet", "--size", "64x96", "--genes", "activation=gelu"],
    ["torchvision.models:squeezenet1_0"],
    ["efficientnet_lite0", "--field", "stage4,3,3"],
    ["nasnet_mobile", "--field", "stage1_cell1"],
    ["lenet5", "--maps", "c1", "--genes", "activation=relu"],
    ["efficientnet_lite0", "--maps", "stem"],
    ["efficientnet_lite0", "--filters"],
    ["lenet5", "--pixel", "c1,0,3,4", "--weights", "none"],
]


@pytest.mark.parametrize("words", DRAWN, ids=" ".join)
def test_pictures_are_written(here: Path, words: list[str]) -> None:
    assert run("draw", *words, "-o", "x.svg") == "x.svg\n"
    assert (here / "x.svg").read_text(encoding="utf-8").startswith("<svg ")
    run("draw", *words, "-o", "x.png")
    assert (here / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_is_that_of_the_function(here: Path) -> None:
    run("draw", "ResNet50", "-o", "x.svg")
    assert (here / "x.svg").read_text(encoding="utf-8") == ca.measure("resnet50").draw().svg()


def test_a_slide_is_that_of_the_function(here: Path) -> None:
    run("draw", "lenet5", "--slide", "-o", "x.svg")
    assert (here / "x.svg").read_text(encoding="utf-8") == ca.measure("lenet5").draw(slide=True).svg()


def test_a_photo_of_ones_own(here: Path) -> None:
    run("draw", "efficientnet_lite0", "--field", "stage2", "--photo", str(sample("coffee")), "-o", "a.svg")
    run("draw", "efficientnet_lite0", "--field", "stage2", "-o", "b.svg")
    assert (here / "a.svg").read_bytes() != (here / "b.svg").read_bytes()


def test_dna_latex_and_words() -> None:
    assert run("show", "vgg16", "--dna").splitlines() == dna(ca.measure("vgg16")).lines()
    assert json.loads(run("show", "vgg16", "--dna", "--json"))["net"] == "vgg16"
    assert run("show", "resnet50", "--latex").startswith("\\begin{tabular}")
    assert "Convolutional Layer: 2 groups of 48 kernels of size 11×11×3" in run("show", "alexnet")
    assert "[1×1, 64; 3×3, 64; 1×1, 256] × 3" in run("show", "resnet50", "--markdown")


def test_a_net_of_ones_own_is_shown() -> None:
    said = run("show", "torchvision.models:resnet18")
    assert "layer1: 4 layers: 2 identity blocks" in said
    assert "[3×3, 64; 3×3, 64] × 2" in said
    shown = json.loads(run("show", "torchvision.models:resnet18", "--json"))
    assert (shown["card"], shown["anatomy"]["depth"]) == (None, 41)
    assert "c7/2-64 bn relu max3/2" in run("show", "torchvision.models:resnet18", "--dna")
    assert "one more" in run("compare", "torchvision.models:resnet18", "torchvision.models:resnet34")


def test_the_family_tree(here: Path) -> None:
    assert run("list", "--family-tree") == tree() + "\n"
    lines = json.loads(run("list", "--family-tree", "--json"))
    assert {"nets", "year", "new", "parents", "takes"} <= set(lines[0])
    assert run("list", "--family-tree", "-o", "t.png") == "t.png\n"
    assert (here / "t.png").read_bytes().startswith(b"\x89PNG")


def test_a_choice_and_its_chart(here: Path) -> None:
    said = run("choose", "--max-parameters", "10M", "--min-top1", "75", "--size", "224", "-o", "c.svg")
    assert "efficientnetv2_b0: 78.7% with 7.2M parameters" in " ".join(said.split())
    assert "Accuracy against parameters" in (here / "c.svg").read_text(encoding="utf-8")
    (here / "home").mkdir()
    record = [{"net": "resnet50", "size": 224, "milliseconds": 20.0}]
    write_sealed_json(here / "home" / "bench.json", record)
    assert json.loads(run("choose", "--max-ms", "30", "--json"))["recommended"] == "resnet50"


WRONG = [
    (["draw", "resnet5", "-o", "x.svg"], "resnet50"),
    (["draw", "lenet5", "-o", "x.gif"], ".svg or .png"),
    # An ending is checked before anything is computed or fetched.
    (["draw", "nowhere.pt2", "-o", "x.gif"], ".svg or .png"),
    (["draw", "lenet5", "-o", "nowhere/x.svg"], "there is no folder nowhere"),
    (["choose", "-o", "nowhere/x.svg"], "there is no folder nowhere"),
    (["list", "--family-tree", "-o", "nowhere/x.svg"], "there is no folder nowhere"),
    (["bench", "lenet5", "-o", "nowhere/x.svg"], "there is no folder nowhere"),
    (["show", "gelu", "--layers"], "show nets"),
    (["show", "activation", "--dna"], "show nets"),
    (["show", "gelu", "--latex"], "show nets"),
    (["draw", "lenet5", "--maps", "c1", "--slide", "-o", "x.svg"], "slide cannot"),
    (["draw", "lenet5", "--style", "cubes", "-o", "x.svg"], "boxes"),
    (["draw", "resnet50", "--expand", "conv9", "-o", "x.svg"], "conv5"),
    (["draw", "lenet5", "--maps", "c1", "--filters", "-o", "x.svg"], "one of"),
    (["draw", "lenet5", "--maps", "c9", "-o", "x.svg"], "c1"),
    (["draw", "lenet5", "--field", "c1,99,0", "-o", "x.svg"], "rows 0 to 27"),
    (["draw", "lenet5", "--pixel", "c1", "-o", "x.svg"], "CHANNEL"),
    (["draw", "lenet5", "--maps", "c1", "--photo", "nowhere.jpg", "-o", "x.svg"], "nowhere.jpg"),
    (["draw", "lenet5", "--maps", "c1", "--weights", "lite", "-o", "x.svg"], "lenet5"),
    (["draw", "absent.pt2", "-o", "x.svg"], "absent.pt2"),
    (["compare", "vgg16", "vgg1"], "vgg16"),
    (["choose", "--by", "beauty"], "parameters"),
    (["choose", "--max-ms", "30"], "convatlas bench"),
    (["choose", "--json", "--csv"], "one of"),
    (["show", "resnet5", "--dna"], "resnet50"),
    (["show", "lenet5", "--dna", "--csv"], "only --json goes with --dna"),
    (["show", "lenet5", "--dna", "--latex"], "no other option with --latex"),
    (["show", "lenet5", "--latex", "--json"], "no other option with --latex"),
    (["show", "lenet5", "--latex", "--layers"], "no other option with --latex"),
    (["list", "--family-tree", "--family", "vgg"], "shows all nets"),
    (["list", "-o", "x.svg", "--markdown"], "shows all nets"),
    (["draw", "lenet5", "--maps", "c1", "--style", "boxes", "-o", "x.svg"], "style, expand"),
    (["draw", "lenet5", "--field", "c1", "--expand", "c1", "-o", "x.svg"], "style, expand"),
    (["draw", "lenet5", "--photo", "x.jpg", "-o", "x.svg"], "photo and weights"),
    (["draw", "lenet5", "--weights", "none", "-o", "x.svg"], "photo and weights"),
    (["draw", "lenet5", "--maps", "c1", "--genes", "activation=nope", "-o", "x.svg"], "relu"),
    (["draw", "lenet5", "-o", "here/is/a/file/x.svg"], "cannot be written to here/is/a/file/x.svg: "),
    (["choose", "--size", "-3"], "above 0"),
    (["choose", "--min-top1", "nan"], "0 to 100"),
    (["choose", "-o", "c.gif"], ".svg or .png"),
]


@pytest.mark.parametrize(("words", "hint"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_mistakes_are_told_in_one_line(here: Path, words: list[str], hint: str) -> None:
    (here / "here" / "is").mkdir(parents=True)
    (here / "here" / "is" / "a").write_text("no folder")
    with pytest.raises(ConvAtlasError) as caught:
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in here.iterdir() if path.name != "home"] == ["here"]


@pytest.mark.parametrize("words", [["list", "--family-tree"], ["choose", "--min-top1", "80"]], ids=" ".join)
def test_what_needs_no_torch_loads_none(words: list[str]) -> None:
    code = "import sys; sys.argv = ['convatlas', *{words}]\n"
    code += "try:\n    from convatlas.cli import main; main()\nexcept SystemExit:\n    pass\n"
    code += "assert not {{'torch', 'matplotlib', 'resvg_py'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code.format(words=words)], check=True, capture_output=True)
