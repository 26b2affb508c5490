"""A store that cannot be written, or a user without a home folder, stops only what has something to keep there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stores import DATA, put
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import StoreError
from convatlas.base.store.remote import Remote, home, path_of
from convatlas.base.store.verify import mismatch
from convatlas.cli.app import app
from convatlas.images.samples import sample


@pytest.fixture(params=["read-only", "homeless"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store below a file, which root cannot write either; or that of a user without a home folder."""
    if request.param == "read-only":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "file" / "store"))
    else:

        def missing() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("CONVATLAS_HOME", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", missing)
    monkeypatch.chdir(tmp_path)
    for label, name in (("tabby", "chelsea"), ("espresso", "coffee")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        shutil.copy(sample(name), tmp_path / "photos" / label)
    return home()


VERBS = {
    "list": ["list", "--family", "lenet"],
    "family tree": ["list", "--family-tree"],
    "show": ["show", "lenet5"],
    "draw": ["draw", "lenet5", "-o", "a.svg"],
    "draw maps": ["draw", "lenet5", "--maps", "c1", "-o", "maps.png"],
    "measure": ["measure", "lenet1"],
    "compare": ["compare", "lenet4", "lenet5"],
    "check": ["check", "lenet5"],
    "choose": ["choose", "--max-parameters", "10M"],
    "fetch --list": ["fetch", "--list", "resnet18"],
    "fetch bundled": ["fetch", "lenet5"],
    "classify": ["classify", "photos/espresso"],
    "classify in an engine": ["classify", "photos/espresso", "--net", "lenet5", "--engine", "onnxruntime"],
    "evaluate": ["evaluate", "efficientnet_lite0", "--data", "photos"],
    "export": ["export", "lenet1", "a.onnx"],
    "export weights": ["export", "lenet1", "a.safetensors"],
    "batch": ["batch", "classify", "photos", "-o", "answers", "--net", "lenet5"],
    "batch in an engine": ["batch", "classify", "photos", "-o", "out", "--net", "lenet5", "--engine", "onnxruntime"],
    "bench": ["bench", "lenet1", "--batches", "1", "--engines", "onnxruntime"],
    "explain": ["explain", "photos/espresso/coffee.png"],
    "train": ["train", "lenet1", "--data", "photos", "--epochs", "1", "-o", "run"],
    "reproduce": ["reproduce"],
}


@pytest.mark.parametrize("words", VERBS.values(), ids=list(VERBS))
def test_every_verb_that_has_nothing_to_keep_works(store: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert not store.exists()


def test_the_doctor_says_so(store: Path) -> None:
    assert any(f"the store {store} cannot be written" in problem for problem in ca.doctor().problems)


NEEDED: dict[str, Callable[[], object]] = {
    "weights": lambda: ca.load("resnet18", weights="torchvision"),
    "a data set": lambda: ca.train("lenet1", "mnist", output="run"),
}


@pytest.mark.parametrize("call", NEEDED.values(), ids=list(NEEDED))
def test_what_must_be_kept_is_refused_in_one_line(store: Path, call: Callable[[], object]) -> None:
    with pytest.raises(StoreError, match=r"^[^\n]*cannot be used: Not a directory; CONVATLAS_HOME[^\n]*$"):
        call()


def test_the_files_of_a_named_engine_are_temporary(store: Path) -> None:
    assert ca.accelerate("lenet1", "onnxruntime").record.options.engine == "onnxruntime"
    assert ca.accelerate("lenet1").record.options.engine == "eager"
    assert not store.exists()


def test_a_file_put_there_by_hand_is_used_without_a_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody published its hash, and a store that is read-only cannot remember one."""
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "store"))
    remote = Remote("https://example.com/file.bin", "file.bin")
    put(path_of(remote), DATA)
    (tmp_path / "file").write_text("")
    here = path_of(remote)
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "file" / "store"))
    assert mismatch(here, remote, True) == ""
