"""Train nets to show something: published experiments, each in a folder, and variants of a net."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.studies.study import Study as Study
    from convatlas.studies.study import StudyResult as StudyResult
    from convatlas.studies.variation import Variation as Variation
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Study": "study",
            "StudyResult": "study",
            "Variation": "variation",
        },
    )
