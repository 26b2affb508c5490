"""Progress is shown to people only, by one hand at a time, and lines are not broken by it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Fault, Server

from convatlas.base.store.progress import BARS

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
FETCH = """
import sys
from concurrent.futures import ThreadPoolExecutor
from convatlas.base.store import download, http
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote
http.TIMEOUT, download.PAUSE = float(sys.argv[1]), 0
*addresses, digest = sys.argv[2:]
remotes = [Remote(url, "net-" + url[-1], digest.strip("-")) for url in addresses]
with ThreadPoolExecutor(4) as pool:
    for path in pool.map(lambda remote: fetch(remote, quiet=digest.endswith("-")), remotes):
        print(path.name)
"""


class Terminal:
    """A terminal of 100 columns, and all that was drawn on it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._drawn = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self.ours, 4096):
                self._drawn += piece
        except OSError:
            pass

    def start(self, *words: str, patience: float = 0.8) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        return subprocess.Popen(
            [sys.executable, "-c", FETCH, str(patience), *words],
            stdout=subprocess.PIPE,
            stderr=self.theirs,
            text=True,
            env={**environment, "TERM": "xterm"},
        )

    def drawn(self) -> str:
        """Everything so far, in the order of time, without the codes that move and colour."""
        time.sleep(0.05)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._drawn.decode())

    def close(self) -> None:
        os.close(self.theirs)
        self._reader.join(2)
        os.close(self.ours)


@pytest.fixture
def terminal() -> Any:
    one = Terminal()
    yield one
    one.close()


def slowly(server: Server, path: str, data: bytes = DATA) -> str:
    """Published so that it takes a while: half of it, and silence until the client gives up and goes on."""
    return server.add(path, data, faults=[Fault(cut=len(data) // 2, end="stall")])


def test_a_terminal_sees_the_file_the_amount_the_rate_and_the_time(
    server: Server, store: Path, terminal: Terminal
) -> None:
    process = terminal.start(slowly(server, "/a"), SHA256)
    assert process.communicate()[0] == "net-a\n"
    drawn = terminal.drawn()
    assert re.search(r"net-a [━╸╺ ]+ 512.0/1,024.0 kB", drawn) or re.search(r"net-a [━╸╺ ]+ 0.5/1.0 MB", drawn), drawn
    assert re.search(r"[0-9?.]+ ([kM]B/s)? ", drawn)
    assert re.search(r"\d:\d\d:\d\d|-:--:--", drawn)


def test_threads_share_one_display(server: Server, store: Path, terminal: Terminal) -> None:
    process = terminal.start(slowly(server, "/a"), slowly(server, "/b"), SHA256)
    assert sorted(process.communicate()[0].split()) == ["net-a", "net-b"]
    # Drawn together: one bar right above the other.
    assert re.search(r"net-[ab] [^\n]*B[^\n]*\r?\nnet-[ab] [^\n]*B", terminal.drawn())


def test_a_notice_has_its_own_line(server: Server, store: Path, terminal: Terminal) -> None:
    process = terminal.start(server.add("/b", DATA), slowly(server, "/a"), "")
    process.communicate()
    lines = re.split(r"[\r\n]+", terminal.drawn())
    # Folded where the terminal ends.
    text = " ".join(" ".join(lines).split())
    for name in "ab":
        assert f"convatlas: no hash of net-{name} is published; its sha256 {SHA256} is pinned in" in text
    assert sum(line.startswith("convatlas: no hash of") for line in lines) == 2


def test_two_processes_do_not_draw_over_each_other(server: Server, store: Path, terminal: Terminal) -> None:
    first = terminal.start(slowly(server, "/a"), SHA256, patience=60)
    while "net-a" not in terminal.drawn():
        assert first.poll() is None
    second = terminal.start(server.add("/b", DATA, faults=[Fault(cut=1000)]), SHA256)
    assert second.communicate()[0] == "net-b\n"
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert "net-b" not in terminal.drawn()
    third = terminal.start(slowly(server, "/c"), SHA256)
    third.communicate()
    assert "net-c" in terminal.drawn()


def test_quiet_and_pipes_see_nothing(server: Server, store: Path, terminal: Terminal) -> None:
    assert terminal.start(slowly(server, "/a"), SHA256 + "-").communicate()[0] == "net-a\n"
    assert terminal.drawn() == ""
    words = [sys.executable, "-c", FETCH, "1", server.add("/b", DATA), SHA256]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "FORCE_COLOR": "1"})
    assert (done.stdout, done.stderr) == ("net-b\n", "")


def test_without_an_error_stream(server: Server, store: Path) -> None:
    """Started as `convatlas fetch net 2>&-`: what is pinned is not told to the standard output instead."""
    words = [sys.executable, "-c", FETCH, "1", server.add("/a", DATA), ""]
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *words], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "net-a\n")


def test_the_display_ends_with_the_last_bar() -> None:
    with BARS.bar("a", False) as tell, BARS.bar("b", False):
        tell(1, None)
        assert BARS._open == 2
    with pytest.raises(KeyError), BARS.bar("a", False):
        raise KeyError
    assert BARS._open == 0
