"""A copy of the package, into which a test puts new files to see that nothing else has to change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import convatlas


@dataclass(frozen=True)
class House:
    """A package of its own, run in processes of its own.

    Attributes:
        path: The folder `convatlas` of the copy.
    """

    path: Path

    def add(self, file: str, text: str) -> None:
        """Put a new file into the package; one that exists already is an error, because the tests count files."""
        target = self.path / file
        assert not target.exists(), f"{file} exists already"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def run(self, code: str) -> str:
        """Output of a Python program that imports the copy; it must end well and be silent on the error stream."""
        return self._output("-c", code)

    def command(self, *words: str) -> str:
        """Output of the copy's command line."""
        return self._output("-m", "convatlas", *words)

    def _output(self, *words: str) -> str:
        home = {"PYTHONPATH": str(self.path.parent), "CONVATLAS_HOME": str(self.path.parent / "store")}
        done = subprocess.run(
            [sys.executable, *words], env=os.environ | home, capture_output=True, text=True, cwd=self.path.parent
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A fresh copy of the package."""
    source = Path(convatlas.__file__).parent
    target = tmp_path / "convatlas"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return House(target)
