"""Weights of darknet's classifiers and detectors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import WeightsError
from convatlas.weights.origin import Origin, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net


class Darknet(Origin):
    """The `darknet` lineage; nets built by their cards compute the same as darknet's."""

    read_endings = write_endings = (".weights",)
    pixels = {"unit": Pixels(255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))}
    labels = {1000: "imagenet1k_darknet", 80: "coco", 20: "voc"}

    def can_read(self, name: str) -> bool:
        from convatlas.weights.formats.darknet_files import PARTIAL

        return super().can_read(name) or PARTIAL.search(name) is not None

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        from convatlas.weights.formats import darknet_files
        from convatlas.weights.formats.state_io import COUNTER

        filled = copy.deepcopy(net).to_empty(device="cpu")
        header = darknet_files.read(file, filled)
        count = len(darknet_files.layers(filled))
        if header.layers != count:
            raise WeightsError(
                f"{file.name} holds the first {header.layers} of {count} layers of {net.card.name}, from which "
                "training starts: read it into a net from `build` with convatlas.weights.formats.darknet_files.read"
            )
        return {name: tensor for name, tensor in filled.state_dict().items() if not name.endswith(COUNTER)}

    def write(self, net: Net, file: Path) -> None:
        from convatlas.weights.formats import darknet_files

        darknet_files.write(net, file)


ORIGIN = Darknet()
