"""Temporary files: those of running processes stay, those of killed ones go."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from convatlas.base.atomic import whole, write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.leftovers import remove_leftovers
from convatlas.base.locking import locked, locked_or_error, unusable

HOLDING = """
import sys, time
from pathlib import Path
from convatlas.base.atomic import whole
with whole(Path(sys.argv[1])) as path:
    path.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def begun(path: Path) -> subprocess.Popen[bytes]:
    program = subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    return program


def test_only_those_of_killed_processes_are_removed(tmp_path: Path) -> None:
    killed, alive = begun(tmp_path / "killed.xml"), begun(tmp_path / "alive.xml")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    try:
        assert len(hidden(tmp_path)) == 2
        remove_leftovers(tmp_path)
        (left,) = hidden(tmp_path)
        assert left.startswith(".alive.xml.")
        assert (tmp_path / left / "alive.xml").read_text() == "half"
    finally:
        alive.kill()
        alive.wait()


def test_ones_own_stay_while_they_are_written(tmp_path: Path) -> None:
    with whole(tmp_path / "a.xml") as path:
        path.write_text("whole")
        remove_leftovers(tmp_path)
        write_bytes(tmp_path / "b", b"other")
    assert (tmp_path / "a.xml").read_text() == "whole"
    assert hidden(tmp_path) == []


def test_whoever_locks_cleans_up(tmp_path: Path) -> None:
    for lock in (
        lambda: locked(tmp_path / "a"),
        lambda: locked_or_error(tmp_path / "run", ConvAtlasError("busy"), unusable),
    ):
        (tmp_path / ".weights.safetensors.0123456789abcdef").write_bytes(b"half")
        (tmp_path / ".net.xml.0123456789abcdef").mkdir()
        (tmp_path / ".mine").write_bytes(b"kept")
        with lock():
            assert not list(tmp_path.glob(".*.0123456789abcdef"))
            assert (tmp_path / ".mine").exists()
