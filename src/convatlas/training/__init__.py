"""Train nets: the loop, recipes, checkpoints and data sets."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.training.recipe import Recipe as Recipe
    from convatlas.training.result import TrainingResult as TrainingResult
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Recipe": "recipe",
            "TrainingResult": "result",
        },
    )
