"""Probes that make pictures: planted filters, units, concepts and directions are found, and nothing else is changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.images.samples import sample
from convatlas.probes.activation._canvas import Canvas
from convatlas.probes.activation._natural import colours, spectrum
from convatlas.probes.activation.activation_maximisation import ActivationMaximisation
from convatlas.probes.activation.deep_dream import DeepDream, balanced
from convatlas.probes.activation.feature_inversion import FeatureInversion
from convatlas.probes.activation.maco import Maco, magnitudes, of_phase
from convatlas.probes.activation.maximal_patches import MaximalPatches
from convatlas.probes.activation.relevant_patches import RelevantPatches
from convatlas.probes.concept._nmf import coefficients, factorised
from convatlas.probes.concept._student import p_value, two_sided
from convatlas.probes.concept.craft import Craft
from convatlas.probes.concept.deep_feature_factorisation import DeepFeatureFactorisation
from convatlas.probes.concept.network_dissection import NetworkDissection
from convatlas.probes.concept.tcav import Tcav, separating
from convatlas.probes.explain import explain
from convatlas.probes.gallery.gallery import Gallery
from convatlas.probes.report import write
from convatlas.probes.subject import Subject
from convatlas.probes.targets import targets_of
from tests.probes.nets import Custom, Functional


def noise(count: int, channels: int = 3, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Planted(nn.Module):
    """One filter that answers to a cross, beside one that answers to brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 2, 3, bias=False), nn.ReLU()
        with torch.no_grad():
            cross = torch.tensor([[-1.0, 1, -1], [1, 1, 1], [-1, 1, -1]])
            self.conv.weight.copy_(torch.stack([cross, torch.ones(3, 3)])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)).mean((2, 3))


def planted() -> nn.Module:
    return Planted().eval().double()


def with_cross(x: Tensor, row: int, column: int) -> Tensor:
    x = x.clone()
    x[0, row : row + 3, column : column + 3] = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])
    return x


class Scores(nn.Module):
    """A 1 × 1 convolution and the mean of its maps, weighted."""

    def __init__(self, weight: Tensor, head: Tensor):
        super().__init__()
        self.mix = nn.Conv2d(weight.shape[1], len(weight), 1, bias=False)
        self.head = nn.Linear(head.shape[1], len(head), bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(weight[:, :, None, None])
            self.head.weight.copy_(head)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(x).mean((2, 3)))


def scores(weight: Tensor, head: Tensor) -> nn.Module:
    return Scores(weight, head).eval().double()


def test_a_planted_filter_is_maximised_by_its_pattern() -> None:
    """The input for one unit is the sign of its filter: white where the weight is positive, black elsewhere."""
    net = planted()
    x = noise(1, 1, 3)[0]
    x[0, 0, 0], x[0, 2, 2] = 0.0, 1.0
    probe = ActivationMaximisation(fourier=False, decorrelated=False, jitter=0, zoom=0, turn=0, steps=40)
    result = explain(net, x, probe, 0)
    low, high = x.min(), x.max()
    expected = torch.where(net.conv.weight[0] > 0, high, low)
    assert np.allclose(result.arrays["inputs"][-1, 0], expected.detach().numpy()[0], atol=1e-6)
    assert result.numbers["value"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    "probe",
    [ActivationMaximisation(jitter=0, zoom=0, turn=0, steps=60), Maco(steps=60, smallest=1, largest=1, noise=0)],
    ids=["frequencies", "phases"],
)
def test_frequencies_and_phases_approach_the_pattern(probe: Any) -> None:
    net, x = planted(), noise(1, 1, 3)[0]
    result = explain(net, x, probe, 0)
    pattern, kernel = result.arrays["inputs"][-1, 0].ravel(), net.conv.weight[0, 0].detach().numpy().ravel()
    assert np.corrcoef(pattern, kernel)[0, 1] > 0.7


def test_a_silent_channel_is_climbed_before_its_relu() -> None:
    net = planted()
    net.conv.weight.data[1] = -1.0
    probe = ActivationMaximisation(channel=1, fourier=False, jitter=0, zoom=0, turn=0, steps=40)
    result = explain(net, noise(1, 1, 8)[0] + 0.5, probe, 0, layer="act")
    assert result.arrays["inputs"][-1].max() == pytest.approx(result.arrays["inputs"][-1].min(), abs=1e-6)
    assert result.layer == "act"


def test_inversion_recovers_the_photo_behind_an_invertible_layer() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    net = scores(weight, torch.ones(2, 3))
    x = noise(1, side=8)[0]
    probe = FeatureInversion(fourier=False, decorrelated=False, alpha=0, tv=0, steps=200)
    result = explain(net, x, probe, 0, layer="mix")
    assert np.abs(result.arrays["inputs"][0] - x.numpy()).max() < 1e-2
    assert result["mix"].numbers["distance"] < 1e-2


def test_a_dream_climbs() -> None:
    net, x = planted(), noise(1, 1, 16)[0]
    result = explain(net, x, DeepDream(steps=8), 0, layer="act")
    assert result.numbers["value"] > 2 * result.numbers["photo"]
    assert len(result) == 3


def test_bands_are_scaled() -> None:
    gradient = noise(1, side=32) - 0.5
    gradient += 100 * torch.linspace(-1, 1, 32, dtype=torch.float64)
    assert float(balanced(gradient, 4).std()) == pytest.approx(1.0)
    assert torch.allclose(balanced(gradient, 1), gradient / gradient.std(), rtol=1e-5)


def test_a_canvas_begins_with_the_photo() -> None:
    net, x = planted(), noise(1, 1, 8)
    subject = Subject(net, x, targets_of(0, net, net(x), (x.shape[2], x.shape[3])), torch.zeros_like(x))
    for fourier in (True, False):
        image = Canvas.like(subject, fourier, True, x).image().detach()
        assert float((image - x).abs().max()) < 2e-3


def test_magnitudes_are_those_of_photos_and_stay() -> None:
    net, x = scores(torch.eye(3), torch.ones(2, 3)), noise(1, side=32)
    subject = Subject(net, x, targets_of(0, net, net(x), (x.shape[2], x.shape[3])), torch.zeros_like(x))
    magnitude = magnitudes(subject)
    phase = 6 * (noise(1, side=32, seed=5)[0, :, :, :17] - 0.5)
    eye = torch.eye(3, dtype=torch.float64)
    pixels = torch.logit(of_phase(phase, magnitude, eye, (32, 32)))[0] / 4
    again = torch.fft.rfft2(pixels, norm="ortho").abs()
    # The first and last columns are their own mirror images, for which a phase of its own cannot be kept.
    assert torch.allclose(again[:, :, 1:-1], magnitude[:, :, 1:-1], atol=1e-9)
    power = spectrum(32, 32, 3)
    assert (power[:, 0, 1] > 4 * power[:, 0, 12]).all()
    assert spectrum(32, 32, 1).shape == (1, 32, 17)


def test_colours_of_photos_are_correlated() -> None:
    matrix = colours(3)
    covariance = matrix @ matrix.T
    assert covariance[0, 1] > 0.5 * covariance[0, 0] > 0
    assert np.allclose(colours(3, "bgr"), matrix[::-1, ::-1])
    assert (colours(1) == np.eye(1)).all()


def test_patches_are_cut_where_the_filter_answers() -> None:
    net = planted()
    dark = torch.zeros(1, 12, 12, dtype=torch.float64) + 0.1 * noise(1, 1, 12)[0]
    photos = [with_cross(dark, 2, 7), 0.9 * with_cross(dark, 6, 1), dark]
    result = explain(net, photos[2], MaximalPatches(channel=0, patches=2), 0, concepts={"photos": photos[:2]})
    assert [(each.numbers["row"], each.numbers["column"], each.numbers["photo"]) for each in result.exhibits] == [
        (2, 7, 1),
        (6, 1, 2),
    ]
    assert result[0].pixels.shape == (3, 3, 3)
    assert (result[0].pixels[:, :, 0] > 128).tolist() == (net.conv.weight[0, 0] > 0).tolist()
    assert result[0].numbers["value"] == pytest.approx(5.0)


def test_relevance_ranks_patches_by_what_they_contribute() -> None:
    """Of two channels with the same maps, the one with the larger weight contributes in proportion to it."""
    net = scores(torch.ones(2, 1), torch.tensor([[1.0, 3.0]]))
    photos = noise(3, 1, 6)
    result = explain(
        net, photos[0], RelevantPatches(channels=2, patches=3), 0, layer="mix", concepts={"photos": photos[1:]}
    )
    assert [each.row for each in result.exhibits] == ["Channel 1 of mix"] * 3 + ["Channel 0 of mix"] * 3
    values = [each.numbers["value"] for each in result.exhibits]
    assert values[:3] == pytest.approx([3 * value for value in values[3:]])
    assert values[0] == pytest.approx(3 * float(photos.max()) / 36)


@pytest.mark.parametrize("seed", [0, 1])
def test_factors_rebuild_a_matrix_of_their_rank(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    u, w = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((40, 3), (3, 9)))
    strength, directions = factorised(u @ w, 3, seed, rounds=2000)
    assert float((strength @ directions - u @ w).norm() / (u @ w).norm()) < 1e-3
    assert bool((strength >= 0).all())
    assert bool((directions >= 0).all())
    assert torch.allclose(directions.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(coefficients(u @ w, w, 2000), u, atol=1e-6)
    assert torch.equal(factorised(u @ w, 3, seed)[0], factorised(u @ w, 3, seed)[0])


def parted(side: int = 8) -> Tensor:
    """A photo whose left half is red and whose right half is green."""
    x = torch.zeros(3, side, side, dtype=torch.float64)
    x[0, :, : side // 2], x[1, :, side // 2 :] = 1.0, 1.0
    return x


def test_factorisation_parts_a_photo_as_its_colours() -> None:
    net = scores(torch.eye(3), torch.ones(2, 3))
    result = explain(net, parted(), DeepFeatureFactorisation(factors=2), 0, layer="mix")
    left, right = sorted(result.arrays["maps"][0], key=lambda heat: -heat[0, 0])
    assert (left[:, :4] > 0.99).all()
    assert (left[:, 4:] < 0.01).all()
    assert (right[:, 4:] > 0.99).all()
    assert result.numbers["missing"] < 1e-3


def test_craft_finds_the_concept_that_the_score_reads() -> None:
    """The score reads red alone, which is one of two concepts: its total Sobol index is 1, that of green 0."""
    net = scores(torch.eye(3), torch.tensor([[1.0, 0, 0]]))
    result = explain(net, parted(16), Craft(factors=2, crop=0.25), 0, layer="mix")
    assert result.arrays["importance"][0] == pytest.approx(1.0, abs=0.35)
    assert result.arrays["importance"][1] == pytest.approx(0.0, abs=1e-3)
    assert result.arrays["concepts"][0].argmax() == 0
    heat = result.arrays["maps"][0]
    assert heat[:, :8].min() > 10 * heat[:, 8:].max()


def test_dissection_finds_the_planted_unit() -> None:
    """The brightness channel marks the bright square; by its mask the IoU is 1."""
    net = scores(torch.tensor([[0.0, 0, 1], [1.0, 0, 0], [0.0, 1, 0]]), torch.ones(2, 3))
    photos, masks = 0.5 * noise(3), torch.zeros(3, 16, 16)
    for number, mask in enumerate(masks):
        mask[2 + number : 6 + number, 3:9] = 1
        photos[number, 0][mask > 0] = 1.0
    examples = [(photo, mask.numpy()) for photo, mask in zip(photos, masks, strict=True)]
    share = float(masks.mean())
    result = explain(
        net, photos[0], NetworkDissection(top=share * 1.0001, units=1), 0, layer="mix", concepts={"square": examples}
    )
    assert result.numbers["square: unit"] == 1
    assert result.numbers["square: IoU"] == pytest.approx(1.0, abs=0.02)
    assert result.arrays["overlap"][0, [0, 2]].max() < 0.2


def test_masks_of_photos_are_seen_as_the_net_sees_the_photo() -> None:
    import convatlas as ca
    from convatlas.images.decoding import read
    from convatlas.probes.photos import concepts_of, input_of

    net = ca.load("efficientnet_lite0")
    pixels = read(sample("chelsea"))
    mask = np.zeros(pixels.shape[:2], bool)
    mask[60:200, 100:220] = True
    x, _ = input_of(net, pixels)
    painted = np.where(mask[:, :, None], 255, 0).astype(np.uint8) * np.ones(3, np.uint8)
    _, masks = concepts_of(net, {"part": [(pixels, mask)]}, x)
    expected = net.preprocess(painted)[0] > 0
    assert float((masks["part"][0] == expected).double().mean()) > 0.98


def concept_photos(direction: int, count: int, seed: int) -> Tensor:
    photos = noise(count, 4, 4, seed)
    photos[:, direction] += 1.0
    return photos


def test_tcav_of_a_planted_direction_is_one_and_significant() -> None:
    net = scores(torch.eye(4), torch.tensor([[1.0, 0.0, 0.0, -1.0]]))
    x = noise(12, 4, 4, 9)
    concepts = {
        "used": concept_photos(0, 12, 1),
        "against": concept_photos(3, 12, 2),
        "photos": x[1:],
        "random": noise(24, 4, 4, 3),
    }
    result = explain(net, x[0], Tcav(), 0, layer="mix", concepts=concepts)
    assert result.numbers["used: score"] == 1.0
    assert result.numbers["against: score"] == 0.0
    assert result.numbers["used: corrected"] < 0.05
    assert result.numbers["against: corrected"] < 0.05
    assert result.numbers["used: accuracy"] > 0.95


def test_tcav_of_random_concepts_is_not_significant() -> None:
    net = scores(torch.eye(4), torch.tensor([[1.0, 0.0, 0.0, -1.0]]))
    x = noise(12, 4, 4, 9)
    significant = 0
    for seed in range(6):
        concepts = {"nothing": noise(12, 4, 4, 100 + seed), "photos": x[1:], "random": noise(24, 4, 4, 50 + seed)}
        result = explain(net, x[0], Tcav(), 0, layer="mix", concepts=concepts, seed=seed)
        significant += result.numbers["nothing: corrected"] < 0.05
    assert significant <= 1


def test_the_direction_is_that_of_a_ridge_classifier() -> None:
    """Closed form in the primal: (Σ w (x − x̄)(x − x̄)ᵀ + λ)⁻¹ Σ w (x − x̄)(y − ȳ)."""
    positive, negative = noise(5, 1, 2, 1).flatten(1), noise(9, 1, 2, 2).flatten(1)
    x = torch.cat([positive, negative])
    w = torch.cat([torch.full((5,), 0.1), torch.full((9,), 0.5 / 9)]).double()
    y = torch.cat([torch.ones(5), -torch.ones(9)]).double()
    centred = x - w @ x
    moment = (centred * w[:, None]).T @ centred
    expected = torch.linalg.solve(
        moment + 0.1 * moment.trace() * torch.eye(4, dtype=torch.float64), (centred * w[:, None]).T @ (y - w @ y)
    )
    assert torch.allclose(separating(positive, negative, 0.1), expected / expected.norm())


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [
        (1.0, 1.0, 0.5),
        (2.0, 2.0, 1 - 2 / math.sqrt(6)),
        (2.228138852, 10.0, 0.05),
        (2.845339710, 20.0, 0.01),
        (0.0, 7.5, 1.0),
    ],
)
def test_student(t: float, freedom: float, p: float) -> None:
    """Closed forms of 1 and 2 degrees of freedom, and tables."""
    assert two_sided(t, freedom) == pytest.approx(p, rel=1e-6)


def test_equal_samples_do_not_differ() -> None:
    assert p_value([0.5, 0.5], [0.5, 0.5, 0.5]) == 1.0
    assert p_value([1.0, 1.0], [0.5, 0.5, 0.5]) == 0.0
    assert p_value([0.1, 0.5, 0.3], [0.2, 0.4, 0.3]) == pytest.approx(1.0)


QUICK: dict[str, Callable[[], Any]] = {
    "activation_maximisation": lambda: ActivationMaximisation(steps=3),
    "channel": lambda: ActivationMaximisation(steps=3, channel=1),
    "maco": lambda: Maco(steps=3),
    "deep_dream": lambda: DeepDream(steps=3),
    "feature_inversion": lambda: FeatureInversion(steps=3),
    "maximal_patches": MaximalPatches,
    "relevant_patches": lambda: RelevantPatches(composite="epsilon"),
    "deep_feature_factorisation": lambda: DeepFeatureFactorisation(factors=2),
    "craft": lambda: Craft(factors=2, designs=4),
    "tcav": lambda: Tcav(runs=3),
    "network_dissection": NetworkDissection,
}


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("kind", [Functional, Custom])
def test_seeds_and_the_net(name: str, kind: type[nn.Module], tmp_path: Path) -> None:
    """Nets with functional, scripted and custom parts give the same twice, and are left as they were."""
    torch.manual_seed(0)
    net = kind().double().train()
    if kind is Custom:
        net.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x, photos = noise(1, side=12)[0], noise(5, side=12, seed=1)
    concepts: dict[str, Any] = {"photos": photos}
    if name == "tcav":
        concepts |= {"a": photos[:3], "random": noise(6, side=12, seed=2)}
    if name == "network_dissection":
        concepts = {"a": [(photo, np.eye(12)) for photo in photos]}
    random = torch.get_rng_state()
    first, second = (explain(net, x, QUICK[name](), 2, concepts=concepts) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), random)
    assert isinstance(first, Gallery)
    assert first.to_json() == second.to_json()
    assert all((a.pixels == b.pixels).all() for a, b in zip(first.exhibits, second.exhibits, strict=True))
    assert net.training == (kind is Functional)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert len({exhibit.name for exhibit in first.exhibits}) == len(first)
    assert len(repr(first)) <= 200
    again = Gallery.load(first.save(tmp_path / "gallery.npz"))
    assert again.to_json() == first.to_json()
    assert all((a.pixels == b.pixels).all() for a, b in zip(first.exhibits, again.exhibits, strict=True))
    assert first.arrays.keys() == again.arrays.keys()
    for ending in ("png", "html"):
        assert write([first], tmp_path / f"gallery.{ending}").stat().st_size > 1000


class Forked(nn.Module):
    """A net that computes in another way for dark inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (y if bool(x.mean() > 0.35) else y.square()).mean((2, 3))


def test_a_net_that_takes_another_way_is_refused() -> None:
    torch.manual_seed(0)
    net = Forked().eval().double()
    with pytest.raises(ConvAtlasError, match="computes in another way"):
        explain(net, noise(1, 1, 8)[0] ** 4, FeatureInversion(steps=1, alpha=0), 0)


@pytest.mark.parametrize(
    ("probe", "concepts", "text"),
    [
        (ActivationMaximisation(steps=0), {}, "steps is a whole number of 1 or more"),
        (ActivationMaximisation(channel=9), {}, "has channels 0 to 1; got 9"),
        (ActivationMaximisation(start="here"), {}, "start is noise or photo"),
        (MaximalPatches(channel=-1), {}, "has channels 0 to 1; got -1"),
        (MaximalPatches(), {"photos": []}, "a folder or a list of photos"),
        (MaximalPatches(), {"photos": "nowhere"}, "a folder or a list of photos"),
        (MaximalPatches(), {"photos": [torch.rand(1, 5, 5)]}, "has the shape"),
        (NetworkDissection(), {"a": [torch.rand(1, 8, 8)]}, "needs photos with masks"),
        (NetworkDissection(), {"a": [(torch.rand(1, 8, 8), np.ones((3, 3)))]}, "the size of its photo"),
        (NetworkDissection(), {"a": [(torch.rand(1, 8, 8), np.ones((8, 8))), torch.rand(1, 8, 8)]}, "masks for 1 of 2"),
        (Tcav(), {}, "needs concepts"),
        (Tcav(), {"a": [torch.rand(1, 8, 8)] * 2}, "4 or more photos of no concept"),
        (Tcav(), {"a": [torch.rand(1, 8, 8)], "random": [torch.rand(1, 8, 8)] * 4}, "2 or more photos"),
        (Craft(crop=1.0), {}, "1 crops have no 6 concepts"),
        (Maco(smallest=0.9, largest=0.5), {}, "largest is a number from 0.9 to 1"),
    ],
)
def test_errors_say_what_is_allowed(probe: Any, concepts: dict[str, Any], text: str) -> None:
    with pytest.raises(ConvAtlasError, match=text):
        explain(planted(), noise(1, 1, 8)[0], probe, 0, concepts=concepts)


def test_other_files_are_no_galleries(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK")
    for path in (tmp_path / "a.npz", tmp_path / "none.npz"):
        with pytest.raises(ConvAtlasError):
            Gallery.load(path)
    result = explain(planted(), noise(1, 1, 8)[0], MaximalPatches(), 0)
    with pytest.raises(ConvAtlasError, match=r"\.npz, \.png or \.svg"):
        result.save(tmp_path / "gallery.txt")
    with pytest.raises(ConvAtlasError, match="has no picture"):
        result["cat"]


@pytest.mark.parametrize("probe", ["maco", "activation_maximisation"])
def test_a_layer_without_a_channel_is_refused(probe: str) -> None:
    with pytest.raises(ConvAtlasError, match="without a channel the score is climbed"):
        explain(planted(), noise(1, 1, 8)[0], probe, 0, layer="act")
