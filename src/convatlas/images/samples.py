"""Find the sample photos, which are those of scikit-image."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from convatlas.base.errors import ImageError, unknown

_FILES = {"astronaut": "astronaut.png", "chelsea": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}

SAMPLES = tuple(_FILES)


def sample(name: str) -> Path:
    """Return the path of a sample photo, one of `SAMPLES`: a person, a cat, a cup of coffee, a rocket.

    Raises:
        UnknownName: There is no such sample.
        ImageError: scikit-image is not installed, or lacks the photo.
    """
    if name not in _FILES:
        raise unknown("sample photo", name, SAMPLES)
    # Finding the package is quick; importing it would load scipy.
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise ImageError(f"the sample photo {name!r} comes with scikit-image, which is not installed")
    path = Path(package.origin).parent / "data" / _FILES[name]
    if not path.is_file():
        raise ImageError(f"the sample photo {name!r} is missing from the installed scikit-image ({path})")
    return path
