"""Reproduce published experiments; each is a folder, described by its module `study`."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.studies.study import Study as Study
    from convatlas.studies.study import StudyResult as StudyResult
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Study": "study",
            "StudyResult": "study",
        },
    )
