"""Results as records: what was found, and everything needed to find it again."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Which versions on which machine made a record."""

    versions: Mapping[str, str]
    machine: str


def provenance() -> Provenance:
    """The versions that matter, and the machine; libraries that were not loaded took no part and are left out."""
    versions = {"python": platform.python_version()}
    for package in ("convatlas", "torch", "numpy", "pillow", "onnxruntime", "openvino"):
        module = {"pillow": "PIL"}.get(package, package)
        if module in sys.modules:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                versions[package] = "unknown"
    return Provenance(versions, f"{platform.system()} {platform.machine()}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A result; subclasses add what was found and the settings it was found with."""

    made: Provenance = field(default_factory=provenance, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps(dataclasses.asdict(self), default=str, ensure_ascii=False)
