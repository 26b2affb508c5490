"""Description of the study "errors"."""

from __future__ import annotations

from functools import partial

from convatlas.images.download import digits
from convatlas.studies.mnist_errors.plots import draw
from convatlas.studies.mnist_errors.runs import Task, list_tasks, run
from convatlas.studies.mnist_errors.table import ErrorTable, summarize
from convatlas.studies.study import Study

STUDY: Study[Task] = Study(
    name="errors",
    shows="the review's table of test errors on MNIST, as published and modern",
    seeds=3,
    prepare=partial(digits, "mnist"),
    tasks=list_tasks,
    run=run,
    summarize=summarize,
    result=ErrorTable,
    draw=draw,
)
