"""Tables for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from rich.table import Table as RichTable
from rich.text import Text

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.brief import Brief, short
from convatlas.base.terminal.escape import escaped


def plain(value: Any) -> str:
    """Format a value as text: None is empty, integers have thousands separators, floats four digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return " x ".join(str(part) for part in value)
    return str(value)


@dataclass(frozen=True)
class Column(Brief):
    """A column of a table.

    Attributes:
        key: Key of its values in the rows.
        heading: Heading that people read.
        show: Formats a value for people.
    """

    key: str
    heading: str
    show: Callable[[Any], str] = plain


@dataclass(frozen=True)
class Table(Brief):
    """Rows of values under columns; JSON and CSV hold the values, Markdown and the terminal formatted text."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    notes: Sequence[str] = field(default=())

    def json(self) -> str:
        """Return the table as JSON: a list of objects, one per row."""
        rows = [{column.key: row.get(column.key) for column in self.columns} for row in self.rows]
        return json.dumps(rows, indent=1, ensure_ascii=False, default=str)

    def csv(self, for_terminal: bool = False) -> str:
        """Return the table as CSV, headed by the columns' keys; lists look like `3 x 3`, missing values are empty.

        Args:
            for_terminal: Whether to escape characters that do not print.
        """
        rows = [[column.key for column in self.columns]]
        rows += [[_csv_cell(row.get(column.key)) for column in self.columns] for row in self.rows]
        return "\n".join(_csv_line([escaped(cell) for cell in row] if for_terminal else row) for row in rows)

    def markdown(self) -> str:
        """Return the table as GitHub's Markdown, numbers aligned to the right."""
        lines = [[_markdown_cell(column.heading) for column in self.columns]]
        lines.append(["---:" if self._is_number(column) else "---" for column in self.columns])
        lines += [[_markdown_cell(column.show(row.get(column.key))) for column in self.columns] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_pandas(self) -> Any:
        """Return the table as a `pandas.DataFrame` of its values, with the columns' keys.

        Raises:
            ConvAtlasError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise ConvAtlasError("pandas is not installed: pip install pandas") from None
        columns = {column.key: [row.get(column.key) for row in self.rows] for column in self.columns}
        return pandas.DataFrame(columns)

    def _repr_html_(self) -> str:
        """Return the table for a notebook: HTML, with numbers aligned to the right."""
        aligns = ["right" if self._is_number(column) else "left" for column in self.columns]
        lines = ["<table>", f"<caption>{escape(self.title)}</caption>"] if self.title else ["<table>"]
        lines.append(_html_row("th", [column.heading for column in self.columns], aligns))
        for row in self.rows:
            lines.append(_html_row("td", [column.show(row.get(column.key)) for column in self.columns], aligns))
        return "\n".join([*lines, "</table>", *(f"<p>{escape(note)}</p>" for note in self.notes)])

    def rich(self) -> RichTable:
        """Return the table for the terminal."""
        # As `Text`, because rich interprets markup in strings ("[red]", ":cat:").
        title = Text(escaped(self.title), "table.title") if self.title else None
        notes = Text("\n".join(map(escaped, self.notes)), "table.caption") if self.notes else None
        table = RichTable(title=title, caption=notes, caption_justify="left")
        for column in self.columns:
            justify: Literal["left", "right"] = "right" if self._is_number(column) else "left"
            table.add_column(Text(column.heading), justify=justify, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(escaped(column.show(row.get(column.key)), keep="\n")) for column in self.columns))
        return table

    def _is_number(self, column: Column) -> bool:
        values = [row.get(column.key) for row in self.rows]
        return any(isinstance(value, int | float) for value in values) and not any(
            isinstance(value, str | tuple | list) for value in values
        )


def fields_table(record: Any) -> Table:
    """Return a table of a record's fields; values other than numbers and texts are shown by their length or class."""
    rows = [
        {"field": field.name, "value": value if isinstance(value, int | float | str | None) else short(value)}
        for field in dataclasses.fields(record)
        if field.repr
        for value in [getattr(record, field.name)]
    ]
    return Table((Column("field", "field"), Column("value", "value")), rows, title=type(record).__name__)


def _html_row(tag: str, cells: Sequence[str], aligns: Sequence[str]) -> str:
    parts = (
        f'<{tag} style="text-align: {align}">{escape(cell)}</{tag}>' for cell, align in zip(cells, aligns, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>"


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    # Python 3.11 quotes a carriage return only if lines end in one.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def _csv_cell(value: Any) -> str:
    return "" if value is None else plain(value) if isinstance(value, tuple | list | bool) else str(value)


def _markdown_cell(text: str) -> str:
    """Return a text as a cell of Markdown: on one line, with its bars and backslashes escaped."""
    return escaped(" ".join(text.replace("\\", "\\\\").replace("|", "\\|").splitlines()))
