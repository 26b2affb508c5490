"""What a study consists of, and the list of all studies: each folder of this package has one in its `study.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from convatlas.base.errors import unknown
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table

Task = TypeVar("Task")


@dataclass(frozen=True)
class StudyResult(Record):
    """Summary of all runs of a study.

    Attributes:
        rows: Rows of the table, in plain values.
        seeds: Number of seeds.
        quick: Whether the runs were shortened.
        threads: Threads of each run.
    """

    rows: tuple[Mapping[str, Any], ...]
    seeds: int
    quick: bool
    threads: int

    def table(self) -> Table:
        """The result as a table."""
        raise NotImplementedError


@dataclass(frozen=True)
class Study(Generic[Task]):
    """A published experiment that `reproduce` repeats.

    Attributes:
        name: Public name, as in `convatlas reproduce NAME`.
        shows: What the study shows, in one line.
        seeds: Default number of seeds.
        prepare: Downloads what the tasks need, once, before they start.
        tasks: (quick, seeds, keys of rows, or none for all) -> tasks, the longest first. They must be picklable.
        run: (task, output folder) -> its outcome in plain values. Called in a process of its own; resumes a task that
            was interrupted, and returns the outcome of one that is done.
        summarize: Outcomes of all tasks -> rows of the result.
        result: Type of the result.
        draw: (folder, rows, suffix of the file names) -> figures written.
    """

    name: str
    shows: str
    seeds: int
    prepare: Callable[[], object]
    tasks: Callable[[bool, int, Sequence[str]], Sequence[Task]]
    run: Callable[[Task, Path], Mapping[str, Any]]
    summarize: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
    result: type[StudyResult]
    draw: Callable[[Path, Sequence[Mapping[str, Any]], str], object]


def list_studies() -> dict[str, Study[Any]]:
    """All studies by name."""
    folders = [module.name for module in iter_modules([str(Path(__file__).parent)]) if module.ispkg]
    studies: list[Study[Any]] = [import_module(f"{__package__}.{folder}.study").STUDY for folder in folders]
    return {study.name: study for study in studies}


def find_study(name: str) -> Study[Any]:
    """The study of this name.

    Raises:
        UnknownName: There is no such study.
    """
    studies = list_studies()
    if name not in studies:
        raise unknown("study", name, studies)
    return studies[name]


def study_table() -> Table:
    """Table of all studies."""
    columns = (Column("study", "study"), Column("shows", "what it shows"))
    return Table(columns, [{"study": study.name, "shows": study.shows} for study in list_studies().values()])
