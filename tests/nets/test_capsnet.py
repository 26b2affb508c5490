"""CapsNet: its counts, what it puts out, its loss, its genes, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.nets.shapes import bars_and_rings

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.parameters import parameters
from convatlas.anatomy.report.check import check
from convatlas.base.errors import GeneError, SizeError
from convatlas.genes.capsules import Votes
from convatlas.genes.em_routing import VectorEM
from convatlas.genes.routing import DynamicRouting
from convatlas.nets.build import build, skeleton
from convatlas.nets.families.capsnet import CapsNet, Config, margin_loss
from convatlas.nets.initialize import initialize

KEYS = [
    "conv1.conv.weight",
    "conv1.conv.bias",
    "primary.conv.weight",
    "primary.conv.bias",
    "poses.votes.weight",
    *(f"reconstruction.decoder.dense{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")),
]


def small(**genes: object) -> CapsNet:
    """One that is quick: a quarter of everything, photos of 16 x 16, three classes."""
    row = Config(width=32, kernel=5, class_size=8)
    with torch.device("meta"):
        net = CapsNet(row, CapsNet.default_genome(row).swapped("capsnet", genes), 3, 1, (16, 16))
    initialize(net, 0)
    return net


@pytest.fixture(scope="module")
def net():
    return build("capsnet").eval()


@pytest.fixture(scope="module")
def photos():
    return bars_and_rings(6, 28, seed=1)[0]


def test_counts():
    net = skeleton("capsnet")
    assert parameters(net.conv1)[0] == 20_992
    assert parameters(net.primary)[0] == 5_308_672
    assert parameters(net.poses)[0] == 1_474_560
    assert parameters(net.reconstruction)[0] == 1_411_344
    assert parameters(net) == (8_215_568, 8_215_568)
    assert parameters(skeleton("capsnet", genes={"decoder": "none"}))[0] == 6_804_224
    assert list(net.state_dict()) == KEYS


def test_measured():
    """The layers that an answer takes; the reconstruction has parameters, but no part in it."""
    anatomy = measure("capsnet")
    assert (anatomy.parameters, anatomy.path, anatomy.depth, anatomy.output) == (8_215_568, 3, 6, (10,))
    assert sum(layer.parameters for layer in anatomy.layers) == 6_804_224
    assert [layer.kind for layer in anatomy.layers] == [
        "convolution",
        "ReLU",
        "convolution",
        "squash",
        "capsule votes",
        "dynamic routing",
        "length",
    ]
    maps = 20 * 20 * 256 * 81 + 6 * 6 * 256 * 256 * 81
    assert anatomy.macs == maps + 1152 * 10 * 8 * 16 + 5 * 1152 * 10 * 16
    assert [layer.field for layer in anatomy.layers][:3] == [(9, 9), (9, 9), (17, 17)]
    assert measure(build("capsnet", size=(20, 24), channels=3)).input == (3, 20, 24)
    assert not check("capsnet").unexplained


def test_the_answer_is_lengths_as_they_are(net, photos):
    """No softmax: lengths are below 1, each for itself, and sum to anything."""
    outputs = net.outputs(photos)
    assert list(outputs) == ["conv1", "primary", "poses", "head", "reconstruction"]
    assert outputs["primary"].shape == (6, 1152, 8)
    assert outputs["poses"].shape == (6, 10, 16)
    assert outputs["reconstruction"].shape == (6, 1, 28, 28)
    assert torch.equal(outputs["head"], outputs["poses"].norm(dim=-1))
    assert torch.equal(outputs["head"], net(photos))
    assert ((outputs["head"] >= 0) & (outputs["head"] < 1)).all()
    assert (outputs["head"].sum(1) - 1).abs().min() > 0.5


def test_one_photo_and_others_beside_it(net, photos):
    together = net.outputs(photos)
    alone = net.outputs(photos[2:3])
    for name, one in alone.items():
        assert one.shape == (1, *together[name].shape[1:])
        torch.testing.assert_close(one[0], together[name][2], atol=1e-5, rtol=1e-4)
    turned = net(photos.flip(0)).flip(0)
    torch.testing.assert_close(turned, together["head"], atol=1e-5, rtol=1e-4)


def test_it_starts_where_it_can_learn(monkeypatch, net, photos):
    """With votes a hundredth as wide all lengths are near 0, with ten times as wide all are 1: a coin's answer."""
    with torch.no_grad():
        lengths = net(photos)
        assert 0.1 < lengths.mean() < 0.9
        assert lengths.std(1).min() > 0.02
        monkeypatch.setattr(Votes, "deviation", 1.0)
        wide = build("capsnet")(photos)
    assert wide.mean() > 0.99
    assert wide.std(1).max() < 0.002


def test_couplings_can_be_looked_at(net, photos):
    votes = net.poses.votes(net.outputs(photos)["primary"])
    found = net.poses.routing.trace(votes)
    assert len(found) == net.poses.routing.steps == 3
    assert [tuple(one.couplings.shape) for one in found] == [(6, 1152, 10)] * 3
    assert torch.equal(found[-1].poses, net.outputs(photos)["poses"])


def test_reconstruction_is_of_the_longest_capsule_or_of_the_label():
    net = small().eval()
    x, labels = bars_and_rings(6, 16)
    outputs = net.outputs(x)
    longest = outputs["head"].argmax(1)
    assert torch.equal(outputs["reconstruction"], net.reconstruct(outputs["poses"], longest))
    other = (longest + 1) % 3
    assert not torch.allclose(outputs["reconstruction"], net.reconstruct(outputs["poses"], other))
    # Only the chosen class's capsule has a say.
    poses = outputs["poses"].detach().requires_grad_()
    net.reconstruct(poses, labels).sum().backward()
    for n, label in enumerate(labels.tolist()):
        assert [bool(poses.grad[n, j].any()) for j in range(3)] == [j == label for j in range(3)]
    assert ((outputs["reconstruction"] > 0) & (outputs["reconstruction"] < 1)).all()


def test_margin_loss():
    lengths = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2])
    expected = 0.0
    for n in range(5):
        for k in range(4):
            length = float(lengths[n, k])
            if k == labels[n]:
                expected += max(0, 0.9 - length) ** 2 / 5
            else:
                expected += 0.5 * max(0, length - 0.1) ** 2 / 5
    assert float(margin_loss(lengths, labels)) == pytest.approx(expected, rel=1e-12)
    assert margin_loss(torch.tensor([[0.95, 0.05]]), torch.tensor([0])) == 0


def test_loss_is_margin_and_a_little_reconstruction_of_the_true_class():
    net = small().eval()
    x, _ = bars_and_rings(6, 16)
    with torch.no_grad():
        # Photos that differ: fresh ones are grey throughout.
        for dense in (net.reconstruction.decoder.dense1, net.reconstruction.decoder.dense2):
            dense.weight.mul_(30)
    # Where the longest capsule is not the true class, the mask by prediction would give another loss.
    outputs = net.outputs(x)
    labels = (outputs["head"].argmax(1) + torch.tensor([0, 1, 2, 1, 0, 2])) % 3
    image = net.reconstruct(outputs["poses"], labels).detach().double().numpy()
    error = np.mean([((image[n] - x[n].numpy()) ** 2).sum() for n in range(6)])
    expected = float(margin_loss(outputs["head"], labels).detach()) + 0.0005 * error
    assert float(net.loss(outputs, x, labels).detach()) == pytest.approx(expected, rel=1e-5)
    without = small(decoder="none").eval()
    outputs = without.outputs(x)
    assert "reconstruction" not in outputs
    assert torch.equal(without.loss(outputs, x, labels), margin_loss(outputs["head"], labels))


@pytest.mark.parametrize("genes", [{}, {"decoder": "none"}, {"iterations": 1}, {"routing": "em"}])
def test_it_learns(genes):
    net = small(**genes).train()
    x, labels = bars_and_rings(24, 16)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        outputs = net.outputs(x)
        loss = net.loss(outputs, x, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert (net(x).argmax(1) == labels).float().mean() > 0.9


def test_genes():
    plain = skeleton("capsnet")
    em = skeleton("capsnet", genes={"routing": "em", "iterations": 2})
    assert isinstance(plain.poses.routing, DynamicRouting)
    assert isinstance(em.poses.routing, VectorEM)
    assert em.poses.routing.steps == em.genome.iterations == 2
    assert skeleton("capsnet", genes={"iterations": "5"}).poses.routing.steps == 5
    assert parameters(em)[0] == parameters(plain)[0] + 20
    assert set(plain.state_dict()) < set(em.state_dict())
    assert measure("capsnet", genes={"routing": "em"}).macs == measure("capsnet").macs + 3 * 1152 * 10 * 16


@pytest.mark.parametrize("wrong", [0, 101, True, 2.0, "many", None])
def test_rounds_are_a_number(wrong):
    with pytest.raises(GeneError, match="iterations is a whole number from 1 to 100"):
        skeleton("capsnet", genes={"iterations": wrong})


def test_refusals():
    with pytest.raises(GeneError, match="vgg16 has no routing to swap; it has "):
        skeleton("vgg16", genes={"routing": "dynamic"})
    with pytest.raises(GeneError, match="capsnet has no pooling to swap; it has convolution, normalization, "):
        skeleton("capsnet", genes={"pooling": "max"})
    with pytest.raises(SizeError, match="capsnet cannot take photos of 16 x 16; the smallest it takes is 17 x 17"):
        skeleton("capsnet", size=16)
