"""What `convatlas doctor` says of an installation."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

import convatlas as ca
from convatlas.base import doctor
from convatlas.base.store.sealed import seal
from convatlas.engines.registry import names


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "store"))
    return tmp_path / "store"


def test_a_healthy_installation(store: Path) -> None:
    result = ca.doctor()
    assert result.problems == ()
    assert str(result).startswith("nothing is wrong\n")
    assert (result.store.files, result.store.writable) == (0, True)
    assert not store.exists()
    assert result.threads >= 1
    assert json.loads(result.to_json())["engines"]["eager"] == result.torch


def test_what_is_wrong_comes_first(store: Path) -> None:
    (store / "downloads").mkdir(parents=True)
    (store / "downloads" / "net.h5").write_bytes(b"12345")
    (store / "downloads" / ".net.h5.verified").write_text('{"size": 6}')
    (store / "downloads" / ".other.h5.verified").write_text("{")
    (store / "downloads" / ".part.h5.part").write_bytes(b"123")
    os.utime(store / "downloads" / ".part.h5.part", (0, 0))
    (store / "downloads" / ".net.h5.lock").write_bytes(b"")
    result = ca.doctor()
    assert (result.store.files, result.store.bytes) == (1, 5)
    lines = str(result).splitlines()
    assert sum(line.startswith("wrong: ") for line in lines[:3]) == 3
    assert any("net.h5 has 5 bytes, not 6 as when it was verified" in line for line in lines)
    assert any(".other.h5.verified is damaged" in line for line in lines)
    assert any("an interrupted download" in line for line in lines)


def test_notes_of_the_store_are_not_wrong(store: Path) -> None:
    store.mkdir()
    file = store / "engine.onnx"
    file.write_bytes(b"12345")
    seal(file)
    for path in (store / ".engine.onnx.sealed", store / ".DS_Store"):
        path.touch()
        os.utime(path, (0, 0))
    result = ca.doctor()
    assert (result.problems, result.store.files) == ((), 1)


def test_a_temporary_folder_of_a_killed_process_is_reported_whole(store: Path) -> None:
    folder = store / ".net.h5.0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "net.h5").write_bytes(b"123")
    os.utime(folder, (0, 0))
    result = ca.doctor()
    assert result.problems == (f"{folder} was left by a process that was killed; delete it",)
    assert result.store.files == 0


def test_what_is_not_installed_says_how_to_get_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "package_version", lambda package: None)
    result = ca.doctor()
    assert "PyTorch is not installed" in result.problems[0]
    assert "pip install 'convatlas[engines]'" in str(result)
    assert "extra cluster: distributed missing: pip install 'convatlas[cluster]'" in str(result)


def test_it_knows_every_engine_and_extra() -> None:
    """The lists are written a second time, because the lowest room cannot ask the engines."""
    assert set(doctor.ENGINES) == set(names())
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {
        extra: {re.split(r"[<>=!~\[ ]", package)[0] for package in packages}
        for extra, packages in project["optional-dependencies"].items()
        if extra != "dev"
    }
    assert {extra: set(packages) for extra, packages in doctor.EXTRAS.items()} == extras
