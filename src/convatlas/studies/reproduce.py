"""Reproduce a published experiment: run its tasks in parallel processes and summarize their outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from convatlas.base.errors import TrainingError
from convatlas.base.verbs import Steps, verb
from convatlas.studies.processes import check_counts, run_all
from convatlas.studies.study import StudyResult, find_study
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
    check_counts(seeds=seeds, jobs=jobs, threads=threads)
    tasks = description.tasks(quick, seeds, rows)
    folder = Path("runs", study) if output is None else Path(output)
    description.prepare()
    outcomes = []
    with closing(run_all(description.run, tasks, folder, jobs, threads)) as finished:
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
