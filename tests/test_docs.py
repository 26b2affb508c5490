"""The docs and the README say what is so: their tables are what the commands print, their commands and examples run."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import convatlas as ca
from convatlas.catalogue.cards import cards
from convatlas.cli.app import app, command_names
from convatlas.images.samples import SAMPLES, sample
from convatlas.studies.study import list_studies
from tests.studies.test_mnist_errors import made_up

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


STUDIES = ["studies/ancestors.md", "studies/capsules.md"]
GENERATED = ["nets.md", "genes.md", "speed.md", "check.md", "probes.md", *STUDIES, "errors.md"]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_up_to_date(generate, name):
    assert (ROOT / "docs" / name).read_text("utf-8") == generate.pages()[name](), f"docs/{name} is old: make docs"


def test_no_page_holds_times_of_this_machine(generate, monkeypatch):
    page = generate.nets_page()
    monkeypatch.setattr("convatlas.anatomy.report.net_table.best_times", lambda: {"resnet50": {224: 1.5}})
    assert generate.nets_page() == page


def test_every_generated_page_is_compared(generate):
    assert list(generate.pages()) == GENERATED
    assert generate.readme(README) == README, "the README's error table is old: make docs"


def test_the_error_table_is_shown_where_there_is_one(generate, tmp_path):
    nothing = tmp_path / "errors.json"
    assert "errors.md" not in generate.pages(nothing)
    empty = generate.readme(README, nothing)
    assert "Errors on MNIST" not in empty
    made_up(tmp_path)
    page = generate.pages(nothing)["errors.md"]()
    shown = generate.readme(README, nothing)
    for text in (page, shown):
        assert "| lenet5 | plain | 0.95 | 0.97 ± 0.05 | 0.57 ± 0.05 |" in text
        assert text.count("| lenet") == 3
        assert (
            "The modern protocol trains lenet1, lenet4, lenet5, boosted_lenet4 on distorted digits, all other" in text
        )
        assert "images/errors.png" in text
    assert "| modern | 37.5 |" in page
    assert "20.0 hours" in page
    assert generate.readme(shown, nothing) == shown
    nothing.unlink()
    assert generate.readme(shown, nothing) == empty


COMMANDS = sorted(
    set(
        re.findall(
            r"`(convatlas [^`]*[a-z0-9])`",
            "".join(
                [
                    README,
                    *((ROOT / "docs" / page).read_text("utf-8") for page in ("counting.md", "probes.md", "weights.md")),
                ]
            ),
        )
    )
)


def test_there_are_commands_to_try():
    assert {command.split()[1] for command in COMMANDS} >= {"list", "show", "check", "classify"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample("chelsea"), tmp_path / "chelsea.png")
    done = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output


PAGES = {
    path.name: path.read_text("utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"))
}
FOREIGN = {"dask", "mypy", "torchrun", "twine", "python"}
"""Other programs whose options the pages show."""


def options() -> dict[str, set[str]]:
    """Options of each command, its subcommands' too."""
    group = get_command(app)
    result = {}
    for name in command_names():
        command = group.get_command(None, name)
        parts = [command, *getattr(command, "commands", {}).values()]
        result[name] = {
            text for part in parts for value in part.params for text in (*value.opts, *value.secondary_opts)
        }
    return result


@pytest.mark.parametrize("page", PAGES)
def test_options_that_pages_name_exist(page: str) -> None:
    """After a command's name its own; elsewhere, unless another program is called on that line, any command's."""
    of_verb = options()
    known = set().union(*of_verb.values())
    wrong = []
    for line in PAGES[page].splitlines():
        for verb, words in re.findall(r"convatlas (\w+)((?: [^`\s#|]+)*)", line):
            named = re.findall(r"(?<= )--?[a-z][a-z0-9-]*", words)
            wrong += [f"{verb} {name}" for name in named if verb in of_verb and name not in of_verb[verb]]
        if not any(re.search(rf"(^|[`(]){program}\b", line) for program in FOREIGN):
            wrong += [name for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", line) if name not in known]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_exist(page: str) -> None:
    named = re.findall(r"\b((?:src|tests|docs|examples|benchmarks)/[\w./-]*\w)", PAGES[page])
    assert [file for file in named if not (ROOT / file).exists() and not (ROOT / "src/convatlas" / file).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_functions_and_arguments_that_pages_name_exist(page: str) -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.S):
        for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
            function = call.func
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "ca":
                known = inspect.signature(getattr(ca, function.attr)).parameters
                assert {word.arg for word in call.keywords} <= set(known), function.attr


def test_numbers_of_nets() -> None:
    known = cards().values()
    assert f"{len(known)} nets in {len({card.family for card in known})} families" in PAGES["CHANGELOG.md"]
    reviewed = [card for card in known if any(figure.source == "review" for figure in card.figures.values())]
    assert f"The {len(reviewed)} nets of the review's table" in README


def test_studies_are_all_named() -> None:
    assert [name for name in list_studies() if f"| `{name}` |" not in PAGES["training.md"]] == []


def test_rooms_are_all_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", PAGES["CONTRIBUTING.md"], re.M))
    assert {path.parent.name for path in (ROOT / "src/convatlas").glob("*/__init__.py")} <= described


def test_the_python_of_the_probes_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample("chelsea"), tmp_path / "chelsea.png")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "probes.md").read_text("utf-8"), re.S)
    variables = {}
    exec(code, variables)
    assert variables["both"][1].residual < 1e-5
    assert {path.name for path in tmp_path.iterdir()} == {"chelsea.png", "cat.svg", "cat.npz"}


def test_the_verbs_of_the_readme_are_the_program_s():
    told = set(re.findall(r"^\| `convatlas (\w+)", README, re.M))
    assert told == set(command_names())


def test_the_result_of_the_readme():
    rows = re.findall(r"^\| (\w+\.\w{3}) \| ([\w ]+) \| (0\.\d+) \|$", README, re.M)
    assert sorted(file.split(".")[0] for file, *_ in rows) == sorted(SAMPLES)
    for file, label, probability in rows:
        found = ca.classify(sample(file.split(".")[0]), top=1).answers[0]
        assert (found.label, found.probability) == (label, pytest.approx(float(probability), abs=0.01))


def test_the_checks_of_the_readme():
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\S+) \| (\S+) \| (.+) \|$", README, re.M)
    assert len(rows) >= 6
    cells = {
        (net, cell.column): cell for net in {row[0] for row in rows if row[0] != "net"} for cell in ca.check(net).cells
    }
    for net, column, published, measured, rule in rows:
        if net != "net":
            cell = cells[net, column]
            assert cell.published == published
            assert cell.rule == rule or (rule.startswith("exception") and cell.rule.startswith("exception"))
            assert float(measured.replace(",", "")) == pytest.approx(cell.measured, abs=0.05)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example, tmp_path):
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout or list(tmp_path.iterdir())
