"""The paired test is Student's where that holds, a closed form in small, and honest about its errors; so is Holm's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from convatlas.studies.paired import difference, holm, interval


def test_of_one_seed_it_is_the_paired_t_test_over_photos():
    random = np.random.default_rng(0)
    first, second = random.random((1, 400)) < 0.9, random.random((1, 400)) < 0.85
    peer = stats.ttest_rel(100.0 * first[0], 100.0 * second[0])
    ours = difference(first, second)
    low, high = peer.confidence_interval(0.95)
    assert ours.p == pytest.approx(peer.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9)


def test_if_photos_add_nothing_it_is_the_paired_t_test_over_seeds():
    # Seed i is wrong on i photos, all different: no photo is harder than the others by more than chance.
    first = np.ones((3, 600), bool)
    second = np.ones((3, 600), bool)
    for seed, wrong in enumerate((20, 30, 55)):
        second[seed, 100 * seed : 100 * seed + wrong] = False
    peer = stats.ttest_rel(100 * first.mean(1), 100 * second.mean(1))
    ours = difference(first, second)
    assert ours.p == pytest.approx(peer.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx(tuple(peer.confidence_interval(0.95)), rel=1e-9)


def test_a_closed_form():
    """Two seeds, four photos: mean squares by hand."""
    first = np.array([[1, 1, 1, 1], [1, 1, 1, 1]], bool)
    second = np.array([[0, 0, 1, 1], [0, 0, 0, 1]], bool)
    # Differences 1 1 0 0 and 1 1 1 0: means of seeds 1/2 and 3/4, of photos 1, 1, 1/2, 0; the mean of all 5/8.
    by_seed = 4 * 2 * (1 / 8) ** 2
    by_photo = 2 * (2 * (3 / 8) ** 2 + (1 / 8) ** 2 + (5 / 8) ** 2) / 3
    rest = (6 * (1 / 8) ** 2 + 2 * (3 / 8) ** 2) / 3
    total = by_seed + by_photo - rest
    freedom = (total / by_seed) ** 2
    ours = difference(first, second)
    assert ours.mean == pytest.approx(62.5)
    assert ours.high - ours.mean == pytest.approx(100 * stats.t.ppf(0.975, freedom) * (total / 8) ** 0.5)
    assert ours.p == pytest.approx(2 * stats.t.sf(5 / 8 / (total / 8) ** 0.5, freedom))


def test_equal_nets_do_not_differ():
    same = np.random.default_rng(1).random((3, 50)) < 0.8
    assert difference(same, same).p == 1
    assert difference(same, same).mean == 0
    assert difference(np.ones((2, 5), bool), np.zeros((2, 5), bool)).p == 0


@pytest.mark.sweep
@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 3), (0.3, 3), (0.3, 5)])
def test_errors_are_as_rare_as_they_should_be(spread, seeds):
    """Of pairs without a true difference, each with its own seeds and photos, about one in twenty seems to differ."""
    random = np.random.default_rng(7)
    p = []
    for _ in range(400):
        hard = random.normal(1.5, 1.0, 300)
        pair = [
            random.random((seeds, 300)) < stats.norm.cdf(hard + random.normal(0, spread, (seeds, 1))) for _ in range(2)
        ]
        p.append(difference(*pair).p)
    assert np.mean(np.array(p) <= 0.05) < 0.085


def test_the_interval_of_a_mean():
    values = [98.1, 98.4, 98.2]
    assert interval(values) == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values)))
    assert interval([98.0]) is None


def test_holm_by_closed_testing():
    """A hypothesis falls if all sets that hold it fall by Bonferroni: Holm's corrected p is the largest of theirs."""
    random = np.random.default_rng(3)
    for count in (1, 2, 5):
        p = (random.random(count) ** 3).tolist()
        sets = [set(each) for size in range(1, count + 1) for each in itertools.combinations(range(count), size)]
        brute = [
            min(1.0, max(len(each) * min(p[i] for i in each) for each in sets if index in each))
            for index in range(count)
        ]
        assert holm(p) == pytest.approx(brute)
    assert holm([]) == []
    assert holm([0.01, 0.01, 0.04]) == pytest.approx([0.03, 0.03, 0.04])
