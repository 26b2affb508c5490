"""Sealed files are hashed once, and damage is noticed whatever the file's size and time say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from convatlas.base.store import sealed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kept.bin"
    path.write_bytes(b"abcdef")
    assert sealed.sealed_hash(path) == "", "nothing was noted yet"
    sealed.seal(path)
    return path


def test_an_unchanged_file_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = sealed.sealed_hash(file)
    assert len(digest) == 64
    monkeypatch.setattr(sealed, "_sha256", None)
    assert sealed.sealed_hash(file) == digest


def test_damage_of_the_same_length_is_noticed(file: Path) -> None:
    times = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"x")
    assert sealed.sealed_hash(file) == ""
    # Whoever sets the time back changes the time of the last change of the file's facts.
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sealed.sealed_hash(file) == ""


def test_a_change_right_after_the_hash_is_noticed(file: Path) -> None:
    """Within one tick of a coarse clock, a file that is written twice has the same time."""
    assert abs(file.stat().st_mtime_ns - file.stat().st_ctime_ns) > sealed.TICK


def test_a_file_of_another_length_and_a_missing_one(file: Path) -> None:
    file.write_bytes(b"abcdefg")
    assert sealed.sealed_hash(file) == ""
    sealed.discard_sealed(file)
    assert sealed.sealed_hash(file) == ""
    assert not list(file.parent.iterdir())


def test_a_copied_or_touched_file_is_hashed_once_more(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = sealed.sealed_hash(file)
    copy = file.parent / "copy"
    shutil.copytree(file.parent, copy, ignore=shutil.ignore_patterns("copy"))
    assert sealed.sealed_hash(copy / file.name) == digest
    os.utime(file, (1, 1))
    assert sealed.sealed_hash(file) == digest
    monkeypatch.setattr(sealed, "_sha256", None)
    assert sealed.sealed_hash(file) == digest


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"sha256": "0", "state": 3}', b"[" * 100_000])
def test_a_damaged_note_is_no_proof(file: Path, note: bytes) -> None:
    (file.parent / f".{file.name}.sealed").write_bytes(note)
    assert sealed.sealed_hash(file) == ""


def test_json_holds_its_hash(tmp_path: Path) -> None:
    path, value = tmp_path / "a.json", {"b": [1, 0.1, None], "a": "é\ud800"}
    sealed.write_sealed_json(path, value)
    assert sealed.read_sealed_json(path) == value
    whole = path.read_bytes()
    for damage in (whole.replace(b"0.1", b"0.2"), b"", b"3", b"{}", b'{"value": 3}', b"[" * 100_000, whole[:-3]):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"."):
            sealed.read_sealed_json(path)
