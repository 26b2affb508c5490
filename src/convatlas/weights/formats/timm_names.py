"""Timm's names of layers (as of 1.0), as rules for our paths; for some nets they are those in `torchvision_names`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from convatlas.nets.families.vgg import VGG
from convatlas.nets.net import Net
from convatlas.weights.formats import torchvision_names
from convatlas.weights.formats.key_mapping import Rule, name_pairs


def _bn(part: str) -> str:
    return "bn" if part == "norm" else part


SE: tuple[Rule, ...] = (
    (
        r"conv(\d)\.block(\d+)\.branch\.attention\.gate\.(reduce|expand)",
        lambda stage, block, part: f"layer{stage - 1}.{block - 1}.se.{'fc1' if part == 'reduce' else 'fc2'}",
    ),
)
"""Squeeze-and-excitation in a ResNet."""

_CONVNEXT = {"conv": "conv_dw", "norm": "norm", "expand": "mlp.fc1", "project": "mlp.fc2", "scale": "gamma"}
CONVNEXT: tuple[Rule, ...] = (
    (r"stem\.conv\.conv", "stem.0"),
    (r"stem\.norm", "stem.1"),
    (r"downsample(\d)\.norm", lambda number: f"stages.{number}.downsample.0"),
    (r"downsample(\d)\.conv\.conv", lambda number: f"stages.{number}.downsample.1"),
    (
        r"stage(\d)\.block(\d+)\.branch\.(\w+)",
        lambda stage, block, part: f"stages.{stage - 1}.blocks.{block - 1}.{_CONVNEXT[part]}",
    ),
    (r"head\.norm", "head.norm"),
    (r"head\.dense", "head.fc"),
)
CONVNEXT_SHAPES: dict[str, tuple[int, ...]] = {r".*\.mlp\.fc\d\.weight": ()}

VGG_SHAPES: dict[str, tuple[int, ...]] = {
    r"pre_logits\.fc1\.weight": (512, -1, -1),
    r"pre_logits\.fc2\.weight": (4096, 1, 1),
}


def vgg(net: VGG) -> Iterator[tuple[str, str]]:
    """Yield the names of VGG: torchvision's, except for the dense layers, which are convolutions in timm."""
    head = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    return ((head.get(their, their), our) for their, our in torchvision_names.vgg(net))


def _mbconv(stage: int, block: int, part: str, layer: str, parts: tuple[str, ...]) -> str:
    kinds = {"expand": "conv_pw", "spatial": "conv_dw", "project": "conv_pwl" if "expand" in parts else "conv_pw"}
    if "spatial" not in parts:  # a fused block
        kinds = {"expand": "conv_exp", "project": "conv_pwl" if "expand" in parts else "conv"}
    name = f"bn{parts.index(part) + 1}" if layer == "norm" else kinds[part]
    return f"blocks.{stage - 1}.{block - 1}.{name}"


def mbconv_nets(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of MobileNetV2 and the EfficientNets, where a layer's name depends on the others in its block."""
    parts: dict[tuple[int, int], tuple[str, ...]] = {}
    for path, module in net.named_modules():
        if match := re.fullmatch(r"stage(\d+)\.block(\d+)\.branch", path):
            names = [name for name, _ in module.named_children() if name in ("expand", "spatial", "project")]
            parts[int(match[1]), int(match[2])] = tuple(names)
    return name_pairs(
        net,
        (
            (r"stem\.conv", "conv_stem"),
            (r"stem\.norm", "bn1"),
            (
                r"stage(\d)\.block(\d+)\.branch\.(\w+)\.(conv|norm)",
                lambda stage, block, part, layer: _mbconv(stage, block, part, layer, parts[stage, block]),
            ),
            (
                r"stage(\d)\.block(\d+)\.branch\.attention\.gate\.(reduce|expand)",
                lambda stage, block, layer: f"blocks.{stage - 1}.{block - 1}.se.conv_{layer}",
            ),
            (r"conv_head\.conv", "conv_head"),
            (r"conv_head\.norm", "bn2"),
            (r"head\.dense", "classifier"),
        ),
    )


_MOBILENET = (1, 2, 2, 6, 2)
"""Blocks in each of timm's stages of MobileNet."""


def _mobilenet(block: int, part: str, layer: str) -> str:
    stage, place = 0, block - 1
    while place >= _MOBILENET[stage]:
        place -= _MOBILENET[stage]
        stage += 1
    names = {"spatial": ("conv_dw", "bn1"), "pointwise": ("conv_pw", "bn2")}[part]
    return f"blocks.{stage}.{place}.{names[layer == 'norm']}"


MOBILENET: tuple[Rule, ...] = (
    (r"stem\.conv", "conv_stem"),
    (r"stem\.norm", "bn1"),
    (r"block(\d+)\.(spatial|pointwise)\.(conv|norm)", _mobilenet),
    (r"head\.dense", "classifier"),
)


def _xception(block: int, unit: int, part: str) -> str:
    # Each unit is activation, convolution and norm in one Sequential; block 2 starts without an activation.
    place = 3 * unit - 2 - (block == 2)
    return f"block{block - 1}.rep." + (f"{place + 1}" if part == "norm" else f"{place}.{_SEPARABLE[part]}")


_SEPARABLE = {"depthwise": "conv1", "pointwise": "pointwise"}

XCEPTION: tuple[Rule, ...] = (
    (r"block1\.conv(\d)\.(conv|norm)", lambda conv, part: f"{_bn(part)}{conv}"),
    (r"block(\d+)\.shortcut\.(conv|norm)", lambda block, part: f"block{block - 1}.skip{'bn' * (part == 'norm')}"),
    (r"block(\d+)\.branch\.unit(\d)\.(?:conv\.)?(depthwise|pointwise|norm)", _xception),
    (r"block14\.conv(\d)\.norm", lambda conv: f"bn{conv + 2}"),
    (r"block14\.conv(\d)\.conv\.depthwise", lambda conv: f"conv{conv + 2}.conv1"),
    (r"block14\.conv(\d)\.conv\.pointwise", lambda conv: f"conv{conv + 2}.pointwise"),
    (r"head\.dense", "fc"),
)

_STAGES = {"block35": ("mixed_5b", "repeat"), "block17": ("mixed_6a", "repeat_1"), "block8": ("mixed_7a", "repeat_2")}
_STEPS = {
    "block35": ((1, 2, 3, 2), (1, 2, 3)),
    "block17": ((1, 3), (1, 3)),
    "block8": ((2, 2, 3), (1, 3)),
}
"""Number of layers (convolutions and poolings) in each branch of a stage's first block, and of its residual blocks."""


def _branch(stage: str, opening: bool, branch: int, conv: int) -> str:
    single = _STEPS[stage][0 if opening else 1][branch] == 1
    return f"branch{branch}" if single else f"branch{branch}.{conv - 1}"


def _repeat(stage: str, block: int) -> str:
    return "block8" if (stage, block) == ("block8", 10) else f"{_STAGES[stage][1]}.{block - 1}"


INCEPTION_RESNET: tuple[Rule, ...] = (
    (
        r"stem\.conv(\d)\.(conv|norm)",
        lambda conv, part: f"conv2d_{('1a', '2a', '2b', '3b', '4a')[conv - 1]}.{_bn(part)}",
    ),
    (
        r"(block\d+)\.mixed\.branches\.(\d)\.conv(\d)\.(conv|norm)",
        lambda stage, branch, conv, part: f"{_STAGES[stage][0]}.{_branch(stage, True, branch, conv)}.{_bn(part)}",
    ),
    (
        r"(block\d+)\.block(\d+)\.branch\.branches\.branches\.(\d)\.conv(\d)\.(conv|norm)",
        lambda stage, block, branch, conv, part: (
            f"{_repeat(stage, block)}.{_branch(stage, False, branch, conv)}.{_bn(part)}"
        ),
    ),
    (r"(block\d+)\.block(\d+)\.branch\.conv", lambda stage, block: f"{_repeat(stage, block)}.conv2d"),
    (r"conv_head\.(conv|norm)", lambda part: f"conv2d_7b.{_bn(part)}"),
    (r"head\.dense", "classif"),
)

_CELL = (
    (r"(left|right)(\d)\.conv(\d)\.(depthwise|pointwise)", r"comb_iter_\2_\1.separable_\3.\4_conv2d"),
    (r"(left|right)(\d)\.norm(\d)", r"comb_iter_\2_\1.bn_sep_\3"),
    (r"squeeze\.conv", "conv_1x1.conv"),
    (r"squeeze\.norm", "conv_1x1.bn"),
    (r"adjust\.even\.conv", "path_1.conv"),
    (r"adjust\.odd\.conv", "path_2.conv"),
    (r"adjust\.conv", "conv_prev_1x1.conv"),
)


def nasnet(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of NASNet: normal cells are numbered through all stages, other cells have their own names."""
    cells = {"stem1": "cell_stem_0", "stem2": "cell_stem_1", "reduction1": "reduction_cell_0"}
    cells["reduction2"] = "reduction_cell_1"
    normal = [name for name, _ in net.named_children() if name.startswith("stage")]
    cells |= {name: f"cell_{number}" for number, name in enumerate(normal)}

    def in_cell(cell: str, rest: str) -> str:
        if rest == "adjust.norm":
            halves = hasattr(net.get_submodule(cell).adjust, "even")
            return f"{cells[cell]}.{'final_path_bn' if halves else 'conv_prev_1x1.bn'}"
        for pattern, their in _CELL:
            if match := re.fullmatch(pattern, rest):
                name = match.expand(their)
                return f"{cells[cell]}." + re.sub(r"comb_iter_(\d)", lambda m: f"comb_iter_{int(m[1]) - 1}", name)
        return rest

    return name_pairs(
        net,
        (
            (r"stem\.(conv|norm)", lambda part: f"conv0.{_bn(part)}"),
            (r"head\.dense", "last_linear"),
            (r"([a-z]+\d(?:_cell\d)?)\.(.+)", in_cell),
        ),
    )
