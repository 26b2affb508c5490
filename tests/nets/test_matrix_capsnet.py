"""Matrix capsules with EM routing: counts, shapes, fields, loss, and that they learn."""

from __future__ import annotations

import pytest
import torch
from tests.nets.shapes import bars_and_rings

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.parameters import depth, parameters
from convatlas.anatomy.report.check import check
from convatlas.base.errors import GeneError, SizeError
from convatlas.genes.matrix_capsules import POSE
from convatlas.nets.build import build, skeleton
from convatlas.nets.families.matrix_capsnet import Config, MatrixCapsNet, spread_loss
from convatlas.nets.initialize import initialize

ROWS = {"matrix_capsnet": (32, 32, 32, 32), "matrix_capsnet_small": (64, 8, 16, 16)}


@pytest.mark.parametrize(("name", "total"), [("matrix_capsnet", 316_650), ("matrix_capsnet_small", 68_618)])
def test_counts(name, total):
    a, b, c, d = ROWS[name]
    net = skeleton(name)
    assert parameters(net.conv)[0] == 25 * 2 * a + a
    assert parameters(net.primary)[0] == a * b * 17
    assert parameters(net.conv_capsules1)[0] == 9 * b * c * 16 + 2 * c
    assert parameters(net.conv_capsules2)[0] == 9 * c * d * 16 + 2 * d
    assert parameters(net.class_capsules)[0] == d * 5 * 16 + 2 * 5
    assert parameters(net) == (total, total)
    assert depth(net) == 5
    assert not check(name).unexplained


def test_measured():
    anatomy = measure("matrix_capsnet")
    assert (anatomy.path, anatomy.output) == (5, (5,))
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    rows = {layer.name: layer for layer in anatomy.layers}
    assert rows["primary.capsules"].output == (32, 17, 14, 14)
    assert rows["conv_capsules1.routing"].output == (32, 17, 6, 6)
    assert rows["conv_capsules2.routing"].output == (32, 17, 4, 4)
    assert rows["class_capsules.routing"].output == (5, 17, 1, 1)
    for name, field, stride in (("primary.conv", 5, 2), ("conv_capsules1.routing", 9, 4), ("head.activations", 29, 4)):
        assert (rows[name].field, rows[name].field_stride) == ((field, field), (stride, stride))
    votes = 36 * 9 * 32 * 32
    assert rows["conv_capsules1.votes"].macs == votes * 4 * 16
    assert rows["conv_capsules1.routing"].macs == votes * 16 * (3 * 3 - 1)
    assert rows["conv_capsules1.routing"].inputs == (5, 4)


def test_outputs():
    net = build("matrix_capsnet_small", size=24).eval()
    x = torch.randn(3, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    outputs = net.outputs(x)
    assert list(outputs) == [*(name for name, _ in net.named_children()), "poses"]
    assert outputs["poses"].shape == (3, 5, POSE)
    assert torch.equal(outputs["head"], net(x))
    assert torch.equal(outputs["head"], outputs["class_capsules"][:, :, POSE, 0, 0])
    assert torch.equal(outputs["poses"], outputs["class_capsules"][:, :, :POSE, 0, 0])
    torch.testing.assert_close(net(x[1:2])[0], outputs["head"][1], atol=1e-5, rtol=1e-4)


def test_it_starts_where_it_can_learn():
    """About half of the capsules are active in every layer, and classes differ."""
    net = build("matrix_capsnet").eval()
    with torch.no_grad():
        outputs = net.outputs(torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert outputs["head"].std(1).min() > 0.01
    for name in ("primary", "conv_capsules1", "conv_capsules2", "class_capsules"):
        activations = outputs[name][:, :, POSE]
        assert 0.2 < activations.mean() < 0.8, name
        assert activations.std() > 0.01, name


def test_coordinates_are_the_centres_of_the_receptive_fields():
    """Pixels further than half a field from the centre of a capsule's row reach none of the rows that it reads."""
    net = build("matrix_capsnet_small").eval()
    heights, widths = net.class_capsules.votes.centres
    assert heights == widths == [8.5 / 32, 12.5 / 32, 16.5 / 32, 20.5 / 32]
    field = measure("matrix_capsnet_small").layers[7].field[0]
    assert field == 17
    x = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    for place, centre in enumerate(heights):
        other = x.clone()
        other[:, :, int(32 * centre) + field // 2 + 1 :] += 1
        # Votes tell what a place can see: in routing, neighbours compete.
        votes = [net.conv_capsules1.votes(net.primary(net.conv(one))) for one in (x, other)]
        changed = (votes[0] != votes[1]).flatten(2).any(2)[0].view(6, 6).any(1)
        assert changed.tolist() == [row > place + 2 for row in range(6)]


def test_spread_loss():
    activations = torch.rand(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([4, 0, 2, 2])
    for margin in (0.2, 0.9):
        expected = 0.0
        for n in range(4):
            for k in range(5):
                if k != labels[n]:
                    expected += max(0, margin - float(activations[n, labels[n]] - activations[n, k])) ** 2 / 4
        assert float(spread_loss(activations, labels, margin)) == pytest.approx(expected, rel=1e-12)
    assert spread_loss(torch.tensor([[1.0, 0.05]]), torch.tensor([0]), 0.9) == 0


def test_the_margin_grows():
    net, x = build("matrix_capsnet_small", size=24), torch.randn(2, 2, 24, 24)
    outputs, labels = net.outputs(x), torch.tensor([1, 3])
    for progress, margin in ((0.0, 0.2), (0.5, 0.55), (1.0, 0.9)):
        expected = spread_loss(outputs["head"], labels, margin)
        torch.testing.assert_close(net.loss(outputs, x, labels, progress), expected)


def test_it_learns():
    row = Config(8, 4, 6, 6)
    net = MatrixCapsNet(row, MatrixCapsNet.default_genome(row), 3, 1, (18, 18)).train()
    initialize(net, 0)
    x, labels = bars_and_rings(24, 18)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(25):
        loss = net.loss(net.outputs(x), x, labels, step / 25)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (net(x).argmax(1) == labels).float().mean() > 0.9


def test_the_number_of_photos_stays_free_in_an_exported_graph():
    row = Config(4, 2, 2, 2, 2)
    net = MatrixCapsNet(row, MatrixCapsNet.default_genome(row), 3, 1, (18, 18)).eval()
    initialize(net, 0)
    x = torch.randn(5, 1, 18, 18)
    batch = torch.export.Dim("batch", min=1, max=64)
    graph = torch.export.export(net, (x[:3],), dynamic_shapes=({0: batch},)).module()
    for photos in (x, x[:1]):
        assert torch.equal(graph(photos), net(photos))


def test_genes_and_refusals():
    assert skeleton("matrix_capsnet", genes={"iterations": 2}).class_capsules.routing.steps == 2
    with pytest.raises(GeneError, match=r"routing=dynamic does not fit matrix_capsnet_small at 32 x 32; these do: em$"):
        skeleton("matrix_capsnet_small", genes={"routing": "dynamic"})
    with pytest.raises(GeneError, match="matrix_capsnet has no decoder to swap"):
        skeleton("matrix_capsnet", genes={"decoder": "dense"})
    with pytest.raises(SizeError, match="the smallest it takes is 17 x 17"):
        skeleton("matrix_capsnet", size=16)
