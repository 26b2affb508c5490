"""Description of the study "ancestors"."""

from __future__ import annotations

from functools import partial

from convatlas.images.download import digits
from convatlas.studies.ancestors.page import page
from convatlas.studies.ancestors.plots import draw
from convatlas.studies.ancestors.runs import Task, list_tasks, run
from convatlas.studies.ancestors.table import AncestorTable, summarize
from convatlas.studies.study import Study

STUDY: Study[Task] = Study(
    name="ancestors",
    shows="what cognitron and neocognitron learn without labels, and which shifts and noise they tolerate",
    seeds=3,
    prepare=partial(digits, "mnist"),
    tasks=list_tasks,
    run=run,
    summarize=summarize,
    result=AncestorTable,
    draw=draw,
    page=page,
)
