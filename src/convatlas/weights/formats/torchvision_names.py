"""Torchvision's names of layers (as of 0.24), as rules for our paths; timm shares some of them."""

from __future__ import annotations

from collections.abc import Iterator

from convatlas.nets.families.shufflenet_v2 import Unit
from convatlas.nets.families.vgg import VGG
from convatlas.nets.net import Net
from convatlas.weights.formats.key_mapping import Rule, name_pairs


def _bn(part: str) -> str:
    return "bn" if part == "norm" else part


def _place(part: str) -> int:
    """Index in a Sequential of a convolution and its normalization."""
    return 1 if part == "norm" else 0


RESNET: tuple[Rule, ...] = (
    (r"stem\.conv", "conv1"),
    (r"stem\.norm", "bn1"),
    (
        r"conv(\d)\.block(\d+)\.branch\.conv(\d)\.(conv|norm)",
        lambda stage, block, conv, part: f"layer{stage - 1}.{block - 1}.{_bn(part)}{conv}",
    ),
    (
        r"conv(\d)\.block(\d+)\.shortcut\.(conv|norm)",
        lambda stage, block, part: f"layer{stage - 1}.{block - 1}.downsample.{_place(part)}",
    ),
    (r"head\.dense", "fc"),
)

DENSENET: tuple[Rule, ...] = (
    (r"stem\.(conv|norm)", lambda part: f"features.{part}0"),
    (
        r"dense(\d)\.layer(\d+)\.branch\.(\w+)",
        lambda block, layer, part: f"features.denseblock{block}.denselayer{layer}.{part}",
    ),
    (r"transition(\d)\.(conv|norm)", lambda number, part: f"features.transition{number}.{part}"),
    (r"post_norm\.norm", "features.norm5"),
    (r"head\.dense", "classifier"),
)

_FIRST = {2: 1, 3: 3, 4: 6, 5: 10, 6: 13, 7: 16}
"""Number of blocks before each stage of MobileNetV2."""

MOBILENET_V2: tuple[Rule, ...] = (
    (r"stem\.(conv|norm)", lambda part: f"features.0.{_place(part)}"),
    (r"stage1\.block1\.branch\.spatial\.(conv|norm)", lambda part: f"features.1.conv.0.{_place(part)}"),
    (r"stage1\.block1\.branch\.project\.(conv|norm)", lambda part: f"features.1.conv.{1 + _place(part)}"),
    (
        r"stage(\d)\.block(\d)\.branch\.expand\.(conv|norm)",
        lambda stage, block, part: f"features.{_FIRST[stage] + block}.conv.0.{_place(part)}",
    ),
    (
        r"stage(\d)\.block(\d)\.branch\.spatial\.(conv|norm)",
        lambda stage, block, part: f"features.{_FIRST[stage] + block}.conv.1.{_place(part)}",
    ),
    (
        r"stage(\d)\.block(\d)\.branch\.project\.(conv|norm)",
        lambda stage, block, part: f"features.{_FIRST[stage] + block}.conv.{2 + _place(part)}",
    ),
    (r"conv_head\.(conv|norm)", lambda part: f"features.18.{_place(part)}"),
    (r"head\.dense", "classifier.1"),
)

_CONVNEXT = {"conv": 0, "norm": 2, "expand": 3, "project": 5}
CONVNEXT: tuple[Rule, ...] = (
    (r"stem\.conv\.conv", "features.0.0"),
    (r"stem\.norm", "features.0.1"),
    (r"downsample(\d)\.norm", lambda number: f"features.{2 * number}.0"),
    (r"downsample(\d)\.conv\.conv", lambda number: f"features.{2 * number}.1"),
    (
        r"stage(\d)\.block(\d+)\.branch\.scale",
        lambda stage, block: f"features.{2 * stage - 1}.{block - 1}.layer_scale",
    ),
    (
        r"stage(\d)\.block(\d+)\.branch\.(conv|norm|expand|project)",
        lambda stage, block, part: f"features.{2 * stage - 1}.{block - 1}.block.{_CONVNEXT[part]}",
    ),
    (r"head\.norm", "classifier.0"),
    (r"head\.dense", "classifier.2"),
)
CONVNEXT_SHAPES = {r".*\.block\.[35]\.weight": (), r".*\.layer_scale": (1, 1)}

_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_BRANCHES = {
    "5": ("branch1x1", "branch5x5_{}", "branch3x3dbl_{}", "branch_pool"),
    "6a": ("branch3x3", "branch3x3dbl_{}"),
    "6": ("branch1x1", "branch7x7_{}", "branch7x7dbl_{}", "branch_pool"),
    "7a": ("branch3x3_{}", "branch7x7x3_{}"),
    "7": ("branch1x1", "branch3x3_{}", "branch3x3dbl_{}", "branch_pool"),
}


def _inception(mixed: int, branch: int, conv: int, part: str) -> str:
    name = _MIXED[mixed]
    branches = _BRANCHES.get(name, _BRANCHES[name[0]])
    return f"Mixed_{name}.{branches[branch].format(conv)}.{_bn(part)}"


def _fork(mixed: int, branch: int, side: int, part: str) -> str:
    return f"Mixed_{_MIXED[mixed]}.{_BRANCHES['7'][branch].format(branch + 1)}{'ab'[side]}.{_bn(part)}"


INCEPTION: tuple[Rule, ...] = (
    (
        r"stem\.conv(\d)\.(conv|norm)",
        lambda conv, part: f"Conv2d_{('1a_3x3', '2a_3x3', '2b_3x3', '3b_1x1', '4a_3x3')[conv - 1]}.{_bn(part)}",
    ),
    (r"mixed(\d+)\.branches\.branches\.(\d)\.conv(\d)\.(conv|norm)", _inception),
    (r"mixed(\d+)\.branches\.branches\.(\d)\.split\.branches\.(\d)\.conv1\.(conv|norm)", _fork),
    (r"head\.dense", "fc"),
)


def _mbconv(stage: int, block: int, part: str, layer: str) -> str:
    return f"features.{stage}.{block - 1}.block.{part}.{layer}"


def efficientnet(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of EfficientNet, which numbers the parts of a block; blocks differ in their parts."""
    places: dict[str, dict[str, int]] = {}
    last = 1 + max(int(name.removeprefix("stage")) for name, _ in net.named_children() if name.startswith("stage"))
    rules: tuple[Rule, ...] = (
        (r"stem\.(conv|norm)", lambda part: f"features.0.{_place(part)}"),
        (
            r"stage(\d)\.block(\d+)\.branch\.(\w+)\.(conv|norm)",
            lambda stage, block, part, layer: _mbconv(
                stage, block, str(places[f"stage{stage}.block{block}"][part]), str(_place(layer))
            ),
        ),
        (
            r"stage(\d)\.block(\d+)\.branch\.attention\.gate\.(reduce|expand)",
            lambda stage, block, layer: _mbconv(
                stage,
                block,
                str(places[f"stage{stage}.block{block}"]["attention"]),
                "fc1" if layer == "reduce" else "fc2",
            ),
        ),
        (r"conv_head\.(conv|norm)", lambda part: f"features.{last}.{_place(part)}"),
        (r"head\.dense", "classifier.1"),
    )
    for path, module in net.named_modules():
        if path.endswith(".branch"):
            parts = [name for name, _ in module.named_children() if name != "drop"]
            places[path.removesuffix(".branch")] = {name: place for place, name in enumerate(parts)}
    return name_pairs(net, rules)


def vgg(net: VGG) -> Iterator[tuple[str, str]]:
    """Yield the names of VGG, whose features are one Sequential of convolutions, activations and poolings."""
    place = 0
    for path, _ in net.named_modules():
        if path.endswith(".conv"):
            yield f"features.{place}", path
            place += 2
        elif path.endswith(".pool"):
            place += 1
    yield from (
        (f"classifier.{number}", f"head.{name}") for number, name in ((0, "dense1"), (3, "dense2"), (6, "dense"))
    )


def alexnet(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of the one-tower AlexNet, whose features are one Sequential."""
    for block, number in enumerate((0, 3, 6, 8, 10), 1):
        yield f"features.{number}", f"block{block}.conv"
    yield "classifier.1", "head.dense1"
    yield "classifier.4", "head.dense2"
    yield "classifier.6", "head.dense"


def googlenet(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of GoogLeNet, and of its auxiliary classifiers if our net has them."""
    for number in (1, 2, 3):
        yield from _unit(f"conv{number}", f"stem.conv{number}")
    for name, _ in net.named_children():
        if name.startswith("inception"):
            ours = f"{name}.branches.branches"
            yield from _unit(f"{name}.branch1", f"{ours}.0.conv1")
            for branch in (1, 2):
                yield from _unit(f"{name}.branch{branch + 1}.0", f"{ours}.{branch}.conv1")
                yield from _unit(f"{name}.branch{branch + 1}.1", f"{ours}.{branch}.conv2")
            yield from _unit(f"{name}.branch4.1", f"{ours}.3.conv2")
        elif name.startswith("aux"):
            yield from _unit(f"{name}.conv", f"{name}.reduce")
            yield f"{name}.fc1", f"{name}.classify.dense1"
            yield f"{name}.fc2", f"{name}.classify.dense"
    yield "fc", "head.dense"


def _unit(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{theirs}.conv", f"{ours}.conv"
    yield f"{theirs}.bn", f"{ours}.norm"


def shufflenet_v2(net: Net) -> Iterator[tuple[str, str]]:
    """Yield the names of ShuffleNetV2: each branch of a unit is a Sequential of convolutions, norms and activations."""
    yield "conv1.0", "stem.conv"
    yield "conv1.1", "stem.norm"
    for ours, unit in net.named_modules():
        if not isinstance(unit, Unit):
            continue
        stage, number = ours.split(".unit")
        theirs = f"{stage}.{int(number) - 1}"
        branches = {"branch1": "skip", "branch2": "branch"} if unit.work is None else {"branch2": "branch"}
        for their, our in branches.items():
            place = 0
            for name, part in getattr(unit, our).named_children():
                yield f"{theirs}.{their}.{place}", f"{ours}.{our}.{name}.conv"
                yield f"{theirs}.{their}.{place + 1}", f"{ours}.{our}.{name}.norm"
                place += len(part)
    yield "conv5.0", "conv_head.conv"
    yield "conv5.1", "conv_head.norm"
    yield "fc", "head.dense"
