"""Published experiments, made anew: all runs of one, several at a time, and what came of them together."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.sigint import unheard
from convatlas.base.verbs import Steps, verb
from convatlas.base.worker import end_with_parent
from convatlas.images.download import digits
from convatlas.studies.mnist_errors.plots import draw
from convatlas.studies.mnist_errors.rows import SEEDS
from convatlas.studies.mnist_errors.runs import run, tasks
from convatlas.studies.mnist_errors.table import Errors, summed
from convatlas.training.checkpoints import write

EXPERIMENTS = ("errors",)


@verb
def reproduce(
    experiment: str = "errors",
    output: str | Path = "runs/errors",
    *,
    quick: bool = False,
    seeds: int | None = None,
    rows: Sequence[str] = (),
    jobs: int = 2,
    threads: int = 1,
) -> Steps[Errors]:
    """A published experiment, made anew; runs that were done before, or begun, are taken up.

    Beside the runs `errors.json`, `errors.png` and `boosted.png` are then in the folder (if quick, `errors-quick.json`
    and so on); not where only some rows are asked for, which takes nothing away from what stands there. A program that
    calls this has to stand below `if __name__ == "__main__":`, since each run is a Python of its own.

    Args:
        experiment: "errors": the review's table of errors on MNIST.
        output: The folder of all runs.
        quick: A tenth of the training and one seed: to see that all works.
        seeds: How many; 3, or 1 if quick.
        rows: Only these, by key ("lenet5-error"); all if not said.
        jobs: Runs at a time, each a process of its own.
        threads: Of each; with another number the last bits differ.

    Raises:
        UnknownName: No such experiment or row.
        ConvAtlasError: A run cannot be made; those that are done are kept.
    """
    if experiment not in EXPERIMENTS:
        raise unknown("experiment", experiment, EXPERIMENTS)
    if isinstance(rows, str):
        raise TrainingError(f"rows are several keys, as [{rows!r}]; got a text")
    many = (1 if quick else SEEDS) if seeds is None else seeds
    for name, value in (("seeds", many), ("jobs", jobs), ("threads", threads)):
        if type(value) is not int or value < 1:
            raise TrainingError(f"{name} is a whole number from 1 up; got {value!r}")
    todo, folder = tasks(quick, many, rows), Path(output)
    digits("mnist")  # once, before all processes want it
    found = []
    # A new Python for each: one that was forked would share the threads of this one.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(threads,)) as pool:
        with unheard():
            running = [pool.submit(run, task, folder) for task in todo]
        try:
            for done in as_completed(running):
                try:
                    found.append(done.result())
                except BrokenProcessPool:
                    raise TrainingError(
                        "a run's process was killed, or could not begin (a program that calls `reproduce` stands below "
                        'if __name__ == "__main__"); what is done is kept: start it again'
                    ) from None
                if len(found) < len(todo):
                    yield len(found), len(todo), None
        except BaseException:
            # Whatever it is, nobody waits for runs that can be taken up again. (To cancel them too is more than the
            # pool's own thread can bear.)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
    table = Errors(rows=tuple(summed(found)), seeds=many, quick=quick, threads=threads)
    if not rows:
        suffix = "-quick" if quick else ""
        write(folder / f"errors{suffix}.json", (json.dumps(table.to_dict(), indent=1) + "\n").encode())
        draw(folder, table.rows, suffix)
    yield len(todo), len(todo), table


def _begin(threads: int) -> None:
    """What a run's process does first."""
    torch.set_num_threads(threads)
    end_with_parent()
