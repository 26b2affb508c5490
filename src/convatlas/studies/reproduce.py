"""Reproduce a published experiment: run its tasks in parallel processes and summarize their outcomes."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from convatlas.base.errors import TrainingError
from convatlas.base.sigint import ignore_sigint
from convatlas.base.verbs import Steps, verb
from convatlas.base.worker import end_with_parent
from convatlas.studies.study import Study, StudyResult, find_study
from convatlas.training.run_folder import write_file


@verb
def reproduce(
    study: str,
    output: str | Path | None = None,
    *,
    quick: bool = False,
    seeds: int | None = None,
    rows: Sequence[str] = (),
    jobs: int = 2,
    threads: int = 1,
) -> Steps[StudyResult]:
    """Reproduce a published experiment; resume interrupted runs and keep finished ones.

    Writes a folder for each run, and the summary: for "errors" `errors.json`, `errors.png` and `boosted.png` (with
    `quick`, `errors-quick.json` and so on). With `rows` no summary is written, so that a summary of all rows is not
    overwritten. Runs are Python processes of their own, so a script must call this below
    `if __name__ == "__main__":`.

    Args:
        study: Name of the study; "errors" is the review's table of errors on MNIST.
        output: Folder of all runs; by default "runs/STUDY".
        quick: Whether to train for a tenth of the epochs with one seed, as a trial.
        seeds: Number of seeds; by default the study's (3 for "errors"), or 1 if quick.
        rows: Keys of the rows to run ("lenet5-error"); by default all.
        jobs: Number of runs at a time, each in a process of its own.
        threads: Threads of each run; another number changes the last bits of the results.

    Raises:
        UnknownName: There is no such study or row.
        ConvAtlasError: A run fails; finished ones are kept.
    """
    description = find_study(study)
    if isinstance(rows, str):
        raise TrainingError(f"rows is a list of keys, such as [{rows!r}]; got a string")
    seeds = (1 if quick else description.seeds) if seeds is None else seeds
    for name, value in (("seeds", seeds), ("jobs", jobs), ("threads", threads)):
        if type(value) is not int or value < 1:
            raise TrainingError(f"{name} is a whole number from 1 up; got {value!r}")
    tasks = description.tasks(quick, seeds, rows)
    folder = Path("runs", study) if output is None else Path(output)
    description.prepare()
    outcomes = []
    with closing(_run_all(description, tasks, folder, jobs, threads)) as finished:
        for outcome in finished:
            outcomes.append(outcome)
            if len(outcomes) < len(tasks):
                yield len(outcomes), len(tasks), None
    summary = tuple(description.summarize(outcomes))
    result = description.result(rows=summary, seeds=seeds, quick=quick, threads=threads)
    if not rows:
        suffix = "-quick" if quick else ""
        write_file(folder / f"{study}{suffix}.json", (json.dumps(result.to_dict(), indent=1) + "\n").encode())
        description.draw(folder, result.rows, suffix)
    yield len(tasks), len(tasks), result


def _run_all(
    study: Study[Any], tasks: Sequence[Any], folder: Path, jobs: int, threads: int
) -> Generator[Mapping[str, Any], None, None]:
    """Run the tasks in `jobs` processes; yield their outcomes as they finish.

    Raises:
        ConvAtlasError: A task fails, or its process is killed; the other processes are ended.
    """
    # Spawned, since forking a process with threads is unsafe.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(jobs, context, initializer=_initialize, initargs=(threads,)) as pool:
        with ignore_sigint():
            futures = [pool.submit(study.run, task, folder) for task in tasks]
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    raise TrainingError(
                        "a run's process was killed, or could not start (a program that calls `reproduce` does so "
                        'below if __name__ == "__main__"); finished runs are kept: start it again'
                    ) from None
        except BaseException:
            # The other runs are no longer needed, and can be resumed. (Cancelling the futures too would crash the
            # pool's own thread.)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def _initialize(threads: int) -> None:
    """Set up a process that runs tasks."""
    torch.set_num_threads(threads)
    end_with_parent()
