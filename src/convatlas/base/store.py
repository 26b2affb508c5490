import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def home() -> Path:
    return Path(os.environ.get("CONVATLAS_HOME", "/tmp/cahome"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    yield
