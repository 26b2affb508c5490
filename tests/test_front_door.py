"""The front door: light, complete, and with no name that a room has."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from typer.models import OptionInfo

import convatlas as ca
from convatlas.cli import commands
from convatlas.cli.app import command_names
from convatlas.training.recipe import Recipe

LIST = """
import sys
sys.argv = ["convatlas", "list"]
try:
    from convatlas.cli import main; main()
except SystemExit:
    pass
"""
HEAVY = ("torch", "torchvision", "keras", "skimage", "scipy", "matplotlib")


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import convatlas",
        "import convatlas; convatlas.list_nets()",
        LIST,
        "import convatlas.base.tables, convatlas.base.records, convatlas.base.devices, convatlas.catalogue.rules",
        "import convatlas.images.decoding, convatlas.images.preprocessing, convatlas.images.samples",
        "import convatlas.images.download, convatlas.images.photosets",
        "import convatlas; convatlas.doctor()",
        "import convatlas; convatlas.__all__; dir(convatlas)",
    ],
)
def test_light_doors_stay_light(code):
    assert not modules_after(code) & set(HEAVY)


def test_every_name_is_there_and_none_is_a_room():
    rooms = {module.name for module in pkgutil.iter_modules(ca.__path__)}
    assert not rooms & set(ca.__all__)
    for name in ca.__all__:
        assert getattr(ca, name).__doc__
    assert set(ca.__all__) <= set(dir(ca))
    with pytest.raises(AttributeError, match="list_nets"):
        ca.nothing


def test_type_checkers_see_the_names_of_the_table():
    tree = ast.parse(Path(ca.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert all(alias.asname == alias.name for node in block.body for alias in node.names)
    assert seen == {name: f"convatlas.{home}" for name, home in ca._HOMES.items()}


TERMINAL = {"as_json", "markdown", "csv", "output"}
"""What only a terminal needs: how results are printed, and where pictures and charts of them go."""

MORE = {
    "bench": {"sweep"},
    "check": {"nets"},
    "classify": {"samples"},
    "fetch": {"listing"},
    "list": {"family_tree"},
    "train": {"config", *(field.name for field in fields(Recipe))},
}
"""What a command has beside, and why: short forms of several values; many nets for one; files for Python's values."""

LESS = {"check": {"name"}, "train": {"recipe"}}
"""What a command says with these."""

ALSO = {"export": {"weights"}}
"""What Python says by giving the net itself."""


def test_every_verb_is_a_command_and_every_command_a_verb():
    verbs = {"list" if name == "list_nets" else name for name in ca.VERBS}
    assert set(command_names()) == verbs | {"data"}


@pytest.mark.parametrize("command", sorted(set(command_names()) - {"data"}))
def test_a_command_has_the_arguments_of_its_function(command):
    function = ca.list_nets if command == "list" else getattr(ca, command)
    ours = set(inspect.signature(function).parameters)
    parameters = inspect.signature(
        importlib.import_module(f"{commands.__name__}.{command}").command, eval_str=True
    ).parameters
    theirs = set(parameters)
    expected = ours - LESS.get(command, set()) | MORE.get(command, set()) | ALSO.get(command, set())
    assert theirs - TERMINAL == expected - TERMINAL
    words = {"--" + name.replace("_", "-") for name in theirs} | {"--no-channels-last", "--json", "--list"}
    assert {name for parameter in parameters.values() for name in _names(parameter)} <= words | {"-o", "-j", "-b"}


def _names(parameter):
    """Option names that a parameter declares for itself."""
    infos = [info for info in get_args(parameter.annotation)[1:] if isinstance(info, OptionInfo)]
    return {name for info in infos for part in (info.param_decls or ()) for name in part.split("/")}


def test_the_version():
    done = subprocess.run([sys.executable, "-m", "convatlas", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"convatlas {ca.__version__}\n"
