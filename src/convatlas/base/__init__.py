"""The base of every other room: errors, records, tables, atomic files, the store, facts about the machine."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.base.doctor import Diagnosis as Diagnosis
    from convatlas.base.records import Record as Record
    from convatlas.base.tables import Table as Table
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Diagnosis": "doctor",
            "Record": "records",
            "Table": "tables",
        },
    )
