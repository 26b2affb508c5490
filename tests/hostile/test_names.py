"""Names that a terminal would obey: in tables, CSV, Markdown, JSON and errors they are spelled out."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.tables import Column, Table
from convatlas.base.terminal.escape import escaped
from convatlas.images.samples import sample

ESC, OSC, BIDI, C1, LINE = "\x1b[31m", "\x1b]0;owned\x07", "\u202e", "\x9b31m", "\nconvatlas: fine"
HOSTILE = f"a{ESC}{OSC}{BIDI}{C1}{LINE}"
SPELLED = "a\\u001b[31m\\u001b]0;owned\\u0007\\u202e\\u009b31m\\nconvatlas: fine"
OBEYED = (b"\x1b]", b"\x07", "\u202e".encode(), "\x9b".encode(), b"\nconvatlas: fine", b"a\x1b[31m")
PROGRAM = [sys.executable, "-m", "convatlas"]


def test_every_character_is_spelled_as_in_json() -> None:
    assert escaped(HOSTILE) == SPELLED
    for code in [*range(0x3000), *range(0xD800, 0xE000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0200)]:
        sign = chr(code)
        spelled = escaped(sign)
        assert spelled == sign or json.loads(f'"{spelled}"') == sign
        if not (sign.isprintable() or sign.isspace()):
            shown = spelled != sign
            assert shown or not _is_control(sign), hex(code)
    assert escaped("Größe 3×3 日本 🐈 a b") == "Größe 3×3 日本 🐈 a b"


def _is_control(sign: str) -> bool:
    import unicodedata

    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(sign) in (
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
    )


def test_errors_have_one_line() -> None:
    assert str(ConvAtlasError(f"no {HOSTILE}")) == f"no {SPELLED}"
    assert str(unknown("net", HOSTILE, ["a"])).isprintable()


@pytest.mark.parametrize("form", ["csv", "markdown", "rich"])
def test_tables(form: str) -> None:
    table = Table([Column("name", "name")], [{"name": HOSTILE}], title=HOSTILE, notes=(HOSTILE,))
    if form == "rich":
        from rich.console import Console

        console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
        console.print(table.rich())
        text = console.export_text()
    else:
        text = table.csv(for_terminal=True) if form == "csv" else table.markdown()
    assert not any(sign in text.encode() for sign in OBEYED if sign[:1] != b"\n")


def on_terminal(*words: str, folder: Path) -> bytes:
    """What a terminal receives."""
    ours, theirs = pty.openpty()
    settings = os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1", "COLUMNS": "400"}
    program = subprocess.Popen([*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=settings, cwd=folder)
    os.close(theirs)
    received = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # so a terminal's end is told on Linux
            break
        if not part:
            break
        received += part
    os.close(ours)
    program.wait()
    return received


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo and a file that is none, both with hostile names."""
    shutil.copy(sample("coffee"), tmp_path / f"{HOSTILE}.png")
    (tmp_path / f"b{HOSTILE}.jpg").write_bytes(b"none")
    (tmp_path / "truth.csv").write_text(f"{OSC.strip()},x\n")
    return tmp_path


WORDS = [
    ["classify", "--net", "lenet5", "."],
    ["classify", "--net", "lenet5", ".", "--csv"],
    ["classify", "--net", "lenet5", ".", "--json"],
    ["classify", "--net", "lenet5", ".", "--markdown"],
    ["classify", "--net", HOSTILE, "."],
    ["classify", f"{HOSTILE}nowhere.png"],
    ["evaluate", "lenet5", "--data", ".", "--truth", f"{HOSTILE}.csv"],
    ["measure", f"{HOSTILE}.pt2"],
    [HOSTILE],
    ["list", HOSTILE],
]


@pytest.mark.parametrize("words", WORDS, ids=range(len(WORDS)))
def test_on_a_terminal(photos: Path, words: list[str]) -> None:
    shown = on_terminal(*words, folder=photos).replace(b"\r\n", b"\n")
    assert b"owned" in shown
    assert b"Traceback" not in shown
    assert not [sign for sign in OBEYED if sign in shown], shown[-2000:]
