"""Network dissection: which unit of a layer lights up where photos show a concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.concept._maps import Spread, lit, maps_of
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

TOGETHER = 64
"""Channels whose maps are spread over the input at a time."""

EXAMPLES = 3
"""Photos on the sheet for each unit."""

DETECTOR = 0.04
"""IoU from which the paper calls a unit a detector of a concept."""


@dataclass(frozen=True)
class NetworkDissection(Probe):
    """The overlap (IoU) of each channel's strongest activations with the masks of concepts.

    A concept is a list of pairs of a photo and its mask, an array (H, W) of the photo's size that is above 0 where it
    shows the concept: `concepts={"eye": [("cat.jpg", mask), ...]}`. A photo without the concept has a mask of zeros.

    Attributes:
        top: Share of all activations of a channel that count as strong; 0.005 in the paper, for thousands of photos.
        units: Channels to show for each concept.
    """

    top: float = 0.05
    units: int = 2

    title = "Network dissection"
    source = 'Bau et al. 2017, "Network dissection: quantifying interpretability of deep visual representations"'
    formula = "IoU_kc = Σ|M_k ∩ L_c| / Σ|M_k ∪ L_c|, M_k: A_k, resized, above its quantile 1 − top over all photos"
    shows = "Channels that mark a concept by themselves."
    hides = "Concepts that several channels hold together, those without a mask, and whether the score uses a channel."
    cost = "1 forward a photo"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Compare the layer's channels with the masks."""
        check_number("top", self.top, 0, 0.5, ends=(False, True))
        check_whole("units", self.units, 1, 64)
        names = list(subject.masks)
        if not names:
            raise ConvAtlasError(
                'network_dissection needs photos with masks: in Python, pass concepts={"eye": [("cat.jpg", mask), ...]}'
            )
        photos = torch.cat([subject.concepts[name] for name in names])
        layer, parts = "", []
        for done, layer, part in maps_of(subject, photos):  # noqa: B007 - the last one counts
            parts.append(part)
            yield done, 2 * len(photos), None
        maps = torch.cat(parts).double().cpu().numpy()  # (n, K, h, w)
        spread = Spread(subject, layer, (maps.shape[2], maps.shape[3]))
        channels = maps.shape[1]
        limits = np.quantile(maps.transpose(1, 0, 2, 3).reshape(channels, -1), 1 - self.top, axis=1)
        both, either = np.zeros((2, len(names), channels))
        owners = [number for number, name in enumerate(names) for _ in subject.concepts[name]]
        masks = torch.cat([subject.masks[name] for name in names]).cpu().numpy()
        for number, owner in enumerate(owners):
            for start in range(0, channels, TOGETHER):
                chunk = slice(start, start + TOGETHER)
                strong = self._strong(spread, maps[number, chunk], limits[chunk])
                both[owner, chunk] += (strong & masks[number]).sum((1, 2))
                either[owner, chunk] += (strong | masks[number]).sum((1, 2))
            yield len(photos) + number, 2 * len(photos), None
        overlap = both / np.maximum(either, 1)
        exhibits: list[Exhibit] = []
        numbers: dict[str, float] = {}
        for owner, name in enumerate(names):
            order = np.argsort(-overlap[owner], kind="stable")[: self.units]
            own = [number for number, other in enumerate(owners) if other == owner]
            numbers |= {f"{name}: unit": float(order[0]), f"{name}: IoU": float(overlap[owner, order[0]])}
            for channel in order.tolist():
                value = float(overlap[owner, channel])
                kind = "a detector" if value >= DETECTOR else "no detector"
                row = f"{name}: channel {channel} of {layer}, IoU {value:.3f}, {kind}"
                for example in own[:EXAMPLES]:
                    strong = self._strong(spread, maps[example, [channel]], limits[[channel]])[0]
                    title = f"{name}, channel {channel}, photo {example - own[0] + 1}"
                    exhibits.append(
                        Exhibit(f"{title}, mask", _outlined(photos[example], subject, masks[example]), "mask", row)
                    )
                    pixels = lit(photos[example], subject.net, strong.astype(float))
                    exhibits.append(Exhibit(title, pixels, "the channel", row, {"IoU": value, "channel": channel}))
        note = f"the strongest {self.top:.1%} of each channel's activations over {len(photos)} photos are lit"
        arrays = {"overlap": overlap, "thresholds": limits}
        exhibition = Exhibition(tuple(exhibits), layer, numbers, arrays, (note,))
        yield 1, 1, [exhibition] * len(subject.targets)

    def _strong(self, spread: Spread, values: NDArray[Any], limits: NDArray[Any]) -> NDArray[np.bool_]:
        """Mask (K, H, W) of where maps (K, h, w), spread over the input, are above the limit of their channel."""
        alive = values.reshape(len(values), -1).max(1) > limits
        result: NDArray[np.bool_] = (spread(values) > limits[:, None, None]) & alive[:, None, None]
        return result


def _outlined(photo: torch.Tensor, subject: Subject, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo with the border of a mask in red."""
    pixels = shown(photo, subject.net).copy()
    inside = mask.copy()
    inside[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    pixels[mask & ~inside] = (220, 40, 40)
    return pixels


PROBE = NetworkDissection
