"""Every public record, table and picture has a short `repr`, and shows itself in a notebook; tables go to pandas."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record, TableRecord
from convatlas.base.tables import Column, Table
from convatlas.base.terminal.brief import MAX_CHARACTERS, Brief, nested_tuples
from convatlas.images.samples import sample
from convatlas.pictures import Chart, Panel, Picture
from convatlas.pictures.axes import linear
from convatlas.pictures.marks import Curve


def subclasses(of: type) -> Iterator[type]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


def classes() -> dict[str, type]:
    """All dataclasses that rooms export, and all records, exported or not."""
    found = {}
    for room in pkgutil.iter_modules(ca.__path__):
        if room.ispkg and room.name != "cli":
            package = importlib.import_module(f"convatlas.{room.name}")
            found |= {name: getattr(package, name) for name in getattr(package, "__all__", ())}
    # Only modules that may define a record, since importing all of them takes long.
    root = Path(ca.__file__).parent
    for path in root.rglob("*.py"):
        if re.search(r"^class .*(Record|Measurement|Result)\)", path.read_text("utf-8"), re.MULTILINE):
            importlib.import_module(".".join(("convatlas", *path.relative_to(root).with_suffix("").parts)))
    ours = [cls for cls in subclasses(Record) if cls.__module__.startswith("convatlas.")]
    found |= {cls.__name__: cls for cls in ours}
    return {name: cls for name, cls in found.items() if dataclasses.is_dataclass(cls)}


LONG: tuple[Any, ...] = ("x" * 3000, 10**300, 1.0, tuple(range(3000)), {str(key): "x" * 99 for key in range(999)}, None)


def test_every_repr_is_short_whatever_the_fields_hold() -> None:
    known = classes()
    assert {"Anatomy", "Lineage", "Table", "Picture", "Card", "TrainingResult", "ErrorTable"} <= known.keys()
    for name, cls in known.items():
        assert issubclass(cls, Brief), name
        for value in LONG:
            instance = object.__new__(cls)
            for field in dataclasses.fields(cls):
                object.__setattr__(instance, field.name, value)
            assert len(repr(instance)) <= MAX_CHARACTERS, name
            assert repr(instance).startswith(f"{name}("), name


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return {
        "measure": ca.measure("lenet5"),
        "check": ca.check("vgg16"),
        "choose": ca.choose(),
        "compare": ca.compare("linear", "mlp_300"),
        "show": ca.show("lenet5"),
        "gene": ca.show("gelu"),
        "dna": ca.show("lenet5", dna=True),
        "classify": ca.classify(sample("coffee"), "lenet5"),
        "draw": ca.draw("lenet5"),
        "card": ca.list_nets()[0],
        "lineage": ca.load("efficientnet_lite0").lineage,
    }


def test_results_are_short_and_say_their_first_values(results: dict[str, Any]) -> None:
    for name, result in results.items():
        assert len(repr(result)) <= MAX_CHARACTERS, name
    assert repr(results["measure"]).startswith("Anatomy(name='lenet5', input=(1, 32, 32), ")
    assert "layers=<" in repr(results["measure"])


def test_notebooks_show_every_result(results: dict[str, Any]) -> None:
    for name, result in results.items():
        if isinstance(result, Record | Table):
            html = result._repr_html_()
            # HTML of tables is well-formed XML too.
            rows = ElementTree.fromstring(f"<div>{html}</div>").iter("tr")
            assert len(list(rows)) > 1, name
    assert results["draw"]._repr_svg_().startswith("<svg")


def test_what_shows_itself() -> None:
    for name, cls in classes().items():
        if issubclass(cls, Record | Table):
            assert hasattr(cls, "_repr_html_"), name
        if issubclass(cls, Chart | Panel | Picture):
            assert hasattr(cls, "_repr_svg_"), name
        assert hasattr(cls, "to_pandas") == (issubclass(cls, TableRecord | Table)), name
        assert not hasattr(cls, "table") or issubclass(cls, TableRecord), name


def test_charts_show_themselves() -> None:
    axis = linear([0, 1], "x")
    panel = Panel(axis, axis, [Curve([0, 1], [0, 1], "#000000")], "a title")
    assert panel._repr_svg_() == Chart([panel], "a title").picture().svg()


def test_html_is_text() -> None:
    table = Table([Column("a", "<b>")], [{"a": "<script>"}, {"a": None}], "t & t", ["n <"])
    root = ElementTree.fromstring(f"<div>{table._repr_html_()}</div>")
    assert [cell.text for cell in root.iter("td")] == ["<script>", None]
    assert root.findtext(".//caption") == "t & t"
    assert root.findtext("p") == "n <"


def test_pandas(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against pandas if it is installed; what it is given is compared without it too."""
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))
    for name in ("measure", "check", "choose", "classify"):
        table = results[name].table()
        columns = results[name].to_pandas()
        assert list(columns) == [column.key for column in table.columns]
        assert {len(values) for values in columns.values()} == {len(table.rows)}
    assert results["measure"].to_pandas()["parameters"][0] == results["measure"].layers[0].parameters
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConvAtlasError, match="pandas is not installed: pip install pandas"):
        results["measure"].to_pandas()


def test_short_does_not_mean_equal() -> None:
    """Hashes of nets are taken from all of a lineage, of which the short form shows next to nothing."""
    first = ca.load("efficientnet_lite0").lineage
    names = (*first.class_names[:-1], "another")
    other = dataclasses.replace(first, class_names=names)
    assert repr(first) == repr(other)
    assert repr(nested_tuples(first)) != repr(nested_tuples(other))
    assert nested_tuples({"a": [Path("b"), Column("c", "d")]})[0][1][1][:2] == ("Column", ("key", "c"))
