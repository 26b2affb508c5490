"""Values of the probes of relevance, against rules written out for the matrices of two or three layers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.probes.activation.relevant_patches import RelevantPatches
from convatlas.probes.explain import explain
from convatlas.probes.relevance.concept_relevance import ConceptRelevance
from convatlas.probes.relevance.contrastive_lrp import ContrastiveLrp
from convatlas.probes.relevance.deep_lift import DeepLift
from convatlas.probes.relevance.deep_lift_shap import DeepLiftShap
from convatlas.probes.relevance.excitation_backprop import ExcitationBackprop
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.layer_rules import AlphaBeta, Flat, Gamma, LayerRule, WeightSquare, Zero
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.tape.backward import backward
from convatlas.probes.tape.record import record

SIZE = (2, 5, 5)
EPSILON = 1e-6


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, BACKGROUND = random(*SIZE, seed=1), random(*SIZE, seed=2)

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Takes the input (n), weights (m, n) and bias (m) of a layer, and relevance (m) of its output; returns that of (n)."""


def zero(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor) -> Tensor:
    return (w * x / (w @ x + b)[:, None] * relevance[:, None]).sum(0)


def alpha_beta(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor, alpha: float = 2.0) -> Tensor:
    up, down = (w * x).clamp(min=0), (w * x).clamp(max=0)
    ups, downs = up.sum(1, keepdim=True).clamp(min=1e-300), down.sum(1, keepdim=True).clamp(max=-1e-300)
    each = alpha * up / ups - (alpha - 1) * down / downs
    return (each * relevance[:, None]).sum(0)


def z_plus(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor) -> Tensor:
    up = (w * x).clamp(min=0)
    return (up / up.sum(1, keepdim=True).clamp(min=1e-300) * relevance[:, None]).sum(0)


def gamma(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor, weight: float = 0.25) -> Tensor:
    z, total = torch.cat([w * x, b[:, None]], 1), (w @ x + b)[:, None]
    favoured = z + weight * torch.where(total > 0, z.clamp(min=0), z.clamp(max=0))
    return (favoured[:, :-1] / favoured.sum(1, keepdim=True) * relevance[:, None]).sum(0)


def w_square(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor) -> Tensor:
    return (w.square() / w.square().sum(1, keepdim=True) * relevance[:, None]).sum(0)


def flat(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor) -> Tensor:
    inputs = (w != 0).to(w)
    return (inputs / inputs.sum(1, keepdim=True) * relevance[:, None]).sum(0)


def box(x: Tensor, w: Tensor, b: Tensor, relevance: Tensor) -> Tensor:
    both = torch.stack([X, BACKGROUND])
    low, high = (each.view(1, -1, 1, 1).expand(1, *SIZE).flatten()
                 for each in (both.amin((0, 2, 3)).clamp(max=0), both.amax((0, 2, 3)).clamp(min=0)))  # fmt: skip
    parts = w * x - w.clamp(min=0) * low - w.clamp(max=0) * high
    return (parts / parts.sum(1, keepdim=True) * relevance[:, None]).sum(0)


class Chain(nn.Sequential):
    """Convolutions with ReLUs, and a dense layer."""

    def __init__(self, channels: tuple[int, ...] = (2, 3)) -> None:
        torch.manual_seed(0)
        convolutions = [nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(channels)]
        layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
        super().__init__(*layers, nn.Flatten(), nn.Linear(25 * channels[-1], 4))
        self.eval().double()

    def matrices(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Input, weights as a matrix, and bias of each layer."""
        result, x = [], X[None]
        for layer in self:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                w = torch.autograd.functional.jacobian(layer, x).reshape(-1, x.numel())
                b = layer(torch.zeros_like(x)).flatten()
                result.append((x.flatten().detach(), w.detach(), b.detach()))
            x = layer(x)
        return result


def by_hand(net: Chain, start: Tensor, *rules: Rule, epsilon: float = 0.0) -> Tensor:
    """Relevance of the photo, (C, h, w), from that of the net's outputs, by a rule for each layer."""
    relevance = start
    for (x, w, b), rule in reversed(list(zip(net.matrices(), rules, strict=True))):
        z = w @ x + b
        relevance = rule(x, w, b, relevance * (z / (z + epsilon * z.sign())))
    return relevance.view(SIZE)


def assert_same(values: np.ndarray | Tensor, expected: Tensor) -> None:
    other = expected.numpy()
    np.testing.assert_allclose(np.asarray(values), other, rtol=0, atol=1e-10 * abs(other).max())


def start_of(net: nn.Module, index: int = 1) -> Tensor:
    scores = net(X[None])[0].detach()
    return scores * torch.eye(4, dtype=torch.float64)[index]


LAYER_RULES: dict[str, tuple[LayerRule, Rule]] = {
    "zero": (Zero(), zero),
    "alpha_beta": (AlphaBeta(2.0), alpha_beta),
    "z_plus": (AlphaBeta(1.0), z_plus),
    "gamma": (Gamma(0.25), gamma),
    "w_square": (WeightSquare(), w_square),
    "flat": (Flat(), flat),
}


@pytest.mark.parametrize("name", LAYER_RULES)
def test_a_rule_at_the_pixels(name: str) -> None:
    net = Chain()
    rule, expected = LAYER_RULES[name]
    tape = record(net, X[None], lambda output: output[:, 1])
    rules = Relevance(tape, lambda number, operation: Zero() if number else rule, 0.0)
    multiplier = backward(tape, [tape.photo], rules.rule, rules.visit)[tape.photo]
    extra = rules.extra.get(tape.photo, torch.zeros_like(multiplier))
    with torch.no_grad():
        assert_same((X * multiplier + extra)[0], by_hand(net, start_of(net), expected, zero))


@pytest.mark.parametrize("name", ["zero", "alpha_beta", "z_plus", "gamma"])
def test_a_rule_at_every_layer(name: str) -> None:
    net = Chain((2, 3, 3))
    rule, expected = LAYER_RULES[name]
    tape = record(net, X[None], lambda output: output[:, 1])
    rules = Relevance(tape, lambda number, operation: rule, 0.0)
    multiplier = backward(tape, [tape.photo], rules.rule, rules.visit)[tape.photo]
    assert_same((X * multiplier)[0], by_hand(net, start_of(net), expected, expected, expected))


def test_deep_taylor_is_the_z_plus_rule_and_z_box_at_the_pixels() -> None:
    net = Chain()
    result = explain(net, X, "deep_taylor", 1, background=BACKGROUND)
    assert_same(result.values, by_hand(net, start_of(net), box, z_plus, epsilon=EPSILON))
    assert (result.values * result.score).min() >= 0


@pytest.mark.parametrize(("composite", "dense"), [("epsilon_plus", zero), ("z_plus", z_plus)])
def test_contrastive_relevance_is_that_of_the_class_less_that_of_the_others(composite: str, dense: Rule) -> None:
    net = Chain()
    found = explain(net, X, ContrastiveLrp(composite), 1).values
    own = by_hand(net, start_of(net), z_plus, dense, epsilon=EPSILON)
    scores = net(X[None])[0].detach()
    mean = scores[[0, 2, 3]].mean()
    # The mean ends the chain of affine operations for these; the logits do, from one of which a score is read.
    shares = scores / 3 * torch.tensor([1.0, 0, 1, 1]).double() * mean / (mean + EPSILON * mean.sign())
    others = by_hand(net, shares, z_plus, dense, epsilon=EPSILON)
    assert_same(found, own - others * own.sum() / others.sum())


@pytest.mark.parametrize("contrastive", [False, True])
@pytest.mark.parametrize("layer", ["1", "3"])
def test_excitation_is_a_walk_by_excitatory_connections_less_one_from_turned_weights(
    contrastive: bool, layer: str
) -> None:
    net = Chain((2, 3, 3))
    found = explain(net, X, ExcitationBackprop(contrastive), 1, layer=layer).values
    _, (y, w, b), (z, v, c) = net.matrices()
    start = torch.eye(4, dtype=torch.float64)[1]
    walks = [z_plus(z, v, c, start), z_plus(z, -v, -c, start)]
    if layer == "1":
        walks = [z_plus(y, w, b, walk) for walk in walks]
    expected = walks[0] - walks[1] if contrastive else walks[0]
    assert_same(found, expected.view(3, 5, 5).sum(0))


LAYERS = ("branch", "norm")


class Branched(nn.Module):
    """A branch with a normalization beside a way past it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.branch, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.past, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        return self.head(F.relu(self.norm(self.branch(y)) + self.past(y)).mean((2, 3)))


def branched() -> Branched:
    torch.manual_seed(0)
    net = Branched()
    for each in (net.norm.running_mean, net.norm.running_var, net.norm.weight, net.norm.bias):
        nn.init.uniform_(each, 0.5, 1.5)
    return net.eval().double()


def concept_maps(net: nn.Module, layer: str) -> np.ndarray:
    channels = range(4)
    results = [explain(net, X, ConceptRelevance(channel), 1, layer=layer) for channel in channels]
    return np.stack([result.values for result in results])


def test_maps_of_all_channels_of_all_ways_sum_to_that_of_lrp() -> None:
    net = branched()
    whole = torch.from_numpy(explain(net, X, "lrp", 1).values)
    first, norm, past = (concept_maps(net, layer) for layer in ("first", "norm", "past"))
    assert_same(first.sum(0), whole)
    assert_same(norm.sum(0) + past.sum(0), whole)
    assert abs(past.sum(0)).max() > 1e-3 * float(whole.abs().max())


def test_the_most_relevant_channel_is_chosen() -> None:
    net = branched()
    maps = concept_maps(net, "norm")
    found = explain(net, X, "concept_relevance", 1, layer="norm")
    best = int(found.notes[0].split()[1])
    assert np.array_equal(found.values, maps[best])
    # The rule for convolutions keeps what arrives at the branch, but for the stabiliser.
    assert best == int(maps.sum((1, 2, 3)).argmax())


def test_a_convolution_has_the_relevance_of_the_normalization_after_it() -> None:
    net = branched()
    assert np.array_equal(concept_maps(net, "branch"), concept_maps(net, "norm"))
    before, after = (explain(net, X, "excitation_backprop", 1, layer=layer).values for layer in LAYERS)
    assert before.any()
    assert np.array_equal(before, after)
    photos = {"photos": [X, X.flip(2)]}
    patches = [explain(net, X, RelevantPatches(patches=2), 1, layer=layer, concepts=photos) for layer in LAYERS]
    pictures = [[exhibit.pixels for exhibit in each.exhibits] for each in patches]
    assert len(pictures[0]) > 1
    assert all(np.array_equal(first, second) for first, second in zip(*pictures, strict=True))


def test_deep_lift_shap_is_the_mean_of_deep_lift() -> None:
    net, pool = Chain((2, 3, 3)), random(3, *SIZE, seed=4)
    net[3] = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 1, 1))
    result = explain(net, X, DeepLiftShap(), 1, concepts={"background": list(pool)})
    parts = torch.stack([torch.from_numpy(explain(net, X, DeepLift(), 1, background=b).values) for b in pool])
    assert_same(result.values, parts.mean(0))
    assert_same(result.standard_error, parts.std(0) / 3**0.5)
    with torch.no_grad():
        change = net(X[None])[0, 1] - net(pool)[:, 1].mean()
    assert result.values.sum() == pytest.approx(float(change), rel=1e-10)


def test_the_stabiliser_acts_at_the_end_of_a_chain_that_views_follow() -> None:
    class Viewed(Chain):
        """The same chain, with views before its ReLU."""

        def forward(self, x: Tensor) -> Tensor:
            y = self[0](x).flatten(1)
            return self[3](torch.cat([F.relu(y[:, 40:]), F.relu(y[:, :40])], 1).roll(40, 1))

    plain, viewed = (explain(kind(), X, Lrp("epsilon", epsilon=0.1), 1) for kind in (Chain, Viewed))
    assert np.allclose(plain.values, viewed.values, rtol=0, atol=1e-12)
    assert_same(plain.values, by_hand(Chain(), start_of(Chain()), zero, zero, epsilon=0.1))
