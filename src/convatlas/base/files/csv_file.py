"""Read CSV files as people and spreadsheets write them: separated by commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from convatlas.base.errors import ImageError, printable
from convatlas.base.files.reading import MAX_TABLE, read_bytes, reason

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""Accepted separators, the preferred one first."""

Row = tuple[int, list[str]]
"""The number of the line that a row begins on, counted from 1, and its cells."""


def read_table_text(path: str | Path, kind: str, any_bytes: bool = False) -> str:
    """Read a text file in UTF-8, or in UTF-16 if it begins with a byte order mark.

    Args:
        path: The file.
        kind: What the file should be, for the error.
        any_bytes: Whether to accept bytes that are no UTF-8, as file names may have; `os.fsdecode` decodes them.

    Raises:
        ImageError: The file does not exist, is no ordinary file, or is not such text.
    """
    try:
        data = read_bytes(path, MAX_TABLE)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not any_bytes:
            return data.decode("utf-16")
        text = data.removeprefix(codecs.BOM_UTF8)
        return os.fsdecode(text) if any_bytes else text.decode("utf-8")
    except (OSError, ValueError) as error:
        raise ImageError(f"{str(path)!r:.300} cannot be read as {kind} ({reason(error)})") from None


def read_rows(text: str, name: str, fits: Callable[[list[str]], bool], trim: bool = True) -> list[Row]:
    """Read the rows of a CSV file; blank ones are skipped.

    The separator is the one that a first line "sep=;" names, as spreadsheets write it; without such a line, the first
    of `SEPARATORS` that makes the first row one that `fits`, or else the comma.

    Args:
        text: The file's text.
        name: The file in words, for the error.
        fits: Whether a file of this kind may begin with this row.
        trim: Whether to remove blanks around cells, also between a separator and a quote.

    Raises:
        ImageError: A quote is not closed, a cell is too long, or the like; the message names the line.
    """
    skipped, separators = 0, tuple(SEPARATORS)
    if text[:4].lower() == "sep=" and text[4:5] in SEPARATORS and text[5:6] in ("\r", "\n"):
        line, _, text = text.partition("\n")
        skipped, separators = 1, (line[4],)
    for separator in separators:
        # A file that is damaged when read with one separator may be valid with another.
        with suppress(ImageError):
            first = next(_rows(text, name, separator, trim, skipped), None)
            if first is not None and fits(first[1]):
                return list(_rows(text, name, separator, trim, skipped))
    return list(_rows(text, name, separators[0], trim, skipped))


def read_table(
    text: str, name: str, required: Sequence[str], optional: Sequence[str] | None = (), trim: bool = True
) -> list[tuple[int, dict[str, str]]]:
    """Read the rows under a header, each as cells by column, with its line; cells that a row lacks are empty.

    Args:
        text: The file's text.
        name: The file in words, for the error.
        required: Columns that the header must have.
        optional: Columns that it may have; None for any.
        trim: As in `read_rows`.

    Raises:
        ImageError: As `read_rows` does; or the header has other columns, or a row has more cells than the header.
    """

    def fits(row: list[str]) -> bool:
        columns = [cell.strip() for cell in row]
        named = columns if optional is not None else [column for column in columns if column in required]
        return {*required} <= {*named} <= {*required, *(optional or ())} and len({*named}) == len(named)

    rows = read_rows(text, name, fits, trim)
    if not rows or not fits(rows[0][1]):
        first = printable(",".join(rows[0][1]))[:100] if rows else ""
        columns = " and ".join(required)
        more = f", perhaps {' and '.join(optional)}" if optional else ""
        none = "no column" if len(required) == 1 else "not the columns"
        raise ImageError(f"{name} has {none} {columns}{more} in its first row, which is {first!r}")
    heading = [cell.strip() for cell in rows[0][1]]
    table = []
    for line, cells in rows[1:]:
        if len(cells) > len(heading):
            quoted = "; a cell that holds the separator is quoted" if len(heading) > 1 else ""
            raise ImageError(
                f"line {line} of {name} has {len(cells)} columns, its header {len(heading)}: "
                f"{printable(','.join(cells))[:60]!r}{quoted}"
            )
        table.append((line, dict(zip(heading, cells + [""] * (len(heading) - len(cells)), strict=True))))
    return table


def split_line(line: str, separator: str) -> list[str]:
    """Split one line into its cells.

    Raises:
        ImageError: A cell is too long.
    """
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error as error:
        raise ImageError(f"a line cannot be read ({error})") from None


def _rows(text: str, name: str, separator: str, trim: bool, skipped: int) -> Iterator[Row]:
    # Not `splitlines`, which splits at characters that names may contain; nor are line breaks translated.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=trim)
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ImageError(f"line {line} of {name} is damaged ({error})") from None
        if cells is None:
            return
        if "".join(cells).strip():
            yield line, [cell.strip() for cell in cells] if trim else cells
