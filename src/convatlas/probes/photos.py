"""Photos and a net's inputs: from one to the other, and the masks that come with photos of concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source, read
from convatlas.images.folders import list_photos
from convatlas.images.preprocessing import Preprocessing
from convatlas.images.view import View
from convatlas.nets.net import Net
from convatlas.weights.user_weights import lineage_of

Image = Source | Tensor
Pixels = NDArray[np.uint8]


def preprocessing_of(net: nn.Module) -> Preprocessing | None:
    """The preprocessing of a net; None if it knows none."""
    # That of darknet has the same attributes.
    lineage: Any = lineage_of(net)
    return None if lineage is None else lineage.preprocessing


def input_of(net: nn.Module, image: Image) -> tuple[Tensor, Pixels | None]:
    """The net's input (1, C, h, w), and the photo's pixels if it is a photo.

    Raises:
        ConvAtlasError: It is neither a photo for a net with preprocessing nor an input.
    """
    if isinstance(image, Tensor):
        x = image.detach()[None] if image.ndim == 3 else image.detach()
        if x.ndim != 4 or len(x) != 1 or not x.is_floating_point():
            raise ConvAtlasError(
                f"an input is a tensor of floats (C, h, w) or (1, C, h, w); got {tuple(image.shape)} of {image.dtype}"
            )
        if not bool(torch.isfinite(x).all()):
            raise ConvAtlasError("the input holds numbers that are not finite")
        return x, None
    preprocessing = preprocessing_of(net)
    if preprocessing is None:
        raise ConvAtlasError("this net knows no preprocessing: pass its input as a tensor (C, h, w)")
    pixels = read(image)
    x = net.preprocess(pixels) if isinstance(net, Net) else torch.from_numpy(preprocessing(pixels))
    return x[None], pixels


def concepts_of(
    net: nn.Module, concepts: Mapping[str, Any] | None, x: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inputs (n, C, h, w) of each concept, and the masks (n, h, w) of those that have some.

    Args:
        net: The net.
        concepts: For each name a folder of photos, or a list of photos or inputs, or of pairs of one and its mask.
        x: The input that is explained, whose shape, precision and device they share.

    Raises:
        ConvAtlasError: A concept has no photo, or an input or a mask does not fit.
    """
    if concepts is not None and not isinstance(concepts, Mapping):
        raise ConvAtlasError('concepts are photos by name, such as {"stripes": ["zebra.jpg", "tiger.jpg"]}')
    inputs: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, group in (concepts or {}).items():
        each = [_example(net, example, x, name) for example in _listed(name, group)]
        inputs[name] = torch.cat([example for example, _ in each])
        areas = [mask for _, mask in each if mask is not None]
        if areas and len(areas) < len(each):
            raise ConvAtlasError(f"the concept {name!r:.40} has masks for {len(areas)} of {len(each)} photos")
        if areas:
            masks[name] = torch.stack(areas)
    return inputs, masks


def _listed(name: str, group: Any) -> Sequence[Any]:
    if isinstance(group, (str, Path)):
        if not Path(group).is_dir():
            raise ConvAtlasError(f"the concept {name!r:.40} is a folder or a list of photos; got {str(group)!r:.80}")
        return list_photos([group])
    if isinstance(group, Tensor) and group.ndim == 4:
        group = list(group)
    if not isinstance(group, Sequence) or not group:
        raise ConvAtlasError(f"the concept {name!r:.40} is a folder or a list of photos; got {group!r:.40}")
    return group


def _example(net: nn.Module, example: Any, x: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    """The input of a photo of a concept, and its mask (h, w) if it has one."""
    image, mask = example if isinstance(example, tuple) and len(example) == 2 else (example, None)
    result, pixels = input_of(net, image)
    if result.shape != x.shape:
        raise ConvAtlasError(
            f"an input of the concept {name!r:.40} has the shape {tuple(result.shape[1:])}, not {tuple(x.shape[1:])}"
        )
    return result.to(x), None if mask is None else _mask(net, mask, pixels, (x.shape[2], x.shape[3]), name).to(x.device)


def _mask(net: nn.Module, mask: Any, pixels: Pixels | None, size: tuple[int, int], name: str) -> Tensor:
    """A mask of a photo (H, W), or of an input (h, w), as the net sees it."""
    area = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    expected = size if pixels is None else pixels.shape[:2]
    if area.shape != expected or area.dtype.kind not in "biuf":
        raise ConvAtlasError(
            f"a mask of {name!r:.40} is an array of numbers {tuple(expected)}, the size of its photo; got {area.shape}"
        )
    area = area > 0
    preprocessing = preprocessing_of(net)
    if pixels is None or preprocessing is None:
        return torch.from_numpy(area.copy())
    view = preprocessing.view(*pixels.shape[:2])
    rows, columns = (np.arange(side) + 0.5 for side in size)
    visible = view.shows_photo(rows[:, None], columns[None, :])
    y, x = (
        np.clip(np.floor(places).astype(int), 0, side - 1)
        for places, side in zip(view.to_photo(rows, columns), area.shape, strict=True)
    )
    return torch.from_numpy(area[y][:, x] & visible)


def shown(x: Tensor, net: nn.Module) -> Pixels:
    """An input (C, h, w) as pixels (h, w, 3); where the preprocessing is unknown, stretched to the full range."""
    values = x.detach().double().cpu().numpy()
    preprocessing = preprocessing_of(net)
    if preprocessing is not None and preprocessing.channels == len(values):
        return preprocessing.to_pixels(values)
    grey = values if len(values) == 3 else np.repeat(values.mean(0, keepdims=True), 3, 0)
    low, high = grey.min(), grey.max()
    stretched = (grey - low) / (high - low) if high > low else np.zeros_like(grey)
    pixels: Pixels = np.rint(stretched.transpose(1, 2, 0) * 255).astype(np.uint8)
    return pixels


def limits(x: Tensor, net: nn.Module) -> tuple[Tensor, Tensor]:
    """The inputs of a black and of a white photo, (1, C, 1, 1) each.

    Where the preprocessing is unknown, they are the smallest and the largest number of each channel of x.
    """
    preprocessing = preprocessing_of(net)
    if preprocessing is not None and preprocessing.channels == x.shape[1]:
        mean, std = (torch.tensor(each, dtype=x.dtype, device=x.device)[None, :, None, None] for each in
                     (preprocessing.mean, preprocessing.std))  # fmt: skip
        return (0 - mean) / std, (255 / preprocessing.scale - mean) / std
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return low, torch.where(high > low, high, low + 1)


def view_of(net: nn.Module, pixels: Pixels | None) -> View | None:
    """The part of the photo that the input shows; None if the input was given itself."""
    preprocessing = preprocessing_of(net)
    return None if pixels is None or preprocessing is None else preprocessing.view(*pixels.shape[:2])
