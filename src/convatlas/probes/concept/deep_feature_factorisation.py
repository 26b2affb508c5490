"""Deep feature factorisation: the parts that the maps of a layer for several photos have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_whole
from convatlas.probes.concept._maps import Spread, lit, maps_of, non_negative, photos_and_own, rising, rows_of
from convatlas.probes.concept._nmf import factorised
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.photos import shown
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject

SHOWN = 8
"""Photos on the sheet at most."""


@dataclass(frozen=True)
class DeepFeatureFactorisation(Probe):
    """Where photos hold each of a few factors of a layer's maps, found by non-negative matrix factorisation.

    The photos are the one to explain and those of `concepts={"photos": [...]}`.

    Attributes:
        factors: Number of factors.
    """

    factors: int = 4

    title = "Deep feature factorisation"
    source = 'Collins et al. 2018, "Deep feature factorization for concept discovery"'
    formula = "A ≈ H W with H, W ≥ 0, for A the maps of all photos with one row for each place"
    shows = "Which parts of the photos the layer represents alike."
    hides = "Whether the score uses them; what a layer represents is not what the net decides by."
    cost = "1 forward a photo"
    needs = "gradients"
    spatial = True
    pictures = True

    def attribute(self, subject: Subject) -> Findings:
        """Factorise the maps of all photos together."""
        check_whole("factors", self.factors, 1, 32)
        photos = photos_and_own(subject)
        layer, parts = "", []
        for done, layer, part in maps_of(subject, photos):  # noqa: B007 - the last one counts
            parts.append(part)
            yield done, len(photos) + 1, None
        maps, notes = non_negative(torch.cat(parts))
        n, _, height, width = maps.shape
        rows = rows_of(maps)
        strength, directions = factorised(rows, self.factors, subject.seed)
        # The factor with most of the maps comes first.
        order = torch.argsort(strength.sum(0), descending=True, stable=True)
        strength, directions = strength[:, order], directions[order]
        missing = float((rows - strength @ directions).norm() / rows.norm().clamp(min=1e-30))
        heat = strength.reshape(n, height, width, self.factors)
        exhibits = []
        spread = Spread(subject, layer, (height, width))
        for number in range(min(n, SHOWN)):
            row = "The photo" if number == 0 else f"Photo {number}"
            exhibits.append(Exhibit(row.lower(), shown(photos[number], subject.net), "", row))
            for factor in range(self.factors):
                share = float(strength[number * height * width : (number + 1) * height * width, factor].sum())
                values = heat[number, :, :, factor].double().cpu().numpy()
                light = spread(rising(values, float(heat[..., factor].max())))
                exhibits.append(
                    Exhibit(
                        f"{row.lower()}, factor {factor + 1}",
                        lit(photos[number], subject.net, light),
                        f"factor {factor + 1}",
                        row,
                        {"sum": share},
                    )
                )
        arrays = {"factors": directions.cpu().numpy(), "maps": heat.permute(0, 3, 1, 2).cpu().numpy()}
        notes = (*notes, f"the factors are as far from the maps as {missing:.0%} of their norm")
        exhibition = Exhibition(tuple(exhibits), layer, {"missing": missing}, arrays, notes)
        yield 1, 1, [exhibition] * len(subject.targets)


PROBE = DeepFeatureFactorisation
