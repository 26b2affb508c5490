"""The program at the edges of its terminal: pipes that close, disks that are full, encodings, widths, odd names."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

from convatlas.cli.entry import main
from convatlas.images.samples import sample
from convatlas.predict.predictors import Classifier

PROGRAM = [sys.executable, "-c", "from convatlas.cli import main; main()"]
FORMATS = [[], ["--json"], ["--markdown"], ["--csv"]]


def environment(**more: str) -> dict[str, str]:
    """As a user has it: Python buffers what goes into a pipe."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "PYTHONIOENCODING")}
    return kept | {"PYTHONUTF8": "1"} | more


def run(*words: str, folder: Path | None = None, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *words], capture_output=True, env=environment(**more), cwd=folder)


class Inside:
    """The program in this process, with an output of any encoding: torch is loaded once for all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: str, encoding: str = "utf-8") -> tuple[int, str, str]:
        """Its status, its output, what it complained about."""
        with self.monkeypatch.context() as patch:
            output = io.BytesIO()
            patch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding, newline=""))
            patch.setattr(sys, "argv", ["convatlas", *words])
            patch.setattr(sys, "path", [*sys.path])
            with pytest.raises(SystemExit) as left:
                main()
            sys.stdout.flush()
            return int(left.value.code or 0), output.getvalue().decode(encoding), self.capsys.readouterr().err


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(monkeypatch, capsys)


@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
@pytest.mark.parametrize("words", [["list"], ["list", "--family", "vgg"]], ids=["much", "little"])
def test_nobody_reads(form: list[str], words: list[str]) -> None:
    """The reader is gone before anything is written; little output fails only when Python ends."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*PROGRAM, *words, *form], stdout=writer, stderr=subprocess.PIPE, env=environment())
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_reader_of_one_line() -> None:
    program = subprocess.Popen([*PROGRAM, "show", "genes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout.readline()
    program.stdout.close()
    assert program.stderr.read() == b""
    assert program.wait() in (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
def test_a_full_disk_is_told_in_one_line(form: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "list", "--family", "vgg", *form], stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"convatlas: ")
    assert b"No space left" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
def test_without_an_output(form: list[str]) -> None:
    """Started as `convatlas list >&-`."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "list", *form], stderr=subprocess.PIPE, env=environment()
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252", "utf-16"])
def test_every_form_in_every_encoding(inside: Inside, encoding: str) -> None:
    """What the encoding lacks ("×", "é") is spelled out as in JSON, so that JSON stays it."""
    outputs = {}
    for form in FORMATS:
        status, outputs[" ".join(form)], said = inside("check", "vgg16", *form, encoding=encoding)
        assert (status, said) == (0, "")
    published = {row["column"]: row["published"] for row in json.loads(outputs["--json"])}
    assert published["input"] == "224×224×3"
    sign = "\\u00d7" if encoding == "ascii" else "×"
    for form in ("", "--markdown", "--csv"):
        assert f"224{sign}224{sign}3" in outputs[form]
    assert ("┃" in outputs[""]) == (encoding in ("utf-8", "utf-16"))


def test_the_encoding_of_the_environment() -> None:
    done = run("check", "vgg16", "--csv", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"224\\u00d7224\\u00d73" in done.stdout


def test_errors_in_an_encoding_without_the_sign() -> None:
    done = run("list", "--family", "résnet×", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert done.stderr.startswith(b"convatlas: no family is called")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["list", "--bogus"], "--bogus"),
        (["list", "--min-top1", "x"], "--min-top1"),
        (["classify", "--top", "x"], "--top"),
        (["measure", "--size"], "--size"),
        (["measure"], "net"),
    ],
    ids=str,
)
def test_words_that_the_program_lacks(inside: Inside, words: list[str], told: str) -> None:
    status, output, said = inside(*words)
    assert (status, output) == (2, "")
    assert told in said
    assert said.startswith("convatlas: ")
    command = "" if words == ["bogus"] else f" {words[0]}"
    assert said.endswith(f"; see convatlas{command} --help\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("words", "status"), [([], 2), (["--help"], 0), (["list", "--help"], 0)])
def test_help(inside: Inside, words: list[str], status: int) -> None:
    found, output, said = inside(*words)
    assert (found, said) == (status, "")
    assert "--help" in output


NAMES = [b"[red]x[green].png", b":cat:.png", b"a|b.png", b"new\nline.png", b'quote".png', b"-dash.png", b"\xff.png"]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a folder of photos with the names that files may have, and one that is no photo; all hold espresso."""
    monkeypatch.chdir(tmp_path)
    espresso = np.eye(1000, dtype=np.float32)[967]
    monkeypatch.setattr(Classifier, "probabilities", lambda self, x: np.stack([espresso] * len(x)))
    for name in (*NAMES, "é×.png".encode()):
        with open(name, "wb") as file:
            file.write(sample("coffee").read_bytes())
    Path("bad\nname.png").write_bytes(b"no photo")


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_photos_with_odd_names(inside: Inside, encoding: str) -> None:
    status, output, said = inside("classify", ".", "--top", "1", "--json", encoding=encoding)
    assert status == 3
    assert said.startswith("convatlas: 'bad\\nname.png' is not an image")
    assert said.count("\n") == 1
    photos = json.loads(output)
    names = [*map(os.fsdecode, NAMES), "é×.png", "bad\nname.png"]
    assert sorted(photo["photo"] for photo in photos) == sorted(names)
    assert [photo["answers"][0]["label"] for photo in photos if photo["error"] is None] == ["espresso"] * 8
    _, lines, _ = inside("classify", ".", "--top", "1", "--markdown", encoding=encoding)
    assert len(lines.splitlines()) == 2 + 8
    assert "| a\\|b.png | espresso |" in lines
    assert "| new line.png | espresso |" in lines
    _, shown, _ = inside("classify", ".", "--top", "1", encoding=encoding)
    for name in ("[red]x[green].png", ":cat:.png", "-dash.png"):
        assert name in shown


def on_terminal(columns: int, *words: str, **more: str) -> str:
    """What a terminal of so many columns receives."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    settings = environment(TERM="xterm-256color", **more)
    for told in ("COLUMNS", "LINES"):  # they would stand above what the terminal says
        settings.pop(told, None)
    program = subprocess.Popen([*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=settings)
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
    assert program.wait() == 0
    return received.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_a_terminal_of_any_width(columns: int) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(columns, "list", "--family", "vgg"))
    assert all(len(line) <= columns for line in shown.splitlines())
    assert "Traceback" not in shown
    if columns == 200:
        assert "vgg16" in shown
        assert "138.4M" in shown


def test_colours_only_where_they_are_wanted() -> None:
    coloured = on_terminal(100, "--help")
    assert "\x1b[" in coloured
    plain = on_terminal(100, "--help", NO_COLOR="1")
    assert not any(f"\x1b[{number}m" in plain for number in range(30, 38))
    assert b"\x1b" not in run("list").stdout
    assert b"\x1b" not in run("show", "nothing").stderr


def test_a_pipe_gets_whole_rows() -> None:
    lines = run("list", "--family", "efficientnet").stdout.decode().splitlines()
    assert sum("efficientnet" in line for line in lines) == 20
    assert any(line.count("│") == 12 for line in lines)


def test_stopping_by_hand(tmp_path: Path) -> None:
    """Ctrl-C while it works."""
    (tmp_path / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    program = subprocess.Popen(
        [*PROGRAM, "measure", "slow:net"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
        # Whoever runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert program.stdout.readline() == b"begun\n"
    time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate()
    assert program.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit('no')", "SystemExit: no"),
        ("x = ", "SyntaxError"),
        ("import not_there_at_all", "ModuleNotFoundError"),
        ("net = 3", "TypeError"),
        ("def net(needed): pass", "TypeError"),
        ("def net(): return {'a': 1}", "returned a dict, not a torch.nn.Module"),
        ("def net(): raise ValueError('two\\nlines')", "ValueError: two"),
        ("import torch\ndef net(): return torch.nn.Linear", "returned a type, not a torch.nn.Module"),
        ("import torch\nnet = torch.nn.LazyLinear(3)", "lazy layers"),
    ],
)
def test_a_net_of_one_s_own_that_is_none(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    # Python imports a name once: each of these is a module of its own.
    name = f"own_{hashlib.sha256(code.encode()).hexdigest()}"
    Path(f"{name}.py").write_text(code)
    status, output, said = inside("measure", f"{name}:net")
    assert (status, output) == (1, "")
    assert said.startswith("convatlas: ")
    assert told in said
    assert said.count("\n") == 1


def test_a_net_of_one_s_own(inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_good_net.py").write_text("from torch import nn\ndef net(): return nn.Conv2d(5, 7, 3)\nmade = net()\n")
    for name in ("own_good_net:net", "own_good_net:made"):
        status, output, _ = inside("measure", name, "--size", "10x12", "--json")
        found = json.loads(output)
        assert status == 0
        assert (found["input"], found["output"], found["parameters"]) == ([5, 10, 12], [7, 8, 10], 322)
