"""Nets that torchvision or timm have too compute the same there: same weights, same photos, same logits.

The weights reach the twin by the names in `weights`, so these are held as well: all of them, each once.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from tests.parity.subjects import calibrate, count, double, fill, photos
from tests.parity.test_keras import BOUND, answer, distance
from torch import nn

from convatlas.catalogue.cards import cards
from convatlas.genes.structural import Shuffle
from convatlas.nets.build import build, family_of
from convatlas.nets.families.resnet import Residual
from convatlas.nets.net import Net
from convatlas.weights.registry import origin

TWINS = {
    "alexnet_one_tower": ("torchvision", "alexnet"),
    "googlenet_bn": ("torchvision", "googlenet"),
    **{name: ("torchvision", name) for name in ("resnet18", "resnet34", "resnext50_32x4d")},
    "se_resnet50": ("timm", "seresnet50"),
    "se_resnext50_32x4d": ("timm", "seresnext50_32x4d"),
    **{
        f"shufflenet_v2_{width}": ("torchvision", f"shufflenet_v2_{width}")
        for width in ("x0_5", "x1_0", "x1_5", "x2_0")
    },
}
"""Of each net that has one: its twin's library, and its name there."""

# Even and odd; at 224 the one tower's last map is 6 x 6 by itself.
SIZES = {"alexnet_one_tower": (96, 117, 224)}
USUAL = (64, 95)

QUICK = ("alexnet_one_tower", "googlenet_bn", "resnet18", "se_resnext50_32x4d", "shufflenet_v2_x0_5")


def twin(name: str, auxiliary: bool) -> nn.Module:
    """The other library's net, with weights of its own, at rest."""
    library, theirs = TWINS[name]
    if library == "timm":
        return timm.create_model(theirs).eval()
    extra = {"init_weights": False, "aux_logits": auxiliary} if name == "googlenet_bn" else {}
    return getattr(torchvision.models, theirs)(weights=None, **extra).eval()


def hand_over(net: Net, peer: nn.Module) -> None:
    """Gives the twin our weights."""
    ours, expected = net.state_dict(), peer.state_dict()
    pairs = list(origin(TWINS[net.card.name][0]).converter().names(net))
    places = dict(pairs)
    renamed = {}
    for key in expected:
        layer, _, part = key.rpartition(".")
        renamed[key] = ours.pop(f"{places[layer]}.{part}")
    assert not ours, "all of our weights are the twin's"
    assert set(places) == {key.rpartition(".")[0] for key in expected}
    assert len(places) == len(set(places.values())) == len(pairs)
    peer.load_state_dict(renamed)


def pair(name: str, auxiliary: bool = False) -> tuple[Net, nn.Module]:
    """Our net in float64 with random weights that matter (float32 holds them too), and its twin with the same."""
    draw = torch.Generator().manual_seed(0)
    size = SIZES.get(name, USUAL)[0]
    with double():
        net = build(name, genes={"auxiliary": "heads"} if auxiliary else {}).eval()
    fill(net, draw)
    calibrate(net, photos(net, count(name, size) // 2, size, draw))
    peer = twin(name, auxiliary).double()
    hand_over(net, peer)
    return net, peer


def changed(**change: object) -> Callable[[Net], Net]:
    """The net of a changed row, with the same weights."""

    def make(net: Net) -> Net:
        family = family_of(net.card)
        row = dataclasses.replace(family.variants[net.card.name], **change)
        with double():
            other = family(row, family.default_genome(row), 1000, 3, net.card.input[:2]).eval()
        other.load_state_dict(net.state_dict())
        return other

    return make


def unshuffled(net: Net) -> Net:
    other = copy.deepcopy(net)
    for module in other.modules():
        if isinstance(module, Shuffle):
            module.groups = 1
    return other


def gates_before_the_norm(net: Net) -> Net:
    other = copy.deepcopy(net)
    for module in other.modules():
        if isinstance(module, Residual):
            last, gate = module.branch.conv3, module.branch.attention
            module.branch.conv3 = nn.Sequential(last.conv, gate, last.norm)
            module.branch.attention = nn.Identity()
    return other


EPS = dataclasses.replace(family_of(cards()["resnet18"]).variants["resnet18"].norm, eps=1.1e-5)
WRONG: dict[str, dict[str, Callable[[Net], Net]]] = {
    "alexnet_one_tower": {"border": changed(border=(1, 2))},
    "googlenet_bn": {"last pool": changed(last_pool=3)},
    "resnet18": {"eps": changed(norm=EPS)},
    "se_resnext50_32x4d": {
        "stride position": changed(stride_in="first"),
        "place of the gate": gates_before_the_norm,
    },
    "shufflenet_v2_x0_5": {"no shuffle": unshuffled},
}
"""Changes of a net that its twin must give away."""


def compare(name: str) -> None:
    net, peer = pair(name)
    for size in SIZES.get(name, USUAL):
        x = photos(net, 2, size, torch.Generator().manual_seed(size))
        single, single_peer = answer(net, x, torch.float32), answer(peer, x, torch.float32)
        ours, theirs = answer(net, x, torch.float64), answer(peer, x, torch.float64)
        assert ours.std() > 0.1, "logits that hardly differ would hide a difference"
        assert abs(ours[0] - ours[1]).max() > 1e-3, "an answer that does not depend on the photo would hide one"
        assert distance(ours, theirs) <= BOUND
        assert distance(single, single_peer.astype("float64")) <= 10 * distance(single_peer, theirs)
    for change, mutate in WRONG.get(name, {}).items():
        assert distance(answer(mutate(net), x, torch.float64), theirs) > 1e-6, change


@pytest.mark.parametrize("name", QUICK)
def test_logits(name):
    compare(name)


@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name in TWINS if name not in QUICK])
def test_logits_of_the_others(name):
    compare(name)


def test_every_twin_is_compared_and_in_every_family_a_wrong_one_is_seen():
    assert set(QUICK) < set(TWINS) < set(cards())
    assert set(WRONG) == set(QUICK)


def test_auxiliary_heads_while_training():
    """The three outputs of torchvision's GoogLeNet in training, dropout aside; its main logits at rest."""
    net, peer = pair("googlenet_bn", auxiliary=True)
    # An even size and an odd one: windows of unequal sides, and maps that no window divides.
    pictures = [photos(net, 4, size, torch.Generator().manual_seed(size)) for size in (96, 125)]
    with torch.no_grad():
        for x in pictures:
            assert distance(net(x).numpy(), peer(x).numpy()) <= BOUND
        for module in (*net.modules(), *peer.modules()):
            module.training = not isinstance(module, nn.Dropout)
        for x in pictures:
            theirs, ours = peer(x), net.outputs(x)
            expected = {"head": theirs.logits, "aux1": theirs.aux_logits1, "aux2": theirs.aux_logits2}
            for name, logits in expected.items():
                assert distance(ours[name].numpy(), logits.numpy()) <= BOUND, name
