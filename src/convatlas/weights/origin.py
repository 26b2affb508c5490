"""Base classes for publishers of weights; each module in `lineages` describes one.

Modules in `lineages` import torch inside their methods only, because names, class labels and preprocessing must be
available without torch.
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
    from convatlas.weights.formats.checkpoints import Checkpoint
    from convatlas.weights.formats.key_mapping import Renamed
    from convatlas.weights.formats.state_dicts import StateDicts


class Pixels(NamedTuple):
    """Scaling of pixels in 0..255: (pixel / scale - mean) / std, for each channel.

    Attributes:
        scale: Divisor of all pixels.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        order: Order of the channels, "rgb" or "bgr".
        polarity: As in `Preprocessing`.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: str = "rgb"
    polarity: str = "as is"


IMAGENET = Pixels(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Scaling by the mean and standard deviation of ImageNet's training photos."""

HALF = Pixels(255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Scaling of pixels to -1..1."""


class Origin(ABC):
    """A publisher of weights: how its files are fetched, read and written, and how its nets differ from ours.

    Attributes:
        read_endings: Endings, in lower case, of the files that `load` reads by their path.
        write_endings: Endings of the files that `export` writes in this layout; empty if it cannot write any.
        pixels: Scalings of pixels, by their names in the column `pixels` of the origin's table.
        labels: Name of the set of class names (`images.labels`), by the number of outputs.
        bundled: Whether its files are inside this package, in our native format.
    """

    read_endings: ClassVar[tuple[str, ...]] = ()
    write_endings: ClassVar[tuple[str, ...]] = ()
    pixels: ClassVar[Mapping[str, Pixels]] = {}
    labels: ClassVar[Mapping[int, str]] = {}
    bundled: ClassVar[bool] = False

    def can_read(self, name: str) -> bool:
        """Whether the origin's files have the ending of this name."""
        return name.lower().endswith(self.read_endings)

    def preferred(self, rows: Sequence[Weights]) -> Weights:
        """Weights that the origin's name alone means; `rows` are all that it has of a net, in the table's order."""
        return rows[0]

    def variant(self, weights: Weights) -> Mapping[str, object]:
        """Fields of the net's configuration that differ from the card's, such as {"stride_in": "second"}."""
        return {}

    def settings(self, weights: Weights) -> Mapping[str, Mapping[str, object]]:
        """Settings of the origin's code under which its net computes something else, though its files look the same.

        By the setting ("transform_input=False"): all fields of the net's configuration that differ from the card's.
        """
        return {}

    def builds(self, weights: Weights, variant: Mapping[str, object]) -> bool:
        """Whether the origin's code builds the net with these fields of its configuration."""
        return variant in (self.variant(weights), *self.settings(weights).values())

    def states(self, weights: Weights, file: Path, tensors: Mapping[str, Tensor]) -> str | None:
        """Convention that a file itself states; "" for the card's own, None if it does not say."""
        return None

    def file(self, weights: Weights) -> Path:
        """Path of the published file on this machine, verified; it is downloaded if necessary.

        Raises:
            StoreError: It cannot be downloaded or stored.
        """
        return fetch(Remote(weights.address, weights.file, weights.hash))

    def opened(self, file: Path) -> Path | Checkpoint:
        """Return what `renamed` takes: the file, or its contents, which then are read once for several nets.

        Raises:
            WeightsError: The file is damaged.
        """
        return file

    def renamed(self, opened: Path | Checkpoint, net: Net) -> Renamed:
        """Return the tensors that `read` returns, with their names in the file, if it has any, for errors."""
        from convatlas.weights.formats.key_mapping import Renamed

        assert isinstance(opened, Path)
        return Renamed(self.read(opened, net), {})

    @abstractmethod
    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        """Return the tensors of a file under the names and in the shapes of `net`, which may be on the meta device.

        Raises:
            WeightsError: The file is damaged, or holds another net.
        """

    def write(self, net: Net, file: Path) -> None:
        """Write the net's weights to a file that the origin's own code reads; its ending is one of `write_endings`."""
        raise NotImplementedError


class TorchOrigin(Origin):
    """An origin whose files hold state_dicts of PyTorch."""

    read_endings = (".pth", ".pth.tar", ".pt", ".bin", ".ckpt", ".safetensors")
    write_endings = (".pth", ".pt", ".bin", ".safetensors")

    @abstractmethod
    def converter(self) -> StateDicts:
        """Converter between the origin's state_dicts and ours."""

    def variant(self, weights: Weights) -> Mapping[str, object]:
        return self.converter().variant(weights.net)

    def opened(self, file: Path) -> Path | Checkpoint:
        from convatlas.weights.formats.state_io import read_checkpoint

        return read_checkpoint(file)

    def renamed(self, opened: Path | Checkpoint, net: Net) -> Renamed:
        from convatlas.weights.formats.checkpoints import Checkpoint

        assert isinstance(opened, Checkpoint)
        return self.converter().read(opened.tensors, net)

    def read(self, file: Path, net: Net) -> dict[str, Tensor]:
        return self.renamed(self.opened(file), net).tensors

    def write(self, net: Net, file: Path) -> None:
        self.converter().write(net, file)
