"""Cognitron and neocognitron: sizes, the rules by which they learn, and what they have learned afterwards."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.nets.shapes import strokes
from torch import Tensor

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.report.check import check
from convatlas.base.errors import GeneError, SizeError
from convatlas.nets.build import build, skeleton
from convatlas.nets.families.neocognitron import representatives

MOVES = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)]


@pytest.fixture(scope="module")
def digits():
    net = build("neocognitron", seed=0).eval()
    net.learn(strokes("01234"), seed=0)
    return net


def test_neocognitron_has_the_paper_s_sizes():
    net = build("neocognitron").eval()
    found = {name: tuple(one.shape[1:]) for name, one in net.outputs(torch.zeros(1, 1, 16, 16)).items()}
    assert found == {
        "s1": (24, 16, 16),
        "c1": (24, 10, 10),
        "s2": (24, 8, 8),
        "c2": (24, 6, 6),
        "s3": (24, 2, 2),
        "head": (24,),
    }
    assert [net.get_submodule(f"s{n}.cells").selectivity for n in (1, 2, 3)] == [4.0, 1.5, 1.5]
    assert [net.get_submodule(f"s{n}").learning_rate for n in (1, 2, 3)] == [1.0, 16.0, 16.0]
    assert [net.get_submodule(f"s{n}").column for n in (1, 2, 3)] == [5, 5, 2]


def test_neocognitron_measured():
    anatomy = measure("neocognitron")
    assert anatomy.parameters == 24 * 25 + 24 + 2 * (24 * 24 * 25 + 24)
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    assert (anatomy.depth, anatomy.path, anatomy.output, anatomy.activation) == (3, 3, (24,), "S-cells")
    fields = {layer.name: layer.field for layer in anatomy.layers}
    cells = ("s1.cells", "c1.cells", "s2.cells", "c2.cells", "s3.cells", "head.cells")
    assert [fields[name] for name in cells] == [(side, side) for side in (5, 9, 13, 17, 21, 22)]
    assert not check("neocognitron").unexplained


@pytest.mark.parametrize("column", [1, 2, 3, 5])
def test_representatives(column):
    """By brute force: candidates are the strongest of each column, the strongest candidate of a plane remains."""
    u = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(column))
    u = u * (torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(column + 9)) > 0.9)
    candidates = set()
    for top, left in itertools.product(range(6 - column + 1), range(5 - column + 1)):
        places = itertools.product(range(4), range(top, top + column), range(left, left + column))
        strongest = max(places, key=lambda place: float(u[place]))
        if u[strongest] > 0:
            candidates.add(strongest)
    expected = {}
    for place in candidates:
        if u[place] > u[expected.get(place[0], (place[0], *place[1:]))] or place[0] not in expected:
            expected[place[0]] = place
    assert sorted(representatives(u, column)) == sorted(expected.values())
    assert representatives(torch.zeros(4, 6, 5), column) == []


def test_s_cells_learn_by_the_paper_s_rule():
    """a += q c x and b += q v at the representative's place, in its plane alone."""
    net = build("neocognitron", seed=1)
    layer, x = net.s1, strokes("3")
    before = {key: one.clone() for key, one in layer.state_dict().items()}
    u = layer(x)[0]
    chosen = {plane: (row, column) for plane, row, column in representatives(u, 5)}
    with torch.no_grad():
        layer.reinforce(x)
    padded, c = torch.nn.functional.pad(x[0], (2, 2, 2, 2)), layer.inhibit.fixed[0]
    assert 0 < len(chosen) < 24
    for plane in range(24):
        growth = layer.excite.weight[plane] - before["excite.weight"][plane]
        inhibition = float(layer.cells.weight[plane] - before["cells.weight"][plane])
        if plane not in chosen:
            assert not growth.any()
            assert inhibition == 0
            continue
        row, column = chosen[plane]
        seen = padded[:, row : row + 5, column : column + 5]
        torch.testing.assert_close(growth, c * seen, atol=1e-7, rtol=0)
        assert inhibition == pytest.approx(float((c * seen**2).sum().sqrt()), abs=1e-6)


def test_each_pattern_comes_to_have_a_plane_of_its_own(digits):
    """The paper's result: after 20 presentations each of five digits excites one plane, none excites two."""
    with torch.no_grad():
        y = digits(strokes("01234"))
    assert len(set(y.argmax(1).tolist())) == 5
    assert y.max(1).values.min() > 0.5
    assert ((y > 0.1).sum(1) == 1).all()


@pytest.mark.parametrize(("right", "down"), MOVES)
def test_a_pattern_moved_excites_the_same_plane(digits, right, down):
    with torch.no_grad():
        y, moved = digits(strokes("01234")), digits(strokes("01234", right=right, down=down))
    assert moved.argmax(1).tolist() == y.argmax(1).tolist()
    assert moved.max(1).values.min() > 0.5


def test_before_learning_there_is_nothing_to_tell_patterns_apart():
    with torch.no_grad():
        y = build("neocognitron", seed=0)(strokes("01234"))
    assert y.max() < 0.05


def test_similar_letters_are_told_apart():
    """The paper's second experiment."""
    net = build("neocognitron", seed=0).eval()
    net.learn(strokes("XYTZ"), seed=0)
    with torch.no_grad():
        found = [net(strokes("XYTZ", right=right, down=down)).argmax(1).tolist() for right, down in [(0, 0), *MOVES]]
    assert len(set(found[0])) == 4
    assert all(one == found[0] for one in found)


def test_learning_is_a_function_of_the_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    nets = [build("neocognitron", seed=0) for _ in range(3)]
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        net.learn(strokes("01XT"), rounds=3, seed=seed)
    one, same, other = (torch.cat([weight.flatten() for weight in net.parameters()]) for net in nets)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())
    assert all(weight.requires_grad and weight.grad is None for weight in nets[0].parameters())


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_other_poolings_in_the_c_cells_place(pooling):
    net = build("neocognitron", seed=0, genes={"pooling": pooling}).eval()
    net.learn(strokes("01XT"), seed=0)
    with torch.no_grad():
        y, moved = net(strokes("01XT")), net(strokes("01XT", right=1))
    assert y.shape == (4, 24)
    assert len(set(y.argmax(1).tolist())) >= 3
    assert (y.argmax(1) == moved.argmax(1)).float().mean() >= 0.75


def test_neocognitron_s_other_sizes_and_refusals():
    net = build("neocognitron", classes=7, size=(20, 23), channels=3)
    assert net(torch.rand(2, 3, 20, 23)).shape == (2, 7)
    with pytest.raises(GeneError, match=r"pooling=max does not fit neocognitron at 20 x 23; these do: published$"):
        skeleton("neocognitron", size=(20, 23), genes={"pooling": "max"})
    with pytest.raises(GeneError, match=r"neocognitron has no activation to swap; it has pooling$"):
        skeleton("neocognitron", genes={"activation": "relu"})
    with pytest.raises(SizeError, match="the smallest it takes is 15 x 15"):
        skeleton("neocognitron", size=14)


def test_cognitron_measured():
    anatomy = measure("cognitron")
    assert anatomy.parameters == 3 * 144 * 26
    assert (anatomy.depth, anatomy.path, anatomy.output) == (3, 3, (144,))
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    assert not check("cognitron").unexplained


def test_cognitron_s_cells_learn_if_none_around_fires_more():
    """One step, cell by cell: the strongest of its vicinity learns much, all learn a little where none fires."""
    net = build("cognitron", seed=0)
    cells, x, row = net.layer1.cells, strokes("2", 12), net.config
    with torch.no_grad():
        # Some have learned to be silent.
        cells.inhibition[:50] = 10.0
        before, inhibition = cells.weight.clone(), cells.inhibition.clone()
        u, seen = cells(x)[0, 0], cells.windows(x)[0]
        net._reinforce(cells, x)
    kinds = []
    for r, c in itertools.product(range(12), range(12)):
        number, patch = 12 * r + c, seen[:, 12 * r + c]
        around = u[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2]
        v, square = float((cells.fixed * patch).sum()), float((cells.fixed * patch**2).sum())
        if around.max() == 0:
            kind, growth, inhibited = "idle", row.idle_rate * cells.fixed * patch, row.idle_rate * v
        elif u[r, c] == around.max():
            kind, growth, inhibited = (
                "won",
                row.learning_rate * cells.fixed * patch,
                row.learning_rate * square / (2 * v),
            )
        else:
            kind, growth, inhibited = "lost", 0 * patch, 0.0
        kinds.append(kind)
        torch.testing.assert_close(cells.weight[number] - before[number], growth, atol=1e-6, rtol=0)
        assert float(cells.inhibition[number] - inhibition[number]) == pytest.approx(inhibited, abs=1e-5)
    assert set(kinds) == {"idle", "won", "lost"}


def similar(y: Tensor) -> Tensor:
    """The cosines between all pairs of rows."""
    y = torch.nn.functional.normalize(y.flatten(1), dim=1)
    rows, columns = torch.triu_indices(len(y), len(y), 1)
    return (y @ y.T)[rows, columns]


@pytest.mark.parametrize("seed", range(3))
def test_cognitron_answers_patterns_apart(seed):
    """Every digit is answered strongly, and differently: the answers are less alike than the patterns."""
    x, net = strokes("01234", 12), build("cognitron", seed=seed).eval()
    with torch.no_grad():
        assert net(x).max() < 0.05
        net.learn(x, seed=seed)
        y = net(x)
    assert y.max(1).values.min() > 0.8
    assert similar(y).mean() < similar(x).mean()
    assert similar(y).max() < 0.8


def test_cognitron_does_not_know_a_pattern_elsewhere(digits):
    """What the neocognitron was made for: a pattern moved by one pixel is another one to the cognitron."""
    x, moved = strokes("01234", 12), strokes("01234", 12, right=1)
    net = build("cognitron", seed=0).eval()
    net.learn(x)
    with torch.no_grad():
        kept = torch.nn.functional.cosine_similarity(net(x), net(moved))
        new = digits(strokes("01234")), digits(strokes("01234", right=1))
    assert kept.mean() < 0.6
    assert torch.nn.functional.cosine_similarity(*new).min() > 0.99


@pytest.mark.parametrize(("classes", "grid"), [(144, (12, 12)), (7, (1, 7)), (10, (2, 5)), (1, (1, 1))])
def test_cognitron_s_last_layer_has_as_many_cells_as_are_asked_for(classes, grid):
    net = build("cognitron", classes=classes, size=(9, 11), channels=2)
    assert net.head.cells.grid == grid
    assert net(torch.rand(2, 2, 9, 11)).shape == (2, classes)


def test_cognitron_has_no_genes():
    with pytest.raises(GeneError, match=r"cognitron has no pooling to swap; it has none$"):
        skeleton("cognitron", genes={"pooling": "max"})
