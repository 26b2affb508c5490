"""Records: results together with their settings, the versions of packages and the machine."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convatlas.base.machine import package_version, system
from convatlas.base.terminal.brief import Brief

if TYPE_CHECKING:
    from convatlas.base.tables import Table


@dataclass(frozen=True)
class Provenance:
    """Versions of packages and the machine that a record was made with."""

    versions: Mapping[str, str]
    machine: str


def provenance() -> Provenance:
    """Return the versions of Python and of the relevant packages that are loaded, and the machine."""
    versions = {"python": platform.python_version()}
    for package in ("convatlas", "torch", "numpy", "pillow", "onnxruntime", "openvino"):
        module = {"pillow": "PIL"}.get(package, package)
        if module in sys.modules:
            versions[package] = package_version(package) or "unknown"
    return Provenance(versions, system())


@dataclass(frozen=True, kw_only=True)
class Record(Brief):
    """A result; its values and settings are the fields that a subclass adds.

    Attributes:
        made: Versions of packages, and the machine, that the result was made with.
    """

    made: Provenance = field(default_factory=provenance, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as numbers, strings, lists and dicts."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps(dataclasses.asdict(self), default=str, ensure_ascii=False)

    def tables(self) -> list[Table]:
        """Return the record as tables; by default one with a row for each field."""
        from convatlas.base.tables import fields_table

        return [fields_table(self)]

    def _repr_html_(self) -> str:
        return "\n".join(table._repr_html_() for table in self.tables())


@dataclass(frozen=True, kw_only=True)
class TableRecord(Record):
    """A result that is a table."""

    def table(self) -> Table:
        """Return the record as a table."""
        raise NotImplementedError

    def tables(self) -> list[Table]:
        """Return the table alone."""
        return [self.table()]

    def to_pandas(self) -> Any:
        """Return the table as a `pandas.DataFrame`.

        Raises:
            ConvAtlasError: pandas is not installed.
        """
        return self.table().to_pandas()
