"""Output of the commands: tables, progress bars with the time left, and errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.text import Text

from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import TableRecord
from convatlas.base.store.progress import notify
from convatlas.base.tables import Table
from convatlas.base.terminal.lines import ProgressLines
from convatlas.base.verbs import Steps
from convatlas.cli.interrupts import raise_if_pressed

T = TypeVar("T")


def with_progress(items: Iterable[T], total: int, label: str) -> Iterable[T]:
    """Iterate over items; of more than one, show the progress: a bar on a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if total < 2:
        return _interruptible(items)
    if not console.is_terminal:
        return _with_lines(_interruptible(items), total, label)
    return track(_after_the_first(items), description=label, total=total, console=console, transient=True)


def run_steps(steps: Steps[T], label: str, counted: bool = True) -> T:
    """Run all steps and return the result; show a bar, the rate and the time left on a terminal, lines elsewhere.

    Args:
        steps: The steps.
        label: Name of the work.
        counted: Whether their number means something to a user; otherwise only the share that is done is shown.
    """
    console = Console(stderr=True)
    numbers = (MofNCompleteColumn(), Rate()) if counted else (TaskProgressColumn(),)
    columns = TextColumn(label), BarColumn(), *numbers, TimeRemainingColumn()
    result = None
    steps = _after_the_first(steps)
    # Half an hour, since a step may take minutes (a shard) and a rate needs two; rich keeps 1000 steps at most.
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, speed_estimate_period=1800
    ) as progress:
        task = progress.add_task(label, total=None)
        lines = ProgressLines(label, print_error, "{:,}".format if counted else None)
        for done, total, result in steps:  # noqa: B007 - the last one counts
            progress.update(task, completed=done, total=total)
            if not console.is_terminal:
                lines(done, total)
    assert result is not None
    return result


def _with_lines(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    lines = ProgressLines(label, print_error)
    for done, item in enumerate(items, 1):
        lines(done, total)
        yield item


def _after_the_first(items: Iterable[T]) -> Iterator[T]:
    """Take the first item before a bar is drawn: a download that it needs draws a bar of its own."""
    iterator = iter(items)
    return _interruptible(chain(list(islice(iterator, 1)), iterator))


def _interruptible(items: Iterable[T]) -> Iterator[T]:
    """Yield items; raise the KeyboardInterrupt of a Ctrl-C that some library caught."""
    for item in items:
        yield item
        raise_if_pressed()


class Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


UNREAD = 3
"""Status of a command that did its work, but could not read some photos."""


def end_with_unread(reasons: Iterable[str]) -> None:
    """Name the photos that could not be read on the error stream, and exit with status 3 if there are any."""
    reasons = list(reasons)
    for reason in reasons:
        print_error(reason)
    if reasons:
        sys.exit(UNREAD)


def check_formats(as_json: bool, markdown: bool, csv: bool) -> None:
    """Check that at most one format is chosen.

    Raises:
        ConvAtlasError: Several are.
    """
    if as_json + markdown + csv > 1:
        raise ConvAtlasError("use only one of --json, --markdown and --csv")


def print_table(table: Table, as_json: bool, markdown: bool, csv: bool) -> None:
    """Print a table in the chosen format, by default formatted for reading."""
    if as_json:
        print(table.json())
    elif markdown:
        print(table.markdown())
    elif csv:
        print(table.csv(for_terminal=True))
    else:
        # A pipe has no width; a table cut at 80 columns would be useless to the next program.
        console = Console(width=None if sys.stdout is not None and sys.stdout.isatty() else 240)
        console.print(table.rich())


def print_result(result: TableRecord, as_json: bool, markdown: bool, csv: bool) -> None:
    """Print a result in the chosen format: all of it as JSON, otherwise its table."""
    if as_json:
        print(result.to_json())
    else:
        print_table(result.table(), False, markdown, csv)


def print_tables(tables: list[Table], markdown: bool, csv: bool) -> None:
    """Print tables one below the other; as CSV only the last one, since a CSV file has one set of columns."""
    for table in tables[-1:] if csv else tables:
        print_table(table, False, markdown, csv)
        if not csv:
            print()


def print_error(text: str) -> None:
    """Print a text as one line on the error stream, if there is one."""
    notify(" ".join(text.split()))
