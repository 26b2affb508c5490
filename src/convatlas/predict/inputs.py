"""A photo as a net sees it, for pictures of what goes on inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from convatlas.anatomy.measure.measure import input_shape
from convatlas.base.errors import ConvAtlasError, StoreError, WeightsError
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import weights_of
from convatlas.images.decoding import Source, read
from convatlas.nets.build import Size, build, skeleton
from convatlas.nets.net import Net
from convatlas.nets.user_net import is_user_net, load_user_net
from convatlas.weights.files import is_file
from convatlas.weights.lineage import lineage as lineage_of
from convatlas.weights.load import load
from convatlas.weights.registry import choose, origin
from convatlas.weights.resolve import NONE


@dataclass(frozen=True)
class Seen:
    """A net and a photo in front of it.

    Attributes:
        net: In evaluation mode.
        x: The photo as its input, (1, C, H, W).
        pixels: The same as one can look at, (H, W, 3).
        weights: Which ones, in words.
        prepared: How the photo was, in words; "" where the weights say it.
    """

    net: nn.Module
    x: Tensor
    pixels: NDArray[np.uint8]
    weights: str
    prepared: str

    @property
    def told(self) -> str:
        """Both."""
        return f"{self.weights} {self.prepared}".strip()


def seen(
    name: str,
    photo: Source,
    *,
    weights: str | None = None,
    size: Size | None = None,
    genes: Mapping[str, object] | None = None,
    shape_alone: bool = False,
) -> Seen:
    """A net with its weights and a photo prepared for it.

    Weights bring their own preparation. A net without any, or of the user's own, gets the photo resized to its input,
    with values from 0 to 1, grey if it takes one channel.

    Args:
        name: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        weights: A lineage, as in `load`; "none" for random ones, which a net without lineages has in any case.
        size: Of the input; for weights only where they were made for it.
        genes: As in `build`; only for a net of the atlas.
        shape_alone: Whether the net is looked at for its shape: it is on the meta device then, and published weights,
            which are not fetched, say no more than how the net's windows lie and how the photo is prepared.

    Raises:
        ConvAtlasError: As `load`, `build`, `own` and `read` do; another size than the weights' photos have.
    """
    net, told = (_shape if shape_alone else _net)(name, weights, size, genes)
    net.eval()
    lineage, prepared = getattr(net, "lineage", None) if isinstance(net, Net) else None, ""
    if lineage is not None:
        x = lineage.prepare(photo)
        wanted = input_shape(net, size, None)
        if size is not None and wanted != x.shape:
            raise ConvAtlasError(
                f"the {lineage.name} weights prepare photos of {x.shape[1]} x {x.shape[2]}, not of {wanted[1]} x "
                f"{wanted[2]}: leave the size, or take {NONE} for the weights"
            )
        pixels = lineage.preprocessing.to_pixels(x)
    else:
        x, pixels = _resized(read(photo), input_shape(net, size, None))
        prepared = "The photo was resized to the net's input, with values from 0 to 1."
    first = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    return Seen(net, torch.from_numpy(x)[None].to(dtype), pixels, told, prepared)


Genes = Mapping[str, object] | None


def _net(name: str, weights: str | None, size: Size | None, genes: Genes) -> tuple[nn.Module, str]:
    if is_user_net(name):
        return _own(name, genes), "Weights: its own."
    if weights != NONE:
        try:
            net = load(name, weights=weights, size=size, genes=genes)
            return net, f"Weights: {net.lineage.name}."
        except WeightsError:
            # A lineage that was asked for must be there.
            if weights is not None:
                raise
        except StoreError as error:
            raise StoreError(f"{error}; or take {NONE} for the weights") from None
    return build(name, size=size, genes=genes), "Weights: random, of seed 0."


def _shape(name: str, weights: str | None, size: Size | None, genes: Genes) -> tuple[nn.Module, str]:
    if is_user_net(name) or (weights is not None and is_file(weights)):
        return _net(name, weights, size, genes)
    card = find(name)
    # Photos of another size are nobody's.
    if weights == NONE or (weights is None and (size is not None or not weights_of(card.name))):
        return skeleton(name, size=size, genes=genes), ""
    row = choose(card, weights)
    net = skeleton(name, size=size, genes=genes, variant=origin(row.origin).variant(row))
    net.lineage = lineage_of(row)
    return net, f"As the {row.name} weights have it."


def _own(name: str, genes: Genes) -> nn.Module:
    if genes:
        raise ConvAtlasError("genes belong to nets of the atlas: your own module is looked at as it is")
    return load_user_net(name)


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The photo resized to (C, H, W), as values from 0 to 1 and as pixels."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConvAtlasError(
            f"a photo has 1 or 3 channels, height and width; this net takes {' x '.join(map(str, shape))}"
        )
    image = Image.fromarray(pixels).resize((shape[2], shape[1]), Image.Resampling.BICUBIC)
    grey = image.convert("L" if shape[0] == 1 else "RGB")
    values = np.asarray(grey, np.float32).reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1) / 255
    return np.ascontiguousarray(values), np.array(grey.convert("RGB"))
