"""Maximal patches: the parts of photos to which channels of a layer respond most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.activation._patches import batches, check_counts, chosen, patches_of, photos_of
from convatlas.probes.gallery.gallery import Exhibition
from convatlas.probes.layers import layer_named
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class MaximalPatches(Probe):
    """The parts of a folder of photos that a channel responds to most, one of each photo, cut by its receptive field.

    Attributes:
        channel: Number of the channel; None for those that respond most to the photo, compared with other photos.
        channels: How many channels to show then.
        patches: How many patches of each.
    """

    channel: int | None = None
    channels: int = 4
    patches: int = 6

    title = "Maximally activating patches"
    source = 'Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks"'
    formula = "argmax over photos and places p of A_k(p), cut where the unit sees"
    shows = "What a channel stands for, as far as its strongest examples have it in common."
    hides = (
        "What the channel does in between, and whether the score needs it. A unit reacts to a part of what it sees, "
        "which the patch does not tell."
    )
    cost = "1 forward a photo"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Rank the photos' patches by the layer's maps."""
        check_counts(self.channels, self.patches)
        photos, notes = photos_of(subject, self.name)
        layer, parts = "", []
        for start, batch in batches(photos, min(4, subject.batch)):
            tape = subject.tape_of(batch)
            layer, index = layer_named(tape, subject.layer)
            parts.append(tape.values[index])
            yield start, len(photos), None
        maps = torch.cat(parts)  # (n, K, h, w)
        peaks = maps.flatten(2).amax(2)
        scale = peaks.mean(0).abs() + 0.1 * peaks.abs().mean() + 1e-12
        channels = chosen(self.channel, peaks[0] / scale if len(peaks) > 1 else peaks[0], self.channels, layer)
        exhibits, more = patches_of(subject, photos, layer, maps, channels, self.patches, "activation")
        yield 1, 1, [Exhibition(tuple(exhibits), layer, notes=notes + more)] * len(subject.targets)


PROBE = MaximalPatches
