"""The built wheel, installed elsewhere, does what the checkout does: all its data is inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
