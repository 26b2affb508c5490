"""Run nets on photos: classify, detect, evaluate accuracy, and draw what happens inside."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.predict.evaluate import Evaluation as Evaluation
    from convatlas.predict.results import Answer as Answer
    from convatlas.predict.results import Classification as Classification
    from convatlas.predict.results import DetectedObject as DetectedObject
    from convatlas.predict.results import Detection as Detection
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Answer": "results",
            "Classification": "results",
            "DetectedObject": "results",
            "Detection": "results",
            "Evaluation": "evaluate",
        },
    )
