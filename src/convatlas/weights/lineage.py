"""A lineage: one set of published weights, and all that has to go with it (invariant 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convatlas.images.decoding import Source, read
from convatlas.images.fitting import Fitting
from convatlas.images.labels import labels
from convatlas.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Lineage:
    """Where a net's weights come from.

    Attributes:
        name: The lineage: "lite".
        net: Which net they are for.
        source: What they were taken from.
        licence: Under which they were published.
        sha256: Of the file, verified before it was read.
        preprocessing: What turns a photo (H, W, 3) into the net's input (3, h, w).
        labels: Which list of class names the outputs follow.
    """

    name: str
    net: str
    source: str
    licence: str
    sha256: str
    preprocessing: Preprocessing | Fitting
    labels: str

    def prepare(self, photo: Source) -> NDArray[np.float32]:
        """The net's input (3, h, w) for a photo (a path, bytes, an array (H, W, 3) or a PIL image).

        Raises:
            ImageError: It cannot be read as a photo.
        """
        return self.preprocessing(read(photo))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""
        return labels(self.labels)
