"""The lock that refuses at once; the one that waits is tested with the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from convatlas.base.errors import TrainingError
from convatlas.base.locking import locked, locked_or_error


def refused(path: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{path.name}: {error.strerror}")


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run"
    busy = TrainingError("busy")
    with locked_or_error(path, busy, refused):
        with pytest.raises(TrainingError, match="busy"), locked_or_error(path, busy, refused):
            pass
        assert [file.name for file in path.parent.iterdir()] == [".run.lock"]
    with locked_or_error(path, busy, refused):
        pass
    with locked(path), pytest.raises(TrainingError, match="busy"), locked_or_error(path, busy, refused):
        pass


def test_an_owner_lets_go_after_an_error_and_passes_it_on(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(OSError, match="mine"), locked_or_error(tmp_path / "run", TrainingError("busy"), refused):
            raise OSError("mine")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match=r"file: (Not a directory|File exists)"),
        locked_or_error(tmp_path / "file" / "run", TrainingError("busy"), refused),
    ):
        pass
