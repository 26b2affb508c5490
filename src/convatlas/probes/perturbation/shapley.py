"""Shapley values: each region's fair share of the score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.checks import check_choice, check_whole
from convatlas.probes.perturbation._players import Players, players_of
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

METHODS = ("auto", "exact", "permutation", "kernel")
"""Ways to compute the values."""

MOST_PLAYERS = 20
"""Most players whose coalitions can be enumerated in memory."""

Values = Iterator[tuple[int, int, tuple[Tensor, Tensor | None] | None]]
"""Steps done, steps in all, and at the end the values (players, T) and their standard errors."""


@dataclass(frozen=True)
class Shapley(Probe):
    """What a region adds to the score, on average over all orders in which regions can be uncovered.

    The values of all regions add up to f(x) − f(b). The map holds at each pixel the value of its region.

    Attributes:
        players: About how many regions the photo is divided into.
        regions: "superpixels" or "grid".
        method: "exact" enumerates all coalitions; "permutation" averages over random orders, each with its reverse;
            "kernel" solves KernelSHAP's regression over all coalitions if they fit, else over random ones, each with
            its complement; "auto" is exact if all coalitions fit into the budget, else permutation.
        budget: Most photos to score.
    """

    players: int = 40
    regions: str = "superpixels"
    method: str = "auto"
    budget: int = 2048

    title = "Shapley values"
    source = (
        'Shapley 1953, "A value for n-person games"; Castro et al. 2009, "Polynomial calculation of the Shapley value '
        'based on sampling"; Lundberg & Lee 2017, "A unified approach to interpreting model predictions"; paired '
        'samples: Covert & Lee 2021, "Improving KernelSHAP"'
    )
    formula = "φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (f(S ∪ {i}) − f(S)), S without i, the rest from the background"
    shows = "How f(x) − f(b) is shared out among the regions, so that nothing is left over."
    hides = "Which regions work together, and anything finer than a region. Half-hidden photos are unlike real ones."
    cost = "at most `budget` forwards, 2048 by default; exact: 2 to the number of regions"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Compute the values by the chosen method."""
        check_choice("method", self.method, METHODS)
        check_whole("budget", self.budget, 1)
        players = players_of(subject.x, self.players, self.regions)
        fits = players.count <= MOST_PLAYERS and 2**players.count <= self.budget
        if self.method == "exact" and not fits:
            raise ConvAtlasError(
                f"{players.count} regions have 2^{players.count} coalitions, more than the budget of {self.budget} "
                f"photos: use fewer players, method='permutation', or a larger budget (up to {MOST_PLAYERS} regions)"
            )
        for done, total, result in self._values(subject, players, fits):
            if result is None:
                yield done, total, None
        assert result is not None
        values, errors = result
        whole = subject.own_scores - subject.background_scores
        scale = torch.maximum(subject.own_scores.abs(), subject.background_scores.abs())
        gap = (values.sum(0) - whole).abs() / scale.clamp(min=torch.finfo(torch.float64).tiny)
        yield (
            1,
            1,
            [
                Finding(
                    players.paint(values[:, k]),
                    residual=float(gap[k]),
                    standard_error=None if errors is None else players.paint(errors[:, k]),
                    notes=(f"{players.count} regions",),
                )
                for k in range(len(subject.targets))
            ],
        )

    def _values(self, subject: Subject, players: Players, fits: bool) -> Values:
        if fits and self.method != "permutation":
            return _enumerated(subject, players, self.method == "kernel")
        if self.method == "kernel":
            return _by_kernel(subject, players, self.budget)
        return _by_permutations(subject, players, self.budget)


def _enumerated(subject: Subject, players: Players, kernel: bool) -> Values:
    """Score all coalitions; coalition number k holds the players whose bit is set in k."""
    n = players.count
    numbers = torch.arange(2**n)
    members = ((numbers[:, None] >> torch.arange(n)) & 1).bool()
    scores = torch.zeros(2**n, len(subject.targets), dtype=torch.float64)
    for start, stop, batch in subject.stream(2**n, lambda start, stop: players.hidden(subject, members[start:stop])):
        scores[start:stop] = batch
        yield stop, 2**n, None
    if kernel and n > 1:
        sizes = range(1, n)
        weights = torch.tensor([0, *((n - 1) / (math.comb(n, s) * s * (n - s)) for s in sizes), 0], dtype=torch.float64)
        inner = members[1:-1].double()
        gains, whole = scores[1:-1] - scores[0], scores[-1] - scores[0]
        values, _ = _regression(inner, gains, weights[members[1:-1].sum(1)], whole)
        yield 1, 1, (values, None)
        return
    weights = torch.tensor([1 / (n * math.comb(n - 1, size)) for size in range(n)], dtype=torch.float64)
    values = torch.zeros(n, len(subject.targets), dtype=torch.float64)
    for player in range(n):
        without = numbers[~members[:, player]]
        gains = scores[without | (1 << player)] - scores[without]
        values[player] = weights[members[without].sum(1)] @ gains
    yield 1, 1, (values, None)


def _by_permutations(subject: Subject, players: Players, budget: int) -> Values:
    """Uncover the regions in random orders, each followed by its reverse."""
    n = players.count
    inner = n - 1
    pairs = budget // max(1, 2 * inner)
    if pairs < 2:
        raise ConvAtlasError(
            f"a budget of {budget} photos is too small for {n} regions: random orders need {4 * inner} or more"
        )
    generator = subject.generator()
    forth = torch.stack([torch.randperm(n, generator=generator) for _ in range(pairs)])
    orders = torch.stack([forth, forth.flip(1)], 1).flatten(0, 1)
    # Position of each player: the first k regions of an order are those with a position below k.
    positions = orders.argsort(1)
    ends = subject.background_scores, subject.own_scores
    scores = torch.zeros(len(orders), n + 1, len(subject.targets), dtype=torch.float64)
    scores[:, 0], scores[:, n] = ends

    def uncovered(start: int, stop: int) -> Tensor:
        index = torch.arange(start, stop)
        return players.hidden(subject, positions[index // inner] <= (index % inner)[:, None])

    total = len(orders) * inner
    for start, stop, batch in subject.stream(total, uncovered):
        index = torch.arange(start, stop)
        scores[index // inner, index % inner + 1] = batch
        yield stop, total, None
    gains = scores.diff(dim=1)
    by_player = gains.gather(1, positions[:, :, None].expand_as(gains)).reshape(pairs, 2, n, -1).mean(1)
    yield 1, 1, (by_player.mean(0), by_player.std(0) / math.sqrt(pairs))


def _by_kernel(subject: Subject, players: Players, budget: int) -> Values:
    """Solve KernelSHAP's regression over random coalitions, each followed by its complement."""
    n = players.count
    pairs = budget // 2
    if pairs <= n:
        raise ConvAtlasError(
            f"a budget of {budget} photos is too small for {n} regions: KernelSHAP needs {2 * n + 2} or more"
        )
    generator = subject.generator()
    sizes = torch.tensor([1 / (s * (n - s)) for s in range(1, n)], dtype=torch.float64)
    drawn = 1 + torch.multinomial(sizes, pairs, replacement=True, generator=generator)
    halves = torch.rand(pairs, n, generator=generator).argsort(1).argsort(1) < drawn[:, None]
    members = torch.stack([halves, ~halves], 1).flatten(0, 1)
    ends = subject.background_scores, subject.own_scores
    scores = torch.zeros(len(members), len(subject.targets), dtype=torch.float64)
    for start, stop, batch in subject.stream(
        len(members), lambda start, stop: players.hidden(subject, members[start:stop])
    ):
        scores[start:stop] = batch
        yield stop, len(members), None
    ones = torch.ones(len(members), dtype=torch.float64)
    yield 1, 1, _regression(members.double(), scores - ends[0], ones, ends[1] - ends[0])


def _regression(members: Tensor, gains: Tensor, weights: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted least squares whose solutions add up to a given total.

    Args:
        members: Coalitions, (m, players); two in a row are a pair.
        gains: Their scores less that of the empty coalition, (m, T).
        weights: Their weights, (m,).
        whole: The totals, (T,).

    Returns:
        The solutions and their standard errors over pairs, (players, T).
    """
    weighted = weights[:, None] * members
    inverse = torch.linalg.pinv(members.mT @ weighted, hermitian=True)
    free = inverse @ (weighted.mT @ gains)
    # Lagrange's multiplier moves the free solution along this direction until it adds up.
    direction = inverse.sum(1, keepdim=True)
    values = free + direction / direction.sum() * (whole - free.sum(0))
    projected = inverse - direction @ direction.mT / direction.sum()
    residual = gains - members @ values
    influence = torch.einsum("mp,mt->mpt", weighted @ projected, residual)
    pairs = influence.reshape(-1, 2, *influence.shape[1:]).sum(1)
    freedom = len(pairs) / max(1, len(pairs) - members.shape[1])
    return values, (freedom * pairs.square().sum(0)).sqrt()


PROBE = Shapley
