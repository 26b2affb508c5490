"""CRAFT: concepts that crops of photos have in common, and how much the score depends on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.concept._maps import Spread, lit, maps_of, non_negative, photos_and_own, rising, rows_of
from convatlas.probes.concept._nmf import coefficients, factorised
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import tail_scores

FAINT = 0.25
"""A concept that nowhere reaches this share of the strongest one is not drawn in full light."""


@dataclass(frozen=True)
class Craft(Probe):
    """Concepts as factors of the maps of crops, where the photo shows them, and their total Sobol indices.

    The crops are cut from the photo and from those of `concepts={"photos": [...]}`, best several of one class.

    Attributes:
        factors: Number of concepts.
        crop: Side of a crop, as a share of the shorter side.
        stride: Distance of crops, as a share of their side.
        designs: Points of the design by which Sobol indices are estimated; each costs factors + 1 runs of the tail.
        examples: Crops to show of each concept.
    """

    factors: int = 6
    crop: float = 0.4
    stride: float = 0.5
    designs: int = 32
    examples: int = 5

    title = "Concept recursive activation factorization (CRAFT)"
    source = 'Fel et al. 2023, "CRAFT: concept recursive activation factorization for explainability"'
    formula = "A(crops) ≈ U W with U, W ≥ 0; S_i = E[(f(m) − f(m with m_i drawn again))²] / (2 Var f), A' = (U ∘ m) W"
    shows = "What the layer sees in parts of the photos, and which of it the score depends on."
    hides = "What is in no factor: see how much of the maps is missing. With few photos, concepts are parts of these."
    cost = (
        "1 forward a crop, 16 a photo for an input of 224 x 224 pixels, 25 for 32 x 32; 224 runs of the layers behind"
    )
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Find concepts in crops, and their importance for each target."""
        check_whole("factors", self.factors, 2, 32)
        check_number("crop", self.crop, 0, 1, ends=(False, True))
        check_number("stride", self.stride, 0, 1, ends=(False, True))
        check_whole("designs", self.designs, 4, 4096)
        check_whole("examples", self.examples, 1, 7)
        crops = torch.cat([crops_of(photo, self.crop, self.stride) for photo in photos_and_own(subject)])
        if len(crops) < self.factors:
            raise ConvAtlasError(f"{len(crops)} crops have no {self.factors} concepts: take smaller crops, more photos")
        layer, pooled = "", []
        notes: tuple[str, ...] = ()
        for done, layer, maps in maps_of(subject, resized(crops, subject.size)):  # noqa: B007 - the last one counts
            maps, notes = non_negative(maps)
            pooled.append(maps.mean((2, 3)))
            yield done, len(crops) + 1, None
        rows = torch.cat(pooled)  # (crops, K)
        strength, concepts = factorised(rows, self.factors, subject.seed)
        missing = float((rows - strength @ concepts).norm() / rows.norm().clamp(min=1e-30))
        maps, _ = non_negative(subject.tape.values[subject.place[1]])
        height, width = maps.shape[2:]
        parts = coefficients(rows_of(maps), concepts)  # (h w, r)
        heat = parts.reshape(height, width, self.factors)
        indices = self._indices(subject, parts, concepts, rows_of(maps) - parts @ concepts)
        spread = Spread(subject, layer, (height, width))
        results = []
        for k in range(len(subject.targets)):
            exhibits = []
            order = torch.argsort(indices[:, k], descending=True, stable=True).tolist()
            for rank, factor in enumerate(order):
                importance = float(indices[factor, k])
                row = f"Concept {rank + 1}: importance {importance:.2f}"
                values = heat[:, :, factor].double().cpu().numpy()
                light = spread(rising(values, max(float(values.max()), FAINT * float(heat.max()))))
                exhibits.append(
                    Exhibit(
                        f"concept {rank + 1}",
                        lit(subject.x[0], subject.net, light),
                        "where the photo shows it",
                        row,
                        {"importance": importance, "factor": factor},
                    )
                )
                best = torch.argsort(strength[:, factor], descending=True, stable=True)[: self.examples].tolist()
                exhibits += [
                    Exhibit(f"concept {rank + 1}, crop {number + 1}", shown(crops[each], subject.net), "", row)
                    for number, each in enumerate(best)
                ]
            arrays = {
                "concepts": concepts[order].cpu().numpy(),
                "maps": heat.permute(2, 0, 1)[order].cpu().numpy(),
                "importance": indices[order, k].cpu().numpy(),
            }
            note = f"the concepts are as far from the crops' maps as {missing:.0%} of their norm"
            results.append(Exhibition(tuple(exhibits), layer, {"missing": missing}, arrays, (*notes, note)))
        yield 1, 1, results

    def _indices(self, subject: Subject, parts: Tensor, concepts: Tensor, rest: Tensor) -> Tensor:
        """Total Sobol index of each concept for each target, (r, T), by the estimator of Jansen (1999)."""
        tape, (_, end) = subject.tape, subject.place
        shape = tape.values[end].shape
        engine: Any = torch.quasirandom.SobolEngine
        drawn = engine(2 * self.factors, scramble=True, seed=subject.seed).draw(self.designs)
        first, second = drawn.to(parts).chunk(2, 1)  # (n, r) each
        designs = [first]
        for factor in range(self.factors):
            changed = first.clone()
            changed[:, factor] = second[:, factor]
            designs.append(changed)
        masks = torch.cat(designs)

        def make(start: int, stop: int) -> Tensor:
            # What is in no concept stays as it is.
            values = (parts[None] * masks[start:stop, None]) @ concepts + rest  # (n, h w, K)
            return values.mT.reshape(-1, *shape[1:])

        scores = torch.cat([part for _, _, part in tail_scores(tape, end, len(masks), make, subject.memory)])
        base, *changed_scores = scores.view(self.factors + 1, self.designs, -1)
        spread = base.var(0).clamp(min=1e-30)
        return torch.stack([(base - each).square().mean(0) / (2 * spread) for each in changed_scores])


def crops_of(photo: Tensor, share: float, stride: float) -> Tensor:
    """Square crops (n, C, s, s) of a photo (C, h, w) whose side is a share of its shorter one."""
    height, width = photo.shape[1:]
    side = max(1, round(share * min(height, width)))
    step = max(1, round(stride * side))
    tops, lefts = (sorted({*range(0, length - side + 1, step), length - side}) for length in (height, width))
    return torch.stack([photo[:, top : top + side, left : left + side] for top in tops for left in lefts])


def resized(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops at the size of the net's input."""
    return interpolate(crops, size, mode="bilinear", align_corners=False)


PROBE = Craft
