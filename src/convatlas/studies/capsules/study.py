"""Description of the study "capsules"."""

from __future__ import annotations

from functools import partial

from convatlas.images.download import digits
from convatlas.studies.capsules.page import page
from convatlas.studies.capsules.plots import draw
from convatlas.studies.capsules.runs import Task, list_tasks, run
from convatlas.studies.capsules.table import CapsuleTable, summarize
from convatlas.studies.study import Study

STUDY: Study[Task] = Study(
    name="capsules",
    shows="CapsNet, its baseline and matrix capsules on MNIST; routing, reconstruction, and overlapping digits",
    seeds=3,
    prepare=partial(digits, "mnist"),
    tasks=list_tasks,
    run=run,
    summarize=summarize,
    result=CapsuleTable,
    draw=draw,
    page=page,
)
