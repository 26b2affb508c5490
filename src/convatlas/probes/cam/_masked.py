"""Photos masked by the maps of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convatlas.probes.probe import Finding
from convatlas.probes.subject import Subject


def masked_scores(
    subject: Subject, repeats: int = 1, change: Callable[[Tensor, int], Tensor] | None = None
) -> Iterator[tuple[int, int, Tensor]]:
    """Scores of the photo seen through each channel's map, enlarged and stretched to 0..1; the background elsewhere.

    Args:
        subject: The subject.
        repeats: Masks of each channel.
        change: Changes maps (n, h, w) before they are stretched, or masks after, by the number of the repeat.

    Yields:
        Masks so far, all masks, and the scores of the last ones, (n, T), channel by channel.
    """
    _, index = subject.place
    maps = subject.tape.values[index][0]
    total = len(maps) * repeats

    def make(start: int, stop: int) -> Tensor:
        numbers = torch.arange(start, stop)
        channels = maps[numbers // repeats]
        masks = stretched(interpolate(channels[:, None], subject.size, mode="bilinear"))
        if change is not None:
            pairs = zip(masks, numbers, strict=True)
            masks = torch.cat([change(mask[None], int(number) % repeats) for mask, number in pairs])
        return masks * subject.x + (1 - masks) * subject.background

    for _, stop, scores in subject.stream(total, make):
        yield stop, total, scores


def stretched(maps: Tensor) -> Tensor:
    """Maps (n, 1, h, w), each stretched to 0..1; a constant map becomes 0."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, (maps - low) / torch.where(span > 0, span, 1), 0)


def findings_of(subject: Subject, scores: Tensor) -> list[Finding]:
    """Maps of the chosen layer, weighted by the softmax over channels of scores (K, T)."""
    name, index = subject.place
    maps = subject.tape.values[index][0]
    gains = scores - subject.background_scores
    weights = gains.softmax(0).to(maps)
    return [Finding((column.view(-1, 1, 1) * maps).sum(0), name) for column in weights.T]
