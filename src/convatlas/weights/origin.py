"""What a publisher of weights is: the description that each module in `lineages` gives of one.

Modules of lineages import torch only inside their methods, because names, class labels and preprocessing are read where
torch is not loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote
from convatlas.catalogue.lineages import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net
    from convatlas.weights.formats.state_dicts import StateDicts


class Pixels(NamedTuple):
    """Scaling of pixels from 0 to 255: (pixel / scale - mean) / std, with a mean and a std for each channel.

    Attributes:
        scale: Divisor of all pixels.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        order: Order of the channels, "rgb" or "bgr".
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: str = "rgb"


IMAGENET = Pixels(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Statistics of ImageNet's training photos."""

HALF = Pixels(255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""From -1 to 1."""


class Origin(ABC):
    """A publisher of weights: how its files are fetched, read and written, and how its nets differ from the cards'.

    Attributes:
        read_endings: Endings of the files that are read by their path, in lower case.
        write_endings: Endings of the files that `export` writes in its layout; empty if it writes none.
        pixels: Scalings of pixels by the names in the origin's table.
        labels: Set of class names (`images.labels`) by the number of outputs.
        bundled: Whether its files are inside this package, in our native format, and are read where they are.
    """

    read_endings: ClassVar[tuple[str, ...]] = ()
    write_endings: ClassVar[tuple[str, ...]] = ()
    pixels: ClassVar[Mapping[str, Pixels]] = {}
    labels: ClassVar[Mapping[int, str]] = {}
    bundled: ClassVar[bool] = False

    def can_read(self, name: str) -> bool:
        """Whether a file of this name may be one of the origin's, by its ending."""
        return name.lower().endswith(self.read_endings)

    def preferred(self, rows: Sequence[Weights]) -> Weights:
        """Weights to take where only the origin is named; `rows` are all it has of the net, in the table's order."""
        return rows[0]

    def variant(self, weights: Weights) -> Mapping[str, object]:
        """Fields of the net's configuration that differ from the card's: {"stride_in": "second"}."""
        return {}

    def builds(self, weights: Weights, variant: Mapping[str, object]) -> bool:
        """Whether the origin's code builds the net with these fields of its configuration."""
        return self.variant(weights) == variant

    def follows(self, weights: Weights, file: Path, tensors: Mapping[str, Tensor]) -> str:
        """Lineage whose conventions a file given by its path follows; empty for those of the card."""
        return weights.name

    def file(self, weights: Weights) -> Path:
        """Path of the published file on this machine, whole and verified; downloaded if it is not here yet.

        Raises:
            StoreError: It cannot be downloaded or kept.
        """
        return fetch(Remote(weights.address, weights.file, weights.hash))

    @abstractmethod
    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        """Read the tensors of a file by our names, in our layouts; `net` (maybe on the meta device) gives the shapes.

        Raises:
            WeightsError: The file is damaged, or holds another net.
        """

    def write(self, net: Net, file: Path) -> None:
        """Write the net's weights as the origin's own code reads them, with one of the endings in `write_endings`."""
        raise NotImplementedError


class TorchOrigin(Origin):
    """An origin whose files are state_dicts of PyTorch."""

    read_endings = write_endings = (".pth", ".pt", ".bin", ".safetensors")

    @abstractmethod
    def converter(self) -> StateDicts:
        """Names of the layers and differences of the nets, by family."""

    def variant(self, weights: Weights) -> Mapping[str, object]:
        return self.converter().variant(weights.net)

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        return self.converter().read(file, net)

    def write(self, net: Net, file: Path) -> None:
        self.converter().write(net, file)
