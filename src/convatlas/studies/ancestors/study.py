"""Description of the study "ancestors"."""

from __future__ import annotations

from convatlas.images.download import digits
from convatlas.studies.ancestors.page import page
from convatlas.studies.ancestors.plots import draw
from convatlas.studies.ancestors.runs import Task, list_tasks, run
from convatlas.studies.ancestors.table import AncestorTable, summarize
from convatlas.studies.study import Study


def prepare() -> None:
    """Download MNIST."""
    digits("mnist")


STUDY: Study[Task] = Study(
    name="ancestors",
    shows="what cognitron and neocognitron learn without labels, and which shifts and noise they tolerate",
    seeds=3,
    prepare=prepare,
    tasks=list_tasks,
    run=run,
    summarize=summarize,
    result=AncestorTable,
    draw=draw,
    page=page,
)
