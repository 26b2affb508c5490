"""Probes of capsules: shares sum exactly, couplings to 1, and leaving out is running without."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.genes.capsules import squash
from convatlas.genes.routing import DynamicRouting
from convatlas.probes.capsule.agreement import Agreement
from convatlas.probes.capsule.caps_cam import CapsCam
from convatlas.probes.capsule.capsule_ablation import CapsuleAblation
from convatlas.probes.capsule.routing_maps import RoutingMaps
from convatlas.probes.explain import explain
from tests.probes.capsnets import CLASSES, photo, small_capsnet, small_matrix_capsnet
from tests.probes.nets import Functional

X = photo()
ALL = list(range(CLASSES))
GRID = (3, 4, 5)


def stages(net):
    with torch.no_grad():
        return net.outputs(X[None])


def test_agreements_sum_to_the_length_before_squashing():
    net = small_capsnet()
    with torch.no_grad():
        votes = net.poses.votes(stages(net)["primary"])
        last = net.poses.routing.trace(votes)[-1]
        lengths = torch.einsum("nij,nijd->njd", last.couplings, votes)[0].norm(dim=-1)
    assert torch.allclose(squash(torch.einsum("nij,nijd->njd", last.couplings, votes)), stages(net)["poses"])
    for label, result in enumerate(explain(net, X, "agreement", ALL)):
        assert result.values.shape == GRID
        assert result.layer == "primary.conv"
        assert math.isclose(result.values.sum(), float(lengths[label]), rel_tol=1e-13)
        assert result.residual <= 1e-13
        assert math.isclose(result.score, float(lengths[label] ** 2 / (1 + lengths[label] ** 2)), rel_tol=1e-12)


def test_agreements_go_on_to_the_pixels():
    net = small_capsnet()
    shares = explain(net, X, "agreement", 1)
    relevance = explain(net, X, Agreement("lrp"), 1)
    assert relevance.values.shape == X.shape
    total = relevance.values.sum() + sum(relevance.ledger.values())
    assert math.isclose(total, shares.values.sum(), rel_tol=1e-10)
    with torch.no_grad():
        votes = net.poses.votes(stages(net)["primary"])
        couplings = net.poses.routing.trace(votes)[-1].couplings[0, :, 1]
        direction = torch.nn.functional.normalize((couplings[:, None] * votes[0, :, 1]).sum(0), dim=0)
    leaf = X[None].clone().requires_grad_()
    children = net.primary(net.conv1(leaf))
    fixed = (couplings * (net.poses.votes(children)[0, :, 1] * direction).sum(-1)).sum()
    (gradient,) = torch.autograd.grad(fixed, leaf)
    expected = (leaf * gradient)[0].detach().numpy()
    assert np.allclose(explain(net, X, Agreement("gradient_x_input"), 1).values, expected, atol=1e-14)


NETS = {
    "capsnet": lambda: (small_capsnet(), X),
    "em": lambda: (small_capsnet(routing="em"), X),
    "matrix": lambda: (small_matrix_capsnet(), photo(24, 24)),
}


@pytest.mark.parametrize("name", NETS)
def test_couplings_of_a_child_sum_to_one_in_every_round(name):
    net, x = NETS[name]()
    for number in (1, 2, 3):
        maps = explain(net, x, RoutingMaps(number), ALL)
        assert np.allclose(sum(each.values for each in maps), 1, atol=1e-12)
        assert maps[0].values.std() > 0 or number == 1


def test_the_first_round_does_not_route():
    net = small_capsnet(iterations=1)
    assert np.allclose(explain(net, X, "routing_maps", 2).values, 1 / CLASSES)
    assert np.allclose(explain(net, X, RoutingMaps(quantity="entropy"), 2).values, math.log(CLASSES))
    path = explain(net, X, "relevance_path", 2)
    assert not path.values.any()
    assert "the map is blank" in path.notes[-1]


def test_permuting_the_children_permutes_the_map():
    net, turned = small_capsnet(), small_capsnet()
    order = torch.tensor([2, 0, 1])
    channels = (order[:, None] * 4 + torch.arange(4)).flatten()
    places = (order[:, None] * 20 + torch.arange(20)).flatten()
    with torch.no_grad():
        turned.primary.conv.weight.copy_(net.primary.conv.weight[channels])
        turned.primary.conv.bias.copy_(net.primary.conv.bias[channels])
        turned.poses.votes.weight.copy_(net.poses.votes.weight[places])
    for probe in ("agreement", "routing_maps", "relevance_path", "capsule_ablation", RoutingMaps(2, "entropy")):
        maps = [explain(each, X, probe, 0).values for each in (net, turned)]
        assert np.allclose(maps[1], maps[0][order.numpy()], atol=1e-13), probe
        assert not np.allclose(maps[1], maps[0], atol=1e-6), probe


def test_leaving_a_child_out_is_running_the_net_without_it():
    net = small_capsnet()
    losses = explain(net, X, "capsule_ablation", ALL)
    together = explain(net, X, CapsuleAblation("place"), ALL)
    children, weight = stages(net)["primary"], net.poses.votes.weight.detach()
    score = stages(net)["head"][0]

    def without(numbers: list[int]) -> torch.Tensor:
        left = [number for number in range(60) if number not in numbers]
        votes = torch.einsum("nic,ijdc->nijd", children[:, left], weight[left])
        return score - DynamicRouting(len(left), 3)(votes).norm(dim=-1)[0]

    for number in (0, 23, 59):
        expected = without([number])
        for label in ALL:
            assert math.isclose(losses[label].values.flatten()[number], float(expected[label]), abs_tol=1e-14)
    expected = without([7, 27, 47])
    for label in ALL:
        assert math.isclose(together[label].values.flatten()[7], float(expected[label]), abs_tol=1e-14)


@pytest.mark.parametrize("layer", [None, "conv_capsules1"])
def test_matrix_capsules_are_left_out_too(layer):
    net, x = small_matrix_capsnet(), photo(24, 24)
    result = explain(net, x, "capsule_ablation", 1, layer=layer)
    with torch.no_grad():
        outputs = net.outputs(x[None])
        maps = outputs[layer or "conv_capsules2"].clone()
        maps[0, 2, :, 1, 0] = 0
        if layer is not None:
            maps = net.conv_capsules2(maps)
        expected = (outputs["head"] - net.head(net.class_capsules(maps)))[0, 1]
    assert math.isclose(result.values[2, 1, 0], float(expected), abs_tol=1e-14)
    assert abs(float(expected)) > 1e-6


def test_the_path_is_a_part_of_the_agreements():
    net = small_capsnet()
    couplings = np.stack([each.values for each in explain(net, X, "routing_maps", ALL)])
    for label in ALL:
        path, shares = (explain(net, X, probe, label).values for probe in ("relevance_path", "agreement"))
        assert np.array_equal(path, np.where(couplings.argmax(0) == label, shares, 0))
        assert path.any()


def test_caps_cam_weights_lengths_by_their_average_derivative():
    net = small_capsnet()
    children = stages(net)["primary"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net.head(net.poses(children))[0, 3], children)
    length = children.detach().norm(dim=-1)[0].view(GRID)
    derivative = ((gradient * children).sum(-1)[0].view(GRID) / length).detach()
    weights = derivative.mean((1, 2))
    expected = (weights.clamp(min=0)[:, None, None] * length).sum(0).numpy()
    assert np.allclose(explain(net, X, "caps_cam", 3).values, expected, atol=1e-14)
    best = int(weights.argmax())
    assert np.allclose(explain(net, X, CapsCam(1), 3).values, (weights[best] * length[best]).numpy(), atol=1e-14)


CAPSULE_PROBES = ("agreement", "relevance_path", "routing_maps", "capsule_ablation", "caps_cam")


@pytest.mark.parametrize("probe", CAPSULE_PROBES)
def test_other_nets_are_refused_in_one_line(probe):
    with pytest.raises(ca.ConvAtlasError, match=r"explains .*capsnet.*Functional has none") as error:
        explain(Functional(), torch.rand(3, 8, 8), probe, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("probe", "target", "layer", "message"),
    [
        ("agreement", lambda output: output.sum(1), None, "pass a class"),
        (Agreement("magic"), 0, None, "none, lrp, gradient_x_input"),
        (RoutingMaps(4), 0, None, "1 to 3"),
        (RoutingMaps(0), 0, None, "1 to 3"),
        (RoutingMaps(quantity="magic"), 0, None, "couplings or entropy"),
        (CapsuleAblation("magic"), 0, None, "capsule or a place"),
        (CapsCam(9), 0, None, "1 to 3 types"),
        ("capsule_ablation", 0, "conv1", "layer of capsules"),
        ("agreement", "probability:0", None, "pass a class"),
        ("routing_maps", "contrast:0/1", None, "pass a class"),
    ],
)
def test_bad_settings_are_refused(probe, target, layer, message):
    with pytest.raises(ca.ConvAtlasError, match=message):
        explain(small_capsnet(), X, probe, target, layer=layer)


def test_routing_by_em_has_no_agreement():
    for net, x in ((small_capsnet(routing="em"), X), (small_matrix_capsnet(), photo(24, 24))):
        with pytest.raises(ca.ConvAtlasError, match="agreement"):
            explain(net, x, "agreement", 0)


def test_deep_lift_says_that_it_is_ill_conditioned_on_matrix_capsules():
    with pytest.raises(ca.ConvAtlasError, match=r"ill-conditioned.*integrated_gradients.*occlusion"):
        explain(small_matrix_capsnet(), photo(24, 24), "deep_lift", 0)


def test_lrp_of_matrix_capsules_says_that_almost_nothing_arrives():
    result = explain(small_matrix_capsnet(), photo(24, 24), "lrp", 0)
    assert "arrived at the pixels" in result.notes[0]
    assert result.notes[1].startswith("log and reciprocal are taken as constant")
    assert abs(result.ledger["constants"]) > abs(result.ledger["offsets"]) > 0
    total = result.values.sum() + sum(result.ledger.values())
    assert math.isclose(total, result.score, rel_tol=1e-10)


@pytest.mark.parametrize("name", ["lrp", "contrastive_lrp", "concept_relevance", "excitation_backprop"])
def test_the_condition_of_relevance_through_em_routing_is_what_a_changed_photo_shows(name):
    net, x = small_matrix_capsnet(), photo(24, 24)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)
    result, other = explain(net, x, name, 0), explain(net, x + 1e-6 * noise, name, 0)
    assert result.condition < 10
    # Relative to the score, of which little arrives, the map changes as little as the photo does.
    assert np.abs(other.values - result.values).sum() / result.score < 10 * 1e-6
    assert np.corrcoef(other.values.ravel(), result.values.ravel())[0, 1] > 0.999
