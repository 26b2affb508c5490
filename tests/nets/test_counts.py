"""Parameters and depth of all nets, to the unit."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.parameters import depth, parameters
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.catalogue.cards import cards
from convatlas.nets import build
from convatlas.nets.build import skeleton

# Counted in Keras 3.15.1 with `weights=None`: all parameters, trainable ones, layers that own weights.
COUNTS = {
    "xception": (22910480, 22855952, 81),
    "vgg16": (138357544, 138357544, 16),
    "vgg19": (143667240, 143667240, 19),
    "resnet50": (25636712, 25583592, 107),
    "resnet50_v2": (25613800, 25568360, 103),
    "resnet101": (44707176, 44601832, 209),
    "resnet101_v2": (44675560, 44577896, 205),
    "resnet152": (60419944, 60268520, 311),
    "resnet152_v2": (60380648, 60236904, 307),
    "inception_v3": (23851784, 23817352, 189),
    "inception_resnet_v2": (55873736, 55813192, 449),
    "mobilenet": (4253864, 4231976, 55),
    "mobilenet_v2": (3538984, 3504872, 105),
    "densenet121": (8062504, 7978856, 242),
    "densenet169": (14307880, 14149480, 338),
    "densenet201": (20242984, 20013928, 402),
    "nasnet_mobile": (5326716, 5289978, 389),
    "nasnet_large": (88949818, 88753150, 533),
    "efficientnet_b0": (5330571, 5288548, 132),
    "efficientnet_b1": (7856239, 7794184, 186),
    "efficientnet_b2": (9177569, 9109994, 186),
    "efficientnet_b3": (12320535, 12233232, 210),
    "efficientnet_b4": (19466823, 19341616, 258),
    "efficientnet_b5": (30562527, 30389784, 312),
    "efficientnet_b6": (43265143, 43040704, 360),
    "efficientnet_b7": (66658687, 66347960, 438),
    "efficientnetv2_b0": (7200312, 7139704, 151),
    "efficientnetv2_b1": (8212124, 8141052, 185),
    "efficientnetv2_b2": (10178374, 10096086, 193),
    "efficientnetv2_b3": (14467622, 14358406, 225),
    "efficientnetv2_s": (21612360, 21458488, 281),
    "efficientnetv2_m": (54431388, 54139356, 403),
    "efficientnetv2_l": (119027848, 118515272, 557),
    "convnext_tiny": (28589128, 28589128, 96),
    "convnext_small": (50223688, 50223688, 186),
    "convnext_base": (88591464, 88591464, 186),
    "convnext_large": (197767336, 197767336, 186),
    "convnext_xlarge": (350196968, 350196968, 186),
}


KERAS = len(COUNTS)

# Multiplied out from the papers' descriptions.
COUNTS |= {
    "linear": (7850, 7850, 1),
    "mlp_300": (238510, 238510, 2),
    "mlp_1000": (795010, 795010, 2),
    "mlp_300_100": (266610, 266610, 3),
    "mlp_1000_150": (936660, 936660, 3),
    "elman": (238510 + 300 * 300, 238510 + 300 * 300, 1),
    "jordan": (238510 + 300 * 10, 238510 + 300 * 10, 1),
    "feedback_chain": (266610 + 784 * 300 + 300 * 100 + 100 * 10, 266610 + 784 * 300 + 300 * 100 + 100 * 10, 1),
    "lenet1": (2578, 2578, 5),
    "lenet4": (16998, 16998, 6),
    "lenet4_dense": (50998, 50998, 6),
    "lenet5": (60000, 60000, 6),
    "boosted_lenet4": (3 * 16998, 3 * 16998, 18),
}


def test_a_trial_run_leaves_each_module_in_its_mode():
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval())
    build._run(net, 3, (8, 8))
    assert [module.training for module in net.modules()] == [True, True, False]


def test_the_table_is_whole():
    assert KERAS == 38
    assert set(COUNTS) | {f"efficientnet_lite{n}" for n in range(5)} <= set(cards())


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    net = skeleton(name)
    assert (*parameters(net), depth(net)) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_every_weight_is_on_the_way(name):
    """The rows of the anatomy own all parameters, each once; in our nets every leaf is one operation, called once."""
    anatomy = measure(name)
    assert sum(layer.parameters for layer in anatomy.layers) == COUNTS[name][0]
    assert sum(layer.trainable for layer in anatomy.layers) == COUNTS[name][1]
    net = skeleton(name).eval()
    operations = trace(net, torch.empty(1, net.channels, *net.card.input[:2], device="meta"))
    leaves = [path for path, module in net.named_modules() if not list(module.children())]
    assert sorted(operation.path for operation in operations) == sorted(leaves)
    assert all(operation.is_leaf for operation in operations)


def test_what_keras_counts_as_layers_of_resnet50() -> None:
    """As docs/counting.md says: 53 convolutions, 53 normalizations and one dense layer are its depth of 107."""
    kinds = Counter(
        type(module).__name__ for module in build.build("resnet50").modules() if list(module.parameters(False))
    )
    assert kinds == {"Convolution": 53, "BatchNorm": 53, "Dense": 1}
