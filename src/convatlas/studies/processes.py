"""Run tasks in several processes at a time, each of which can be interrupted and resumed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

import torch

from convatlas.base.errors import TrainingError
from convatlas.base.sigint import ignore_sigint
from convatlas.base.worker import end_with_parent

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def check_counts(**counts: int) -> None:
    """Refuse numbers of seeds, jobs and the like that are below 1.

    Raises:
        TrainingError: A value is no whole number from 1 up.
    """
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise TrainingError(f"{name} is a whole number from 1 up; got {value!r}")


def run_all(
    run: Callable[[Task, Path], Outcome], tasks: Sequence[Task], folder: Path, jobs: int, threads: int
) -> Generator[Outcome, None, None]:
    """Run the tasks in `jobs` processes of `threads` threads each; yield their outcomes as they finish.

    Raises:
        ConvAtlasError: A task fails, or its process is killed; the other processes are ended.
    """
    # Spawned, since forking a process with threads is unsafe.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(jobs, context, initializer=_initialize, initargs=(threads,)) as pool:
        with ignore_sigint():
            futures = [pool.submit(run, task, folder) for task in tasks]
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    raise TrainingError(
                        "a run's process was killed, or could not start (a program of your own starts runs below "
                        'if __name__ == "__main__"); finished runs are kept: start it again'
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
