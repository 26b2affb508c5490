"""An output stream that escapes characters that do not print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from convatlas.base.terminal.escape import escaped


class EscapingStream:
    """A text stream that writes to another one and escapes what does not print, except line breaks and tabs.

    rich writes its tables and progress bars, whose texts are escaped already, to the other stream: it looks for that
    stream in `rich_proxied_file`.
    """

    def __init__(self, stream: TextIO):
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        self.rich_proxied_file.write(escaped(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def escaping() -> Iterator[None]:
    """Write the standard output and the error stream through an `EscapingStream`."""
    before = sys.stdout, sys.stderr
    # A stream that was closed before the program started is None.
    streams: list[Any] = [None if stream is None else EscapingStream(stream) for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
