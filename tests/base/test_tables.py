"""Tables keep awkward cells whole in every form."""

from __future__ import annotations

import csv
import io
import json
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from convatlas.base.tables import Column, Table, plain

COLUMNS = (
    Column("name", "name | of [it]"),
    Column("count", "count"),
    Column("shape", "shape"),
    Column("share", "share"),
)
ROWS = [
    {"name": "a|b", "count": 1234567, "shape": (3, 3), "share": 0.5},
    {"name": 'x, "y"', "count": None, "shape": None, "share": None},
    {"name": "[red]bold[/red] :cat: [/]", "count": 0, "shape": [1], "share": 1e-9},
    {"name": "two\nlines\r\n", "count": -5, "shape": (), "share": -2.0},
    {"name": "back\\slash\\|", "count": True, "shape": ("a", "b"), "share": 123456.789},
    {"name": "", "count": 7},
]
TABLE = Table(COLUMNS, ROWS, title="a [title]", notes=("a [note]", "another"))


def printed(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table.rich())
    return console.file.getvalue()


def cells(line: str) -> list[str]:
    """The cells of a line of a GitHub table, as its reader takes them: a bar ends a cell unless escaped."""
    assert line.startswith("| ")
    assert line.endswith(" |")
    found = re.split(r"(?<!\\)(?:\\\\)* \| ", line[2:-2])
    assert len(found) == line[2:-2].count(" | ") + 1
    return [re.sub(r"\\([\\|])", r"\1", cell) for cell in found]


def test_json_holds_the_values_themselves() -> None:
    rows = json.loads(TABLE.json())
    assert rows[0] == {"name": "a|b", "count": 1234567, "shape": [3, 3], "share": 0.5}
    assert rows[1] == {"name": 'x, "y"', "count": None, "shape": None, "share": None}
    assert rows[3]["name"] == "two\nlines\r\n"
    assert rows[4]["count"] is True
    assert rows[5] == {"name": "", "count": 7, "shape": None, "share": None}


def test_csv_comes_back() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv(), newline="")))
    assert rows[0] == ["name", "count", "shape", "share"]
    assert [row[0] for row in rows[1:]] == [row["name"] for row in ROWS]
    assert rows[1][1:] == ["1234567", "3 x 3", "0.5"]
    assert rows[2][1:] == ["", "", ""]
    assert rows[3][1:] == ["0", "1", "1e-09"]
    assert rows[5][1:] == ["yes", "a x b", "123456.789"]
    assert rows[6][1:] == ["7", "", ""]


def test_markdown_has_one_line_a_row_and_one_cell_a_column() -> None:
    lines = TABLE.markdown().split("\n")
    assert len(lines) == 2 + len(ROWS)
    assert lines[1] == "| --- | ---: | --- | ---: |"
    assert cells(lines[0])[0] == "name | of [it]"
    assert {len(cells(line)) for line in lines} == {4}
    assert cells(lines[2]) == ["a|b", "1,234,567", "3 x 3", "0.5"]
    assert cells(lines[5])[0] == "two lines"
    assert cells(lines[6])[0] == "back\\slash\\|"


def test_the_terminal_shows_text_as_it_is() -> None:
    shown = printed(TABLE, 120)
    for text in ("a|b", "[red]bold[/red] :cat: [/]", "back\\slash\\|", "a [title]", "a [note]", "name | of [it]"):
        assert text in shown
    assert "1,234,567" in shown


def test_a_narrow_terminal_folds_and_drops_nothing() -> None:
    table = Table((Column("name", "name"), Column("value", "value")), [{"name": "abcdefghij" * 5, "value": 123456789}])
    shown = printed(table, 24)
    assert all(len(line) <= 24 for line in shown.splitlines())
    letters = "".join(line.split("│")[1].strip() for line in shown.splitlines() if "│" in line)
    assert letters == "abcdefghij" * 5


def test_numbers_stand_to_the_right() -> None:
    lines = printed(Table((Column("n", "n"), Column("s", "s")), [{"n": 5, "s": "a"}, {"n": 1000, "s": "abc"}]), 40)
    assert "│     5 │ a   │" in lines
    mixed = Table((Column("n", "n"),), [{"n": 5}, {"n": "five"}])
    assert mixed.markdown().split("\n")[1] == "| --- |"


def test_plain() -> None:
    shown = [plain(value) for value in (None, True, False, 1234, -1234, 0.123456, 1e10, (1, 2), [3], "x", ())]
    assert shown == ["", "yes", "no", "1,234", "-1,234", "0.1235", "1e+10", "1 x 2", "3", "x", ""]


def test_a_table_without_rows() -> None:
    empty = Table(COLUMNS, [])
    assert json.loads(empty.json()) == []
    assert empty.csv() == "name,count,shape,share"
    assert len(empty.markdown().split("\n")) == 2
    assert printed(empty, 80)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_any_text_survives(pairs: list[tuple[str, str]]) -> None:
    table = Table((Column("a", "a"), Column("b", "b")), [{"a": a, "b": b} for a, b in pairs])
    assert [(row["a"], row["b"]) for row in json.loads(table.json())] == pairs
    assert len(table.markdown().split("\n")) == 2 + len(pairs)
    read = list(csv.reader(io.StringIO(table.csv(), newline="")))[1:]
    assert [tuple(row) for row in read] == pairs
    printed(table, 30)
