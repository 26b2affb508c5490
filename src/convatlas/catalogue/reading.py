"""The data files of the catalogue, wherever the package is installed."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def read(name: str) -> dict[str, Any]:
    """The content of `data/<name>.toml`.

    Raises:
        FileNotFoundError: If the package carries no such file.
        tomllib.TOMLDecodeError: If the file is no TOML.
    """
    return tomllib.loads((files(__package__) / "data" / f"{name}.toml").read_text(encoding="utf-8"))
