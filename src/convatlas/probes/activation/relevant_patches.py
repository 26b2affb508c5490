"""Relevant patches: the parts of photos where channels of a layer speak most for a score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.activation._patches import batches, check_counts, chosen, patches_of, photos_of
from convatlas.probes.gallery.gallery import Exhibition
from convatlas.probes.layers import layer_named
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class RelevantPatches(Probe):
    """The parts of a folder of photos where a channel contributes most to the score, by LRP, one of each photo.

    Attributes:
        channel: Number of the channel; None for those that contribute most to the photo's score.
        channels: How many channels to show then.
        patches: How many patches of each.
        composite: Rules, as those of `lrp`.
    """

    channel: int | None = None
    channels: int = 4
    patches: int = 6
    composite: str = "epsilon_plus"

    title = "Maximally relevant patches (RelMax)"
    source = (
        'Achtibat et al. 2023, "From attribution maps to human-understandable explanations through concept relevance '
        'propagation"'
    )
    formula = "argmax over photos and places p of R_k(p | f), cut where the unit sees"
    shows = "What a channel stands for where the score uses it."
    hides = "What the channel responds to without a use for the score. The rule of LRP is a choice."
    cost = "1 forward, 1 way back a photo"
    needs = "relevance"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Rank the photos' patches by the relevance of the layer's maps."""
        check_counts(self.channels, self.patches)
        photos, notes = photos_of(subject, self.name)
        settings = Lrp(self.composite)
        choose = settings.chooser(subject)
        layer, _ = subject.place
        results = []
        for k in range(len(subject.targets)):
            parts: list[Tensor] = []
            # Relevance is shared photo by photo: a rule may sum over the batch.
            for number, photo in batches(photos, 1):
                tape = subject.tape if number == 0 else subject.tape_of(photo)
                _, index = layer_named(tape, subject.layer)
                rules = Relevance(tape, choose)
                index = rules.unit(index)
                parts.append(tape.values[index] * subject.back(tape, [index], k, rules.rule, rules.visit)[index])
                yield k * len(photos) + number, len(photos) * len(subject.targets), None
            relevance = torch.cat(parts)  # (n, K, h, w)
            channels = chosen(self.channel, relevance[0].sum((1, 2)), self.channels, layer)
            exhibits, more = patches_of(subject, photos, layer, relevance, channels, self.patches, "relevance")
            results.append(Exhibition(tuple(exhibits), layer, notes=notes + more))
        yield 1, 1, results


PROBE = RelevantPatches
