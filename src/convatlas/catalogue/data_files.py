"""Read the catalogue's data files, wherever the package is installed."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def file_names() -> list[str]:
    """Names of all files `data/<name>.toml`, sorted."""
    entries = (files(__package__) / "data").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def read(name: str) -> dict[str, Any]:
    """The content of `data/<name>.toml`; the dictionary is the caller's own.

    Raises:
        FileNotFoundError: The package has no such file.
        tomllib.TOMLDecodeError: The file is not TOML.
    """
    return tomllib.loads((files(__package__) / "data" / f"{name}.toml").read_text(encoding="utf-8"))
