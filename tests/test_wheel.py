"""The built wheel, installed elsewhere, does what the checkout does: all its data is inside."""

from __future__ import annotations

import json
import os
import re
import shutil
import site as sys_site
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import convatlas
from convatlas.catalogue.cards import cards

# One process builds what these tests share.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("convatlas-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "convatlas/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "docs", "benchmarks")) for name in names)
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(site: Path, *words: str) -> str:
    code = "import convatlas, sys; print(convatlas.__file__, file=sys.stderr); from convatlas.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(str(site))
    return done.stdout


def test_the_wheel_does_the_demo(site):
    assert [row["name"] for row in json.loads(run(site, "list", "--json"))] == list(cards())
    found = json.loads(run(site, "classify", "--samples", "--top", "1", "--json"))
    assert [one["answers"][0]["label"] for one in found][2] == "espresso"
    assert "no rule" not in run(site, "check", "resnet50", "efficientnet_b0")


def test_the_version_is_one():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == convatlas.__version__


def test_the_package_index_takes_the_wheel(site):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *site.parent.glob("*.whl")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


SCRIPT = """
import convatlas as ca
from convatlas.anatomy import Anatomy

anatomy: Anatomy = ca.measure("lenet5")
depth: str = anatomy.depth
reveal_type(ca.train)
"""

NAMES = """
import torch
from torch import nn

my_module: nn.Module = nn.Linear(2, 2)
my_sound_net: nn.Module = nn.Conv1d(1, 4, 3)
photos = torch.zeros(1, 3, 224, 224)
"""
"""Names that the program in the README takes from elsewhere."""

ANSWERS = """
import numpy as np
from convatlas.predict import Classification, Detection

array = np.zeros((8, 8, 3), np.uint8)
one: Classification = ca.classify(array, "lenet5", top=1)
several: list[Classification] = ca.classify(["a.jpg", array], top=3, device="cpu")
label: str = ca.classify("cat.jpg").answers[0].label
for each in ca.classify("folder"):
    print(each)
detection: Detection = ca.detect(b"file")
detections: list[Detection] = ca.detect(["a.jpg"], threshold=0.5)
own: nn.Linear = ca.load(nn.Linear(2, 2), weights="run/weights.safetensors")
mistake: int = ca.classify(array)
ca.classify(array, topp=3)
"""


@pytest.fixture(scope="module")
def checked(site, tmp_path_factory):
    """What mypy says of programs; an environment of its own holds the wheel, all else is from the tests' own one."""
    tmp_path = tmp_path_factory.mktemp("typed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    shutil.copytree(site, packages, dirs_exist_ok=True)
    (packages / "rest.pth").write_text("\n".join(sys_site.getsitepackages()))

    def check(code: str) -> str:
        (tmp_path / "script.py").write_text(code)
        words = ["--strict", "--python-executable", tmp_path / "venv/bin/python", "script.py"]
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *words],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")},
            capture_output=True,
            text=True,
        )
        return done.stdout

    return check


@pytest.mark.sweep
def test_type_checkers_see_the_installed_types(checked):
    said = checked(SCRIPT)
    assert 'expression has type "int", variable has type "str"' in said, said
    assert "TrainingResult" in said
    assert said.count(" error:") == 1


@pytest.mark.sweep
def test_the_program_in_the_readme_has_right_types(checked):
    text = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    said = checked(NAMES + code)
    assert "Success: no issues found" in said, said


@pytest.mark.sweep
def test_answers_have_the_types_of_the_photos(checked):
    said = checked("import convatlas as ca\n" + NAMES + ANSWERS)
    assert 'expression has type "Classification", variable has type "int"' in said, said
    assert 'Unexpected keyword argument "topp"' in said
    assert 'No overload variant of "__call__" of "PhotoVerb"' in said
    assert said.count(" error:") == 3
