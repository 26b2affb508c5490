"""Ways to damage a file, drawn from a seed: its bytes, the values in it, or what stands in its place."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convatlas.base.errors import ConvAtlasError

VALUES: list[Any] = [
    *(3, -1, 0, 10**9, 10**40, 1.5, 1e-320, 1e308, float("nan"), float("inf"), True, None),
    *("", "x", "\x1b[2J\n", "../../etc/passwd", [], [3], [[]], {}, {"a": 1}, {"": None}),
]
"""What may stand in the place of any value."""


def nested(depth: int = 100) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a value, and a key or index of it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def changed(value: Any, draw: random.Random) -> Any:
    """A copy of plain values with one of them replaced, left out, doubled or added."""
    value = copy.deepcopy(value)
    options = list(places(value))
    if not options or draw.random() < 0.1:
        return draw.choice([*VALUES, nested()])
    container, key = draw.choice(options)
    kind = draw.choice(["replace", "replace", "replace", "remove", "add", "nest"])
    if kind == "replace":
        container[key] = draw.choice(VALUES)
    elif kind == "nest":
        container[key] = nested()
    elif kind == "remove":
        del container[key]
    elif isinstance(container, dict):
        container["another"] = draw.choice(VALUES)
    else:
        container.append(copy.deepcopy(container[key]))
    return value


def bytes_changed(data: bytes, draw: random.Random) -> bytes:
    """Bytes cut, overwritten, doubled, or replaced by others."""
    kind = draw.choice(["cut", "overwrite", "overwrite", "insert", "empty", "zeros", "deep", "deep object", "text"])
    if kind == "cut":
        return data[: draw.randrange(len(data))]
    if kind == "overwrite":
        wrong = bytearray(data)
        for _ in range(draw.choice([1, 3, 30])):
            wrong[draw.randrange(len(wrong))] = draw.randrange(256)
        return bytes(wrong)
    if kind == "insert":
        at = draw.randrange(len(data))
        return data[:at] + draw.randbytes(draw.choice([1, 7, 100])) + data[at:]
    return {
        "empty": b"",
        "zeros": bytes(len(data)),
        "deep": b"[" * 200_000,
        "deep object": b'{"a":' * 200_000,
        "text": b"\xff\xfe nonsense \n" * 3,
    }[kind]


def replaced(path: Path, draw: random.Random) -> None:
    """Put something that is no ordinary file, or a much too large one, in the place of a file."""
    path.unlink()
    kind = draw.choice(["pipe", "folder", "socket", "device", "broken link", "sparse"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        short = Path("/tmp") / f"socket-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(short))
        shutil.move(short, path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "broken link":
        path.symlink_to(path.with_name("nowhere"))
    else:
        with path.open("wb") as file:
            file.truncate(20 << 30)


def damage_bytes(path: Path, draw: random.Random) -> None:
    """Damage the bytes of a file, or what stands in its place."""
    if draw.random() < 0.3:
        replaced(path, draw)
    else:
        path.write_bytes(bytes_changed(path.read_bytes(), draw))


def damage_json(path: Path, draw: random.Random) -> None:
    """Damage a file of JSON: as valid JSON in most cases."""
    if draw.random() < 0.3:
        damage_bytes(path, draw)
    else:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), draw)))


Damage = Callable[[Path, random.Random], None]


def one_line(work: Callable[[], Any]) -> Any:
    """What some work returns; None if it ends in an error of one line. It may neither hang nor raise anything else."""
    said = ""
    with not_for_ever():
        try:
            return work()
        except ConvAtlasError as error:
            said = str(error)
    assert "\n" not in said
    assert len(said) < 2000
    return None


@contextmanager
def not_for_ever(seconds: int = 60) -> Iterator[None]:
    """Fail where code hangs."""

    def give_up(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
