"""Load a net and prepare a photo as its input, for pictures of what the net computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from convatlas.anatomy.measure.shape_trace import input_shape
from convatlas.base.errors import ConvAtlasError, StoreError, WeightsError
from convatlas.catalogue.cards import Card, find_card
from convatlas.catalogue.lineages import weights_of
from convatlas.images.decoding import Source, read
from convatlas.nets.build import Size, build, skeleton
from convatlas.nets.net import Net
from convatlas.nets.user_net import is_user_net
from convatlas.weights.files import is_weights_file
from convatlas.weights.lineage import lineage as published_lineage
from convatlas.weights.load import load
from convatlas.weights.registry import choose, origin
from convatlas.weights.resolve import RANDOM, resolve
from convatlas.weights.user_weights import lineage_of

Genes = Mapping[str, object] | None


@dataclass(frozen=True)
class NetInput:
    """A net and a photo as its input.

    Attributes:
        net: The net, in evaluation mode.
        x: The photo as the net's input, (1, C, H, W).
        pixels: The input as pixels to look at, (H, W, 3), uint8.
        weights: A sentence that says which weights the net has.
        preprocessing: A sentence that says how the photo was prepared; empty for the preprocessing of the weights.
    """

    net: nn.Module
    x: Tensor
    pixels: NDArray[np.uint8]
    weights: str
    preprocessing: str

    @property
    def caption(self) -> str:
        """Caption for a picture: the two sentences."""
        return f"{self.weights} {self.preprocessing}".strip()


def net_input(
    name: str,
    photo: Source,
    *,
    weights: str | None = None,
    size: Size | None = None,
    genes: Genes = None,
    shape_only: bool = False,
) -> NetInput:
    """Load a net with its weights and prepare a photo for it.

    With published weights, the photo is preprocessed as they require. With random weights, and for a user's own net, it
    is resized to the net's input, with values from 0 to 1, in grey if the net takes one channel.

    Args:
        name: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        weights: A lineage, as in `load`; "none" for random weights, which are also used for a net without lineages. For
            a user's own net a file, with its preprocessing.
        size: Height and width of the input; with published weights, only the size that they were trained for.
        genes: As in `build`; only for a net of the atlas.
        shape_only: Whether to load the net on the meta device, without fetching its weights; these still determine the
            strides and the preprocessing.

    Raises:
        ConvAtlasError: As `load`, `build`, `load_user_net` and `read` do; or `size` does not suit the weights.
    """
    net, sentence = _load_net(name, weights, size, genes, shape_only)
    net.eval()
    lineage, preprocessing = lineage_of(net), ""
    if lineage is not None:
        x = lineage.prepare(photo)
        shape = input_shape(net, size, None)
        if size is not None and shape != x.shape:
            raise ConvAtlasError(
                f"photos for the {lineage.name} weights have {x.shape[1]} x {x.shape[2]} pixels, not {shape[1]} x "
                f"{shape[2]}: leave out the size, or choose {RANDOM!r} as weights"
            )
        pixels = lineage.preprocessing.to_pixels(x)
    else:
        x, pixels = _resized(read(photo), input_shape(net, size, None))
        preprocessing = "The photo was resized to the net's input, with values from 0 to 1."
    first = next((weight for weight in net.parameters() if weight.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    return NetInput(net, torch.from_numpy(x)[None].to(dtype), pixels, sentence, preprocessing)


def _load_net(
    name: str, weights: str | None, size: Size | None, genes: Genes, shape_only: bool
) -> tuple[nn.Module, str]:
    """The net, and a sentence that says which weights it has."""
    if is_user_net(name) and not is_weights_file(name):
        if genes:
            raise ConvAtlasError("genes can be changed in nets of the atlas only, not in your own module")
        net = resolve(name, weights)
        lineage = lineage_of(net)
        return net, "Weights: its own." if lineage is None else f"Weights: {lineage.name}."
    card = None if is_weights_file(name) else find_card(name)
    if shape_only and card is not None and (weights is None or not is_weights_file(weights)):
        return _skeleton(card, weights, size, genes)
    if weights != RANDOM:
        try:
            net = load(card or name, weights=weights, size=size, genes=genes)
            return net, f"Weights: {net.lineage.name}."
        except WeightsError:
            # Weights that were asked for must exist.
            if weights is not None:
                raise
        except StoreError as error:
            raise StoreError(f"{error}; or choose {RANDOM!r} as weights") from None
    return build(name, size=size, genes=genes), "Weights: random, seed 0."


def _skeleton(card: Card, weights: str | None, size: Size | None, genes: Genes) -> tuple[Net, str]:
    """The net on the meta device, with strides and preprocessing of its weights, and a sentence that says so."""
    # The preprocessing of published weights has one size; for any other the photo is simply resized.
    if weights == RANDOM or (weights is None and (size is not None or not weights_of(card.name))):
        return skeleton(card, size=size, genes=genes), ""
    row = choose(card, weights)
    net = skeleton(card, size=size, genes=genes, variant=origin(row.origin).variant(row))
    net.lineage = published_lineage(row)
    return net, f"Strides and preprocessing of the {row.name} weights."


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Resize a photo to (C, H, W), values from 0 to 1; also return its pixels (H, W, 3)."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConvAtlasError(
            f"a photo has 1 or 3 channels, height and width; this net takes {' x '.join(map(str, shape))}"
        )
    image = Image.fromarray(pixels).resize((shape[2], shape[1]), Image.Resampling.BICUBIC)
    image = image.convert("L" if shape[0] == 1 else "RGB")
    values = np.asarray(image, np.float32).reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1) / 255
    return np.ascontiguousarray(values), np.array(image.convert("RGB"))
