"""The front door: light, complete, and with no name that a room has."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from typer.models import OptionInfo

import convatlas as ca
from convatlas.cli.app import command_names, load_command
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
        "import convatlas.images.download, convatlas.images.splits",
        "import convatlas; convatlas.doctor()",
        "import convatlas; convatlas.__all__; dir(convatlas)",
        "from convatlas.catalogue import Card",
        "from convatlas.images import Preprocessing; from convatlas.pictures import Chart, Panel, Picture",
        "from convatlas.base import Diagnosis, Record, Table; from convatlas.weights import Lineage",
        "from convatlas.engines import Bench, Options; from convatlas.predict import Classification, Detection",
        "from convatlas.bulk import Batch; from convatlas.studies import Study; from convatlas.training import Recipe",
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


ROOMS = {
    "anatomy": "Anatomy Check Choice Comparison Dna Layer Measurement NetSummary Pixel",
    "base": "Diagnosis Record Table",
    "bulk": "Batch Unreadable",
    "catalogue": "Card",
    "engines": "AcceleratedNet Acceleration Bench Options",
    "genes": "Gene Genome",
    "images": "Preprocessing",
    "nets": "Net",
    "pictures": "Chart Panel Picture",
    "predict": "Answer Classification DetectedObject Detection Evaluation",
    "probes": "Attribution Contrast Logit Probability Probe Target",
    "studies": "Study StudyResult Variation",
    "training": "Recipe TrainingResult",
    "weights": "Lineage",
}
"""Classes that each room exports: results of the verbs, and what users hand to them."""


@pytest.mark.parametrize(("room", "names"), ROOMS.items(), ids=ROOMS)
def test_a_room_exports_its_classes(room, names):
    package = importlib.import_module(f"convatlas.{room}")
    assert package.__all__ == names.split()
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        exported = getattr(package, name)
        assert isinstance(exported, type)
        assert exported.__name__ == name
        assert exported.__module__.startswith(f"{package.__name__}.")
    assert not set(package.__all__) & {module.name for module in pkgutil.iter_modules(package.__path__)}
    with pytest.raises(AttributeError, match=names.split()[0]):
        package.nothing


@pytest.mark.parametrize(("room", "names"), ROOMS.items(), ids=ROOMS)
def test_type_checkers_see_the_classes_of_a_room(room, names):
    tree = ast.parse(Path(importlib.import_module(f"convatlas.{room}").__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    (table,) = (node for node in ast.walk(block) if isinstance(node, ast.Dict))
    homes = {name: f"convatlas.{room}.{module}" for name, module in ast.literal_eval(table).items()}
    imported = {alias.asname: node.module for node in block.body for alias in node.names}
    assert imported == homes
    assert sorted(homes) == names.split()


def test_every_room_exports_and_every_result_is_exported():
    rooms = {module.name for module in pkgutil.iter_modules(ca.__path__) if module.ispkg}
    assert set(ROOMS) == rooms - {"cli"}
    exported = set(" ".join(ROOMS.values()).split())
    for verb in ca.VERBS:
        returned = str(inspect.signature(getattr(ca, verb)).return_annotation)
        classes = {name for name in re.findall(r"\w+", returned) if name not in ("list", "str", "Path")}
        assert classes <= exported, verb


TERMINAL = {"as_json", "markdown", "csv", "output"}
"""What only a terminal needs: how results are printed, and where pictures and charts of them go."""

PYTHON = {"inputs", "memory"}
"""What only Python can say: tensors."""

MORE = {
    "bench": {"sweep"},
    "check": {"nets"},
    "classify": {"samples"},
    "explain": {"coverage", "native", "opacity", "photo"},
    "fetch": {"listing"},
    "list": {"family_tree"},
    "train": {"config", *(field.name for field in fields(Recipe))},
    "vary": {"config", "epochs", "gene"},
}
"""What a command has beside, and why: short forms of several values; many nets for one; files for Python's values;
arguments of a result's picture."""

LESS = {"check": {"name"}, "explain": {"image"}, "train": {"recipe"}, "vary": {"genes", "recipe"}}
"""What a command says with these."""

ALSO = {"export": {"weights", "convention"}}
"""What Python says by giving the net itself."""


def test_every_verb_is_a_command_and_every_command_a_verb():
    verbs = {"list" if name == "list_nets" else name for name in ca.VERBS}
    assert set(command_names()) == verbs | {"data"}


@pytest.mark.parametrize("command", sorted(set(command_names()) - {"data"}))
def test_a_command_has_the_arguments_of_its_function(command):
    function = ca.list_nets if command == "list" else getattr(ca, command)
    ours = set(inspect.signature(function).parameters)
    parameters = inspect.signature(load_command(command), eval_str=True).parameters
    theirs = set(parameters)
    expected = ours - PYTHON - LESS.get(command, set()) | MORE.get(command, set()) | ALSO.get(command, set())
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


@pytest.mark.parametrize("verb", ["check", "fetch", "show", "measure", "build", "load"])
def test_a_name_that_is_not_a_text(verb):
    with pytest.raises(ca.ConvAtlasError, match="3"):
        getattr(ca, verb)(3)
