"""Read, list, label and preprocess photos, with Pillow and NumPy alone."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.images.preprocessing import Preprocessing as Preprocessing
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Preprocessing": "preprocessing",
        },
    )
