"""The description of a study, and the list of all studies, one in the `study.py` of each folder here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, Self, TypeVar

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.base.records import TableRecord
from convatlas.base.tables import Column, Table
from convatlas.base.terminal.brief import Brief

Task = TypeVar("Task")


@dataclass(frozen=True)
class StudyResult(TableRecord):
    """Record of all runs of a study, summarized.

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

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the result that `reproduce` wrote.

        Raises:
            TrainingError: The file cannot be read, or is not such a result.
        """
        try:
            return to_type(cls, read_json(path))
        except (OSError, SchemaError) as error:
            raise TrainingError(f"{path} is not a result of `convatlas reproduce`: it {reason(error)}") from None


@dataclass(frozen=True)
class Study(Brief, Generic[Task]):
    """A published experiment that `reproduce` repeats.

    Attributes:
        name: Public name, as in `convatlas reproduce NAME`.
        shows: What the study shows, in one line.
        seeds: Default number of seeds.
        prepare: Function that downloads what the tasks need, once, before they start.
        tasks: Function (quick, seeds, keys of rows, empty for all) -> picklable tasks, the longest first.
        run: Function (task, output folder) -> outcome, which can be pickled. It is called in a process of its own,
            resumes an interrupted task, and reads the outcome of a finished one.
        summarize: Function outcomes of all tasks -> rows of the result.
        result: Type of the result.
        draw: Function (folder, rows, suffix of the file names) that writes the charts.
        page: Function result -> page of the docs, in Markdown; None for a study without such a page.
    """

    name: str
    shows: str
    seeds: int
    prepare: Callable[[], object]
    tasks: Callable[[bool, int, Sequence[str]], Sequence[Task]]
    run: Callable[[Task, Path], Any]
    summarize: Callable[[Sequence[Any]], Sequence[Mapping[str, Any]]]
    result: type[StudyResult]
    draw: Callable[[Path, Sequence[Mapping[str, Any]], str], object]
    page: Callable[[Any], str] | None = None


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
