"""The built wheel, installed elsewhere, does what the checkout does: all its data is inside."""

from __future__ import annotations

import json
import os
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


@pytest.mark.sweep
def test_type_checkers_see_the_installed_types(site, tmp_path):
    """An environment of its own holds the wheel; everything else comes from the one that runs the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    shutil.copytree(site, packages, dirs_exist_ok=True)
    (packages / "rest.pth").write_text("\n".join(sys_site.getsitepackages()))
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", tmp_path / "venv/bin/python", "script.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")},
        capture_output=True,
        text=True,
    )
    assert 'expression has type "int", variable has type "str"' in done.stdout, done.stdout
    assert "TrainingResult" in done.stdout
    assert done.stdout.count(" error:") == 1
