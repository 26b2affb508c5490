"""What the commands print: tables, progress with the time left, complaints."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.text import Text

from convatlas.base.errors import ConvAtlasError
from convatlas.base.tables import Table


def progress(steps: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        return steps
    return track(_begun(steps), description=what, total=total, console=console, transient=True)


def _begun(steps: Iterable[Any]) -> Iterable[Any]:
    """The same steps, the first one taken: what it downloads has a bar of its own, and two at once would garble."""
    following = iter(steps)
    return chain(list(islice(following, 1)), following)


class Rate(ProgressColumn):
    """How many in a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def watched(parts: Iterable[tuple[int, int, Any]], what: str) -> Any:
    """The last result of (done, in all, result); on a terminal with a bar, the rate and the time left."""
    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    found, parts = None, _begun(parts)
    # What takes minutes to come, as shards from a cluster do, has a rate too: no more than 1000 steps are kept.
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, speed_estimate_period=1800
    ) as progress:
        task = progress.add_task(what, total=None)
        for done, total, found in parts:  # noqa: B007 - the last one counts
            progress.update(task, completed=done, total=total)
    return found


def one_format(as_json: bool, markdown: bool, csv: bool) -> None:
    if as_json + markdown + csv > 1:
        raise ConvAtlasError("say one of --json, --markdown and --csv")


def show_table(table: Table, as_json: bool, markdown: bool, csv: bool) -> None:
    if as_json:
        print(table.json())
    elif markdown:
        print(table.markdown())
    elif csv:
        print(table.csv())
    else:
        # A pipe has no width of its own, and a table cut at 80 columns is of no use to the next program.
        console = Console(width=None if sys.stdout is not None and sys.stdout.isatty() else 240)
        console.print(table.rich())


def complain(text: str) -> None:
    line = " ".join(text.split())
    print(f"convatlas: {line}", file=sys.stderr)
