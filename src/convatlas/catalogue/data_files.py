"""The catalogue's data files, read from wherever the package is installed."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def file_names() -> list[str]:
    """Return the names of all files `data/<name>.toml`, sorted."""
    entries = (files(__package__) / "data").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def read(name: str) -> dict[str, Any]:
    """Read `data/<name>.toml` into a new dictionary.

    Raises:
        FileNotFoundError: The package has no such file.
        tomllib.TOMLDecodeError: The file is not TOML.
    """
    return tomllib.loads((files(__package__) / "data" / f"{name}.toml").read_text(encoding="utf-8"))
