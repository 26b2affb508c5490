"""All 38 nets compute the functions of live Keras: same weights, same photos, same logits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from tests.parity import keras_oracle
from tests.parity.subjects import call_order, double, subject, tensors
from torch import nn

from convatlas.catalogue.cards import cards
from convatlas.genes.normalization import Rescale, Standardize
from convatlas.genes.padding import Pad
from convatlas.genes.pooling import MaxPool, Pool
from convatlas.nets.build import build, family_of
from convatlas.nets.net import Net

BOUND = 1e-9

# An even and an odd size: the borders of SAME differ. The Inceptions and NASNets need more pixels to have maps left.
SIZES = {"inception_v3": (138, 107), "inception_resnet_v2": (138, 107), "xception": (102, 71)}
SIZES |= {"nasnet_mobile": (96, 97), "nasnet_large": (96, 97)}
USUAL = (64, 95)

SMALLEST = (
    "xception",
    "vgg16",
    "resnet50",
    "resnet50_v2",
    "inception_v3",
    "inception_resnet_v2",
    "mobilenet",
    "mobilenet_v2",
    "densenet121",
    "nasnet_mobile",
    "efficientnet_b0",
    "efficientnetv2_b0",
    "convnext_tiny",
)
KERAS = [name for name, card in cards().items() if "review" in {figure.source for figure in card.figures.values()}]
LARGE = ("vgg19", "efficientnetv2_l", "convnext_large", "convnext_xlarge")


def slow(name: str, size: int) -> list[pytest.MarkDecorator]:
    """jax needs longer to compile a NASNet than all other small nets take together: one is enough at a time."""
    return [pytest.mark.sweep] if (name, size) == ("nasnet_mobile", 97) else []


def cases(names: Iterable[str]) -> list[ParameterSet]:
    return [
        pytest.param(
            name,
            size,
            id=f"{name}-{size}",
            # Nets above 100 million parameters never run beside each other.
            marks=[pytest.mark.xdist_group("large" if name in LARGE else f"{name}-{size}"), *slow(name, size)],
        )
        for name in names
        for size in SIZES.get(name, USUAL)
    ]


def arrays(net: Net, x: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for layer in call_order(net, x[:1]) for tensor in tensors(layer)]


@torch.no_grad()
def answer(net: Net, x: torch.Tensor, dtype: torch.dtype) -> np.ndarray:
    y = net.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    return y.numpy()


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, in deviations of the logits."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype("float64") - theirs).max() / theirs.std())


def compare(name: str, size: int, single: bool) -> None:
    net, x = subject(name, size)
    dtypes = ["float64", "float32"] if single else ["float64"]
    theirs = keras_oracle.logits(cards()[name].published_name, arrays(net, x), x.numpy(), dtypes)
    ours = answer(net, x, torch.float64)
    assert np.isfinite(ours).all()
    assert ours.std() > 0.1, "logits that hardly differ would hide a difference"
    assert not np.allclose(ours[0], ours[1]), "an answer that does not depend on the photo would hide one"
    assert distance(ours, theirs[0]) <= BOUND
    if single:
        peer = distance(theirs[1], theirs[0])
        assert distance(answer(net, x, torch.float32), theirs[1].astype("float64")) <= 10 * peer


@pytest.mark.parametrize(("name", "size"), cases(SMALLEST))
def test_logits_of_the_smallest_nets(name, size):
    compare(name, size, single=True)


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "size"), cases([name for name in KERAS if name not in SMALLEST]))
def test_logits_of_all_other_nets(name, size):
    compare(name, size, single=False)


def test_every_net_is_compared():
    assert len(KERAS) == 38
    assert set(SMALLEST) < set(KERAS)


@functools.cache
def published(name: str, size: int) -> tuple[Net, torch.Tensor, np.ndarray]:
    """Our net, the photos, and Keras' logits for them."""
    net, x = subject(name, size)
    theirs = keras_oracle.logits(cards()[name].published_name, arrays(net, x), x.numpy(), ["float64"])[0]
    assert distance(answer(net, x, torch.float64), theirs) <= BOUND
    return net, x, theirs


def rebuilt(name: str, size: int, change: dict[str, object], weights: dict[str, torch.Tensor]) -> Net:
    """The net of a changed row, with the published net's weights."""
    family = family_of(cards()[name])
    row = dataclasses.replace(family.variants[name], **change)
    with double():
        net = family(row, family.default_genome(row), 1000, 3, (size, size)).eval()
    net.load_state_dict(weights)
    return net


def norm(name: str, **change: object) -> dict[str, object]:
    return {"norm": dataclasses.replace(family_of(cards()[name]).variants[name].norm, **change)}


ROWS = [
    ("resnet50", 64, norm("resnet50", eps=1e-5 * 1.1), "eps"),
    ("inception_v3", 138, norm("inception_v3", eps=1e-5), "eps"),
    ("densenet121", 64, norm("densenet121", eps=1e-3), "eps"),
    ("resnet50", 64, {"stride_in": "second"}, "stride position"),
    ("inception_v3", 138, {"average_border": "zeros"}, "count_include_pad"),
    ("inception_resnet_v2", 138, {"average_border": "zeros"}, "count_include_pad"),
    ("resnet50_v2", 64, {"pool_border": "outside"}, "pool border"),
    ("xception", 102, {"pool_alignment": "symmetric"}, "padding side of a pool"),
    ("mobilenet_v2", 64, {"alignment": "symmetric"}, "padding side"),
]


@pytest.mark.parametrize(("name", "size", "change", "difference"), ROWS, ids=[f"{row[0]}-{row[3]}" for row in ROWS])
def test_a_wrong_row_is_seen(name, size, change, difference):
    net, x, theirs = published(name, size)
    assert distance(answer(rebuilt(name, size, change, net.state_dict()), x, torch.float64), theirs) > 1e-6


def flip_pads(net: nn.Module) -> int:
    """The odd pixel before, not after."""
    pads = [module for module in net.modules() if isinstance(module, Pad)]
    for pad in pads:
        pad.alignment = (pad.kernel[0] - 1) // 2, (pad.kernel[0] - 1) // 2 - 1 if pad.kernel[0] > 3 else 0
    return len(pads)


def pools_ignore_zeros(net: nn.Module) -> int:
    """NASNet's reductions: the maximum ignores what lies outside."""
    pools = [m for m in net.modules() if isinstance(m, MaxPool) and m.stride == 2 and m.kernel == 3]
    for module in net.modules():
        if type(getattr(module, "pad", None)) is Pad and hasattr(module, "left5"):
            module.pad = nn.Identity()
    for pool in [m for m in net.modules() if isinstance(m, Pool) and m.stride == 2 and m.kernel == 3]:
        pool.alignment = "same"
    return len(pools)


def approximate_gelu(net: nn.Module) -> int:
    gelus = [module for module in net.modules() if isinstance(module, nn.GELU)]
    for gelu in gelus:
        gelu.approximate = "tanh"
    return len(gelus)


def no_photo_normalization(net: nn.Module) -> int:
    owners = [
        (module, name)
        for module in net.modules()
        for name, child in module.named_children()
        if isinstance(child, Rescale | Standardize)
    ]
    for module, name in owners:
        setattr(module, name, nn.Identity())
    return len(owners)


MUTATIONS: list[tuple[str, int, Callable[[nn.Module], int]]] = [
    ("mobilenet", 64, flip_pads),
    ("efficientnet_b0", 64, flip_pads),
    ("efficientnetv2_b0", 64, flip_pads),
    ("convnext_tiny", 64, approximate_gelu),
    ("convnext_tiny", 64, no_photo_normalization),
    ("efficientnet_b0", 64, no_photo_normalization),
]


SLOW = pytest.param(
    "nasnet_mobile", 97, pools_ignore_zeros, id="nasnet_mobile-pools_ignore_zeros", marks=slow("nasnet_mobile", 97)
)


@pytest.mark.parametrize(
    ("name", "size", "mutate"), [*(pytest.param(*m, id=f"{m[0]}-{m[2].__name__}") for m in MUTATIONS), SLOW]
)
def test_a_wrong_module_is_seen(name, size, mutate):
    net, x, theirs = published(name, size)
    with double():
        other = build(name, size=size).eval()
    other.load_state_dict(net.state_dict())
    assert distance(answer(other, x, torch.float64), theirs) <= BOUND
    assert mutate(other) > 0
    assert distance(answer(other, x, torch.float64), theirs) > 1e-6


def test_a_forgotten_weight_order_is_seen():
    """RGB for BGR: the first kernel's channels turned around."""
    net, x, theirs = published("resnet50", 64)
    with double():
        other = build("resnet50", size=64).eval()
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        other.stem.conv.weight.copy_(other.stem.conv.weight.flip(1).contiguous())
    assert distance(answer(other, x, torch.float64), theirs) > 1e-3
