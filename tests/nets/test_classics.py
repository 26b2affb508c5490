"""AlexNet, Inception-v1, the ResNets, ShuffleNetV2: counts to the unit, and what the review tells of their anatomy."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.catalogue.cards import cards
from convatlas.genes.loci import LOCI, RATES
from convatlas.genes.padding import Pad
from convatlas.genes.pooling import MaxPool
from convatlas.nets.build import build, skeleton
from convatlas.nets.families.shufflenet_v2 import Unit

# All parameters, trainable ones, layers that own weights. Trainable ones as published, or as counted in the twin.
COUNTS = {
    "alexnet": (60965224, 60965224, 8),
    "alexnet_one_tower": (61100840, 61100840, 8),
    "inception_v1": (6998552, 6998552, 58),
    "googlenet_bn": (6639464, 6624904, 115),
    "resnet18": (11699112, 11689512, 41),
    "resnet34": (21814696, 21797672, 73),
    "se_resnet50": (28141144, 28088024, 139),
    "resnext50_32x4d": (25097128, 25028904, 107),
    "se_resnext50_32x4d": (27628120, 27559896, 139),
    "shufflenet_v2_x0_5": (1374744, 1366792, 113),
    "shufflenet_v2_x1_0": (2294784, 2278604, 113),
    "shufflenet_v2_x1_5": (3527064, 3503624, 113),
    "shufflenet_v2_x2_0": (7427712, 7393996, 113),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_one_call_of_each_leaf(name):
    anatomy = ca.measure(name)
    assert (anatomy.parameters, anatomy.trainable, anatomy.depth) == COUNTS[name]
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    net = skeleton(name).eval()
    operations = trace(net, torch.empty(1, 3, 224, 224, device="meta"))
    leaves = [path for path, module in net.named_modules() if not list(module.children())]
    assert sorted(operation.path for operation in operations) == sorted(leaves)
    assert all(operation.is_leaf for operation in operations)


@pytest.mark.parametrize(
    ("name", "genes", "parameters"),
    [
        ("alexnet", {"convolution": "dense"}, 62378344),
        ("inception_v1", {"auxiliary": "heads"}, 13378280),
        ("googlenet_bn", {"auxiliary": "heads"}, 13004888),
        ("resnet50", {"attention": "se"}, 25583592 + 2530992),
        ("resnext50_32x4d", {"attention": "se"}, 27559896),
        ("se_resnet50", {"attention": "none"}, 25557032),
    ],
)
def test_counts_of_other_genes(name, genes, parameters):
    assert ca.measure(name, genes=genes).trainable == parameters


def test_without_groups_the_3_x_3_convolutions_have_32_times_the_weights():
    grouped = sum(9 * 4 * 128 * 2**stage * 2**stage * count for stage, count in enumerate((3, 4, 6, 3)))
    found = ca.measure("resnext50_32x4d", genes={"convolution": "dense"})
    assert found.trainable - COUNTS["resnext50_32x4d"][1] == 31 * grouped


@pytest.mark.parametrize("name", ["alexnet_one_tower", "googlenet_bn", "se_resnext50_32x4d"])
def test_the_published_genome_spelled_out_is_the_default(name):
    """Of the rows that stand for no family in the tests of genomes."""
    published = skeleton(name).genome
    genes = {locus: getattr(published, locus) for locus in (*LOCI, *RATES) if getattr(published, locus) is not None}
    plain, spelled = build(name, size=64, classes=3).eval(), build(name, size=64, classes=3, genes=genes).eval()
    x = torch.randn(1, 3, 64, 64)
    assert spelled.genome == plain.genome
    assert list(spelled.state_dict()) == list(plain.state_dict())
    assert torch.equal(spelled(x), plain(x))


def output(anatomy: Anatomy, name: str) -> tuple[int, ...]:
    return next(layer.output for layer in anatomy.layers if layer.name == name)


def convolutions(anatomy: Anatomy, prefix: str) -> list[tuple[int, int]]:
    """(kernel, maps) of the convolutions below `prefix`, gates aside."""
    return [
        (layer.kernel[0], layer.output[0])
        for layer in anatomy.layers
        if layer.name.startswith(f"{prefix}.") and layer.locus == "convolution" and ".gate." not in layer.name
    ]


class TestAlexNet:
    """Krizhevsky et al. 2012, as the review's "object mode" tells it."""

    def test_shapes(self):
        anatomy = ca.measure("alexnet")
        assert output(anatomy, "block1.conv") == (2 * 48, 55, 55)
        assert output(anatomy, "block1.pool") == (2 * 48, 27, 27)
        assert output(anatomy, "block2.conv") == (2 * 128, 27, 27)
        assert output(anatomy, "block2.pool") == (2 * 128, 13, 13)
        assert output(anatomy, "block3.conv") == output(anatomy, "block4.conv") == (2 * 192, 13, 13)
        assert output(anatomy, "block5.conv") == (2 * 128, 13, 13)
        assert output(anatomy, "block5.pool") == (2 * 128, 6, 6)
        assert [layer.output for layer in anatomy.layers if layer.locus == "dense"] == [(4096,), (4096,), (1000,)]

    def test_groups_and_kernels(self):
        net = skeleton("alexnet")
        kernels = [tuple(block.conv.weight.shape) for name, block in net.named_children() if name != "head"]
        assert kernels == [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3)]

    def test_the_second_convolution_keeps_the_towers_apart_and_the_third_does_not(self):
        net = build("alexnet", size=96)
        for block, mixed in ((net.block2, False), (net.block3, True), (net.block4, False), (net.block5, False)):
            x = torch.randn(1, block.conv.in_channels, 7, 7, requires_grad=True)
            block.conv(x)[:, : block.conv.out_channels // 2].sum().backward()
            assert (x.grad[:, x.shape[1] // 2 :] != 0).any().item() is mixed

    def test_order_in_a_block(self):
        net = skeleton("alexnet")
        assert [name for name, _ in net.block1.named_children()] == ["pad", "conv", "act", "norm", "pool"]
        assert [name for name, _ in net.block2.named_children()] == ["conv", "act", "norm", "pool"]
        assert [name for name, _ in net.block3.named_children()] == ["conv", "act"]

    def test_local_response_normalization_is_the_paper_s(self):
        """b = a / (k + alpha sum a^2)^beta, the sum over n = 5 maps, not its mean."""
        x = torch.randn(1, 96, 3, 3, dtype=torch.float64) * 100
        squares = F.pad(x * x, (0, 0, 0, 0, 2, 2))
        around = sum(squares[:, shift : shift + 96] for shift in range(5))
        torch.testing.assert_close(build("alexnet", size=96).block1.norm(x), x / (2 + 1e-4 * around) ** 0.75)

    def test_pooling_overlaps(self):
        pool = skeleton("alexnet").block1.pool
        assert isinstance(pool, MaxPool)
        assert (pool.kernel, pool.stride, pool.alignment) == (3, 2, "valid")

    @torch.no_grad()
    def test_a_photo_of_224_is_one_of_227_padded_and_convolved_valid(self):
        """Both readings of the paper, bit for bit; and a photo of 227 never meets the border."""
        net = build("alexnet", classes=10).eval()
        assert isinstance(net.block1.pad, Pad)
        x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        large = torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(1))
        padded, bordered = net(x), net(large)
        net.block1.pad = nn.Identity()
        assert torch.equal(net(F.pad(x, (0, 3, 0, 3))), padded)
        torch.testing.assert_close(net(large), bordered, rtol=1e-4, atol=1e-6)

    def test_at_227_all_else_is_the_same(self):
        keys = {key: tensor.shape for key, tensor in skeleton("alexnet").state_dict().items()}
        assert keys == {key: tensor.shape for key, tensor in skeleton("alexnet", size=227).state_dict().items()}


class TestInception:
    """Szegedy et al. 2015, table 1."""

    def test_shapes(self):
        anatomy = ca.measure("inception_v1")
        expected = {
            "stem.conv1.conv": (64, 112, 112),
            "stem.pool1": (64, 56, 56),
            "stem.conv3.conv": (192, 56, 56),
            "stem.pool2": (192, 28, 28),
            "inception3a": (256, 28, 28),
            "inception3b": (480, 28, 28),
            "pool3": (480, 14, 14),
            "inception4a": (512, 14, 14),
            "inception4b": (512, 14, 14),
            "inception4c": (512, 14, 14),
            "inception4d": (528, 14, 14),
            "inception4e": (832, 14, 14),
            "pool4": (832, 7, 7),
            "inception5a": (832, 7, 7),
            "inception5b": (1024, 7, 7),
        }
        for name, shape in expected.items():
            where = f"{name}.branches.concat" if name.startswith("inception") else name
            assert output(anatomy, where) == shape

    def test_biases_real_5_x_5_and_two_local_response_normalizations(self):
        net = skeleton("inception_v1")
        convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        assert len(convs) == 57
        assert all(conv.bias is not None for conv in convs)
        assert sum(conv.kernel_size == (5, 5) for conv in convs) == 9
        assert [path for path, m in net.named_modules() if isinstance(m, nn.LocalResponseNorm)] == [
            "stem.norm1",
            "stem.norm2",
        ]
        assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())

    def test_auxiliary_heads_only_when_asked_and_only_in_training(self):
        plain, net = build("inception_v1", seed=3), build("inception_v1", seed=3, genes={"auxiliary": "heads"})
        assert dict(plain.loss_weights) == {}
        assert net.loss_weights == {"aux1": 0.3, "aux2": 0.3}
        heads = {key: tensor.numel() for key, tensor in net.state_dict().items() if key.startswith("aux")}
        assert sum(size for key, size in heads.items() if key.startswith("aux1")) == 3188840
        assert sum(size for key, size in heads.items() if key.startswith("aux2")) == 3190888
        assert set(net.state_dict()) - set(heads) == set(plain.state_dict())
        x = torch.randn(2, 3, 224, 224)
        outputs = net.train().outputs(x)
        assert list(outputs)[-1] == "head"
        assert [outputs[name].shape for name in ("aux1", "aux2", "head")] == [(2, 1000)] * 3
        assert list(outputs)[list(outputs).index("aux1") - 1] == "inception4a"
        assert list(outputs)[list(outputs).index("aux2") - 1] == "inception4d"
        net.load_state_dict(plain.state_dict(), strict=False)
        net.eval(), plain.eval()
        with torch.no_grad():
            assert list(net.outputs(x)) == list(plain.outputs(x))
            assert torch.equal(net(x), plain(x))
        assert ca.measure("inception_v1", genes={"auxiliary": "heads"}).macs == ca.measure("inception_v1").macs

    def test_a_head_s_gradient_reaches_what_lies_before_it_alone(self):
        net = build("inception_v1", size=96, classes=3, genes={"auxiliary": "heads"}).train()
        net.outputs(torch.randn(2, 3, 96, 96))["aux1"].sum().backward()
        reached = {path.split(".")[0] for path, weight in net.named_parameters() if weight.grad is not None}
        assert reached == {"stem", "inception3a", "inception3b", "inception4a", "aux1"}

    def test_a_photo_too_small_for_the_heads_is_refused_with_what_fits(self):
        with pytest.raises(ca.ConvAtlasError, match=r"auxiliary=heads does not fit .* at 64 x 64; these do: none"):
            build("inception_v1", size=64, genes={"auxiliary": "heads"})
        assert build("googlenet_bn", size=32, genes={"auxiliary": "heads"}).loss_weights


# The review's table of ResNets: output size, then (kernel, maps) of a block and how often it stands there.
STAGES = {"conv2": 56, "conv3": 28, "conv4": 14, "conv5": 7}
TABLE = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}
FLOPS = ["1.8×10^9", "3.6×10^9", "3.8×10^9", "7.6×10^9", "11.3×10^9"]


@pytest.mark.parametrize("name", TABLE)
def test_the_review_s_table_of_resnets(name):
    anatomy = ca.measure(name)
    kind, counts = TABLE[name]
    assert convolutions(anatomy, "stem") == [(7, 64)]
    assert output(anatomy, "stem.conv") == (64, 112, 112)
    assert (output(anatomy, "stem.pool"), skeleton(name).stem.pool.kernel) == ((64, 56, 56), 3)
    for number, ((stage, side), count) in enumerate(zip(STAGES.items(), counts, strict=True)):
        width = 64 * 2**number
        block = [(3, width)] * 2 if kind == "basic" else [(1, width), (3, width), (1, 4 * width)]
        for one in range(1, count + 1):
            assert convolutions(anatomy, f"{stage}.block{one}.branch") == block
        assert not any(layer.name.startswith(f"{stage}.block{count + 1}.") for layer in anatomy.layers)
        assert output(anatomy, f"{stage}.block{count}.act")[1:] == (side, side)
    assert anatomy.layers[-1].output == (1000,)
    assert anatomy.path == int(name.removeprefix("resnet"))
    cell = {cell.column: cell for cell in ca.check(name).cells}["flops"]
    assert cell.published == FLOPS[list(TABLE).index(name)]
    assert cell.rule.startswith("multiply-adds counted once")


def is_convolution_block(layers: list[Layer], block: str) -> bool:
    """Whether the shortcut is a convolution: the review's convolution block; else it is an identity block."""
    return any(layer.name == f"{block}.shortcut.conv" for layer in layers)


def test_resnet50_is_what_the_review_tells():
    """1 layer, then 9, 12, 18 and 9 in a convolution block and 2, 3, 5 and 2 identity blocks, then 1 dense layer."""
    anatomy = ca.measure("ResNet-50")
    assert [layer.kind for layer in anatomy.layers[:4]] == ["convolution", "batch normalization", "ReLU", "max pooling"]
    told = {"conv2": (9, 2), "conv3": (12, 3), "conv4": (18, 5), "conv5": (9, 2)}
    for stage, (layers, identities) in told.items():
        names = dict.fromkeys(".".join(layer.name.split(".")[:2]) for layer in anatomy.layers)
        blocks = [name for name in names if name.startswith(f"{stage}.")]
        assert [is_convolution_block(anatomy.layers, block) for block in blocks] == [True] + [False] * identities
        assert sum(len(convolutions(anatomy, f"{block}.branch")) for block in blocks) == layers
        assert all(len(convolutions(anatomy, f"{block}.branch")) == 3 for block in blocks)
    assert 1 + 9 + 12 + 18 + 9 + 1 == anatomy.path == 50
    last = [layer.kind for layer in anatomy.layers[-3:]]
    assert last == ["ReLU", "global average pooling", "dense"]
    assert (anatomy.input, anatomy.output) == ((3, 224, 224), (1000,))
    assert round(anatomy.parameters / 1e6) == 26


# The review's table of three columns: maps of the three convolutions, and the gate's two layers.
COLUMNS = {
    "resnet50": ([(64, 64, 256), (128, 128, 512), (256, 256, 1024), (512, 512, 2048)], False, 1),
    "se_resnet50": ([(64, 64, 256), (128, 128, 512), (256, 256, 1024), (512, 512, 2048)], True, 1),
    "se_resnext50_32x4d": ([(128, 128, 256), (256, 256, 512), (512, 512, 1024), (1024, 1024, 2048)], True, 32),
}
GATES = [[16, 256], [32, 512], [64, 1024], [128, 2048]]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_review_s_table_of_gates_and_groups(name):
    anatomy, net = ca.measure(name), skeleton(name)
    widths, gated, groups = COLUMNS[name]
    assert output(anatomy, "stem.conv") == (64, 112, 112)
    for (stage, side), three, gate, count in zip(STAGES.items(), widths, GATES, (3, 4, 6, 3), strict=True):
        assert len(getattr(net, stage)) == count
        for number, block in enumerate(getattr(net, stage), 1):
            path = f"{stage}.block{number}"
            assert convolutions(anatomy, f"{path}.branch") == list(zip((1, 3, 1), three, strict=True))
            assert output(anatomy, f"{path}.act") == (three[2], side, side)
            assert block.branch.conv2.conv.groups == groups
            layers = [one for one in anatomy.layers if one.name.startswith(f"{path}.branch.attention.gate.")]
            assert [one.output[0] for one in layers if one.parameters] == (gate if gated else [])
            if gated:
                # Behind the last normalization, and before the sum.
                assert list(dict(block.branch.named_children())) == ["conv1", "conv2", "conv3", "attention"]
                assert list(dict(block.branch.conv3.named_children())) == ["conv", "norm"]
    assert anatomy.path == 50


def test_squeeze_and_excitation_adds_two_and_a_half_million_parameters():
    added = COUNTS["se_resnet50"][1] - 25557032
    assert added == COUNTS["se_resnext50_32x4d"][1] - COUNTS["resnext50_32x4d"][1] == 2530992


class TestMobileNet:
    """The review: "30 layers", "71% accuracy", and the first five of them."""

    def test_30_is_28_with_the_pooling_and_the_softmax(self):
        anatomy = ca.measure("mobilenet")
        layers = anatomy.layers
        weighted = [layer for layer in layers if layer.locus in ("convolution", "dense")]
        pools = [layer for layer in layers if layer.kind == "global average pooling"]
        norms = [layer for layer in layers if layer.locus == "normalization"]
        assert len(weighted) == anatomy.path == 28
        assert len(weighted) + len(pools) + (cards()["mobilenet"].probabilities == "softmax") == 30
        assert len(weighted) + len(norms) == anatomy.depth == 55

    def test_both_figures_are_explained(self):
        cells = {cell.column: cell for cell in ca.check("mobilenet").cells}
        assert (cells["layers"].published, cells["layers"].measured) == ("30", 28)
        assert (cells["top1_short"].published, cells["top1"].published) == ("71%", "70.4%")
        for column in ("layers", "top1_short"):
            assert cells[column].explained
            assert cells[column].rule.startswith("exception: ")

    def test_the_first_layers(self):
        first = [layer for layer in ca.measure("mobilenet").layers if layer.locus == "convolution"][:5]
        assert [layer.stride[0] for layer in first] == [2, 1, 1, 2, 1]
        depthwise = [layer.kind == "depthwise convolution" for layer in first]
        assert depthwise == [False, True, False, True, False]
        maps = [layer.output[0] for layer in first]
        assert (maps[2], maps[4]) == (2 * maps[1], 2 * maps[3])


class TestShuffleNet:
    """Ma et al. 2018, table 5."""

    @pytest.mark.parametrize(
        ("name", "maps"),
        [
            ("shufflenet_v2_x0_5", (24, 48, 96, 192, 1024)),
            ("shufflenet_v2_x1_0", (24, 116, 232, 464, 1024)),
            ("shufflenet_v2_x1_5", (24, 176, 352, 704, 1024)),
            ("shufflenet_v2_x2_0", (24, 244, 488, 976, 2048)),
        ],
    )
    def test_table(self, name, maps):
        shapes = {stage: tuple(y.shape[1:]) for stage, y in skeleton(name).eval().outputs(photo(224)).items()}
        sides = {"stem": 56, "stage2": 28, "stage3": 14, "stage4": 7, "conv_head": 7}
        expected = {stage: (width, side, side) for (stage, side), width in zip(sides.items(), maps, strict=True)}
        assert shapes == expected | {"head": (1000,)}
        assert [len(getattr(skeleton(name), f"stage{number}")) for number in (2, 3, 4)] == [4, 8, 4]

    def test_half_of_the_maps_pass_a_unit_and_are_mixed_with_the_others(self):
        net = build("shufflenet_v2_x0_5").eval()
        x = torch.randn(1, 48, 8, 8)
        with torch.no_grad():
            y = net.stage2.unit2(x)
            assert torch.equal(y[:, 0::2], x[:, :24])
            assert torch.equal(y[:, 1::2], net.stage2.unit2.branch(x[:, 24:]))

    def test_the_shuffle_is_pytorch_s(self):
        shuffle = next(
            module for module in skeleton("shufflenet_v2_x1_0").modules() if isinstance(module, Unit)
        ).shuffle
        x = torch.randn(2, 116, 3, 5)
        assert torch.equal(shuffle(x), nn.ChannelShuffle(2)(x))

    def test_slice_and_shuffle_are_operations_of_their_own(self):
        layers = {layer.name: layer for layer in ca.measure("shufflenet_v2_x1_0").layers}
        names = list(layers)
        fed = {name: [names[number - 1] for number in layers[name].inputs] for name in names}
        unit = "stage2.unit2"
        assert layers[f"{unit}.skip"].kind == layers[f"{unit}.work"].kind == "channel slice"
        assert layers[f"{unit}.shuffle"].kind == "channel shuffle"
        assert fed[f"{unit}.skip"] == fed[f"{unit}.work"] == ["stage2.unit1.shuffle"]
        assert fed[f"{unit}.concat"] == [f"{unit}.skip", f"{unit}.branch.pointwise2.act"]
        assert fed[f"{unit}.shuffle"] == [f"{unit}.concat"]

    def test_the_paper_counts_about_a_hundredth_more_operations(self):
        for name in COUNTS:
            if name.startswith("shufflenet"):
                cell = {cell.column: cell for cell in ca.check(name).cells}["flops"]
                assert -0.014 < cell.difference < -0.007
                assert cell.rule.startswith("exception: ")


def photo(side: int) -> torch.Tensor:
    return torch.empty(1, 3, side, side, device="meta")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("alexnet", (8, "60M", "Local Response Normalization")),
        ("vgg16", (16, "138M", "Very deep but still single thread")),
        ("inception_v1", (22, "7M", "Auxiliary Classifiers & Inception Module")),
        ("resnet50", (50, "26M", "Batch Normalization & Residual Blocks")),
    ],
)
def test_the_rows_of_section_iv(name, row):
    """Default input and output, layers on the longest path, parameters, activation; the perk as printed."""
    layers, parameters, perk = row
    measured = ca.measure(name).row()
    assert (measured["input"], measured["output"], measured["path"]) == ((224, 224, 3), 1000, layers)
    assert measured["activation"] == "ReLU"
    cells = {cell.column: cell for cell in ca.check(name).cells}
    assert cells["parameters_short"].published == parameters
    assert cells["layers"].published == str(layers)
    assert {"input", "output", "layers", "parameters_short", "activation"} <= set(cells)
    assert all(cell.explained for cell in cells.values())
    assert cards()[name].figures["perk"].printed == perk


@pytest.mark.parametrize("name", ["alexnet_one_tower", "googlenet_bn", "se_resnext50_32x4d", "resnet34"])
def test_other_sizes_channels_and_classes(name):
    net = build(name, size=(96, 75), channels=1, classes=3, seed=2).eval()
    x = torch.randn(1, 1, 96, 75)
    outputs = net.outputs(x)
    assert list(outputs) == [stage for stage, _ in net.named_children()]
    assert torch.equal(outputs["head"], net(x))
    assert net(x).shape == (1, 3)
