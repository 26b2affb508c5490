"""LIME: a linear model of what regions of the photo do to the score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.perturbation._players import players_of
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Lime(Probe):
    """Weights of a linear model that predicts the score from which superpixels are kept, near the whole photo.

    For a net that adds up its pixels, the weights tend to each region's share of f(x) − f(b) as `ridge` tends to 0.

    Attributes:
        players: About how many regions the photo is divided into.
        regions: "superpixels" or "grid".
        samples: How many photos with some regions hidden are scored; each keeps a region with probability 1/2.
        width: Width of the kernel that gives photos close to the whole one more weight, in cosine distance.
        ridge: Strength of the ridge penalty.
    """

    players: int = 50
    regions: str = "superpixels"
    samples: int = 1000
    width: float = 0.25
    ridge: float = 1.0

    title = "LIME"
    source = 'Ribeiro et al. 2016, ""Why should I trust you?": explaining the predictions of any classifier"'
    formula = "argmin_w Σ_z exp(−d(z)²/width²) (f(z) − w·z − w₀)² + ridge·|w|², d(z) = 1 − √(share of z that is kept)"
    shows = "How much each region adds to the score when about half of the others are hidden."
    hides = "What regions do only together: a note says how much of the score the linear model misses."
    cost = "one forward a sample, 1000 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Fit the linear model in closed form."""
        check_whole("samples", self.samples, 2)
        check_number("width", self.width, ends=(False, True))
        check_number("ridge", self.ridge)
        players = players_of(subject.x, self.players, self.regions)
        kept = torch.rand(self.samples, players.count, generator=subject.generator()) < 0.5
        kept[0] = True
        scores = torch.zeros(self.samples, len(subject.targets), dtype=torch.float64)
        for start, stop, batch in subject.stream(
            self.samples, lambda start, stop: players.hidden(subject, kept[start:stop])
        ):
            scores[start:stop] = batch
            yield stop, self.samples, None
        distance = 1 - kept.double().mean(1).sqrt()
        weights = (-(distance / self.width).square()).exp()
        effects, errors, explained = _ridge(kept.double(), scores, weights, self.ridge)
        yield (
            1,
            1,
            [
                Finding(
                    players.paint(effects[:, k]),
                    standard_error=players.paint(errors[:, k]),
                    notes=(f"the linear model explains {float(explained[k]):.0%} of how the score varies",),
                )
                for k in range(len(subject.targets))
            ],
        )


def _ridge(kept: Tensor, scores: Tensor, weights: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a weighted linear model whose intercept is not penalised.

    Args:
        kept: Which regions are kept, (samples, regions).
        scores: Scores, (samples, T).
        weights: Weights of the samples.
        ridge: Strength of the penalty.

    Returns:
        Weights of the regions and their standard errors, (regions, T); share of the weighted variance that the model
        explains, (T,).
    """
    share = (weights / weights.sum())[:, None]
    z, y = kept - (share * kept).sum(0), scores - (share * scores).sum(0)
    normal = z.mT @ (weights[:, None] * z) + ridge * torch.eye(z.shape[1], dtype=z.dtype)
    inverse = torch.linalg.pinv(normal, hermitian=True)
    effects = inverse @ (z.mT @ (weights[:, None] * y))
    residual = y - z @ effects
    # The sandwich estimator: photos far from the whole one vary otherwise than those close to it.
    influence = (z * weights[:, None]) @ inverse
    errors = (influence.square().mT @ residual.square()).sqrt()
    variance = (share * y.square()).sum(0)
    explained = 1 - (share * residual.square()).sum(0) / variance.clamp(min=torch.finfo(torch.float64).tiny)
    return effects, errors, explained


PROBE = Lime
