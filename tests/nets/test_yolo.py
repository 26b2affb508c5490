"""Darknet and YOLO: exact counts, published operations, heads, sizes, and the parts that are easily got wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.weights.darknet_by_hand import maxpool, reorg
from tests.weights.darknet_cfg import narrow

import convatlas as ca
from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.base.errors import GeneError, SizeError
from convatlas.catalogue.cards import cards, find_card
from convatlas.genes.genome import Genome
from convatlas.genes.local import LocallyConnected
from convatlas.genes.loci import LOCI, RATES
from convatlas.nets.build import build, skeleton
from convatlas.nets.darknet_steps import Reorganize
from convatlas.nets.families.yolo import YOLO, Rows

# Trainable parameters; numbers in the weight file (running statistics too), in MB of 4 bytes; convolutions and dense
# layers from input to output; billions of operations, two a multiply-add, at the card's size.
COUNTS = {
    "darknet19": (20842376, 83.4, 19, 7.29),
    "darknet53": (41609928, 166.6, 53, 18.57),
    "yolo_v1": (197301875, 789.3, 26, 40.42),
    "yolo_v1_tiny": (27095374, 108.4, 9, 3.22),
    "yolo_v2": (50962889, 203.9, 22, 62.94),
    "yolo_v2_voc": (50655389, 202.7, 22, 29.36),
    "yolo_v2_tiny": (11232057, 44.9, 9, 5.41),
    "yolo_v2_tiny_voc": (15861773, 63.5, 9, 6.97),
    "yolo_v3": (61949149, 248.0, 71, 140.69),
    "yolo_v3_spp": (62998749, 252.2, 72, 141.45),
    "yolo_v3_tiny": (8852366, 35.4, 11, 5.56),
}

# Printed beside the nets on darknet's pages, for photos of other sizes than the card's.
OTHER_SIZES = [
    ("yolo_v3", 320, 38.97),
    ("yolo_v3", 416, 65.86),
    ("darknet19", 448, 22.33),
    ("darknet53", 448, 56.87),
]


def test_the_table_is_whole():
    assert set(COUNTS) == {name for name, card in cards().items() if card.family in ("darknet", "yolo")}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_operations(name):
    anatomy = measure(name)
    trainable, megabytes, path, operations = COUNTS[name]
    assert anatomy.trainable == trainable
    assert round(4 * anatomy.parameters / 1e6, 1) == megabytes
    assert anatomy.path == path
    assert round(2 * anatomy.macs / 1e9, 2) == operations
    assert anatomy.activation == "leaky ReLU"
    assert sum(layer.parameters for layer in anatomy.layers) == anatomy.parameters
    outputs = anatomy.output
    assert outputs[0] * (outputs[1] if len(outputs) > 1 else 1) == find_card(name).outputs


@pytest.mark.parametrize(("name", "size", "operations"), OTHER_SIZES)
def test_operations_at_other_sizes(name, size, operations):
    assert round(2 * measure(name, size=size).macs / 1e9, 2) == operations


def test_twenty_classes_make_the_voc_net_of_version_2():
    """But for its anchors, which are no weights; the tiny net's is wider."""
    assert measure("yolo_v2", classes=20).trainable == measure("yolo_v2_voc").trainable
    assert [len(one.anchors) for one in skeleton("yolo_v2_voc").priors] == [5]
    assert skeleton("yolo_v2").priors != skeleton("yolo_v2_voc").priors
    assert measure("yolo_v2_tiny", classes=20).trainable < measure("yolo_v2_tiny_voc").trainable


@pytest.mark.parametrize("name", COUNTS)
def test_every_operation_is_a_leaf_called_once(name):
    net = skeleton(name).eval()
    operations = trace(net, torch.empty(1, 3, *net.card.input[:2], device="meta"))
    leaves = [path for path, module in net.named_modules() if not list(module.children())]
    assert sorted(operation.path for operation in operations) == sorted(leaves)
    assert all(operation.is_leaf for operation in operations)
    assert "other" not in {layer.locus for layer in measure(name).layers}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("yolo_v2_tiny", {"boxes": (40, 2, 3)}),
        ("yolo_v2", {"boxes_join": (1280, 2, 3), "boxes": (40, 2, 3)}),
        ("yolo_v3_tiny", {"boxes1": (24, 2, 3), "boxes2": (24, 4, 6)}),
        ("yolo_v3", {"boxes1": (24, 2, 3), "boxes2": (24, 4, 6), "boxes3": (24, 8, 12)}),
    ],
)
def test_each_head_is_an_output_and_the_last_holds_them_all(name, shapes):
    net = build(name, classes=3, size=(64, 96)).eval()
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        outputs = net.outputs(x)
        assert torch.equal(outputs["head"], net(x))
    assert list(outputs) == [stage for stage, _ in net.named_children()]
    assert {key: tuple(outputs[key].shape[1:]) for key in shapes} == shapes
    heads = [outputs[key] for key in shapes if "join" not in key]
    rows = sum(head[0, 0].numel() for head in heads) * (5 if "v2" in name else 3)
    assert outputs["head"].shape == (2, rows, 8)
    # The second anchor of the cell in row 1, column 2 of the first map.
    anchors = 5 if "v2" in name else 3
    assert torch.equal(outputs["head"][:, (1 * 3 + 2) * anchors + 1], heads[0][:, 8:16, 1, 2])


def test_version_1_has_a_cell_for_each_position_of_its_last_map():
    for size, cells in [(448, 49), (64, 1), (96, 4), ((128, 320), 10)]:
        assert measure("yolo_v1", size=size, classes=20).output == (cells * 35,)
        assert measure("yolo_v1_tiny", size=size, classes=1).output == (cells * 11,)


@pytest.mark.parametrize("name", [name for name in COUNTS if name.startswith("yolo")])
def test_sizes_are_multiples_of_32(name):
    for size in (31, 100, (64, 65), 416 + 8):
        with pytest.raises(SizeError, match="multiples of 32, such as 416; got") as told:
            skeleton(name, size=size)
        assert "\n" not in str(told.value)
    assert measure(name, size=64).output


def test_classifiers_take_any_size():
    assert measure("darknet19", size=(33, 50)).output == (1000,)
    assert measure("darknet53", size=(33, 50)).output == (1000,)


def test_flattening_darknet19_by_more_numbers_than_one_a_class():
    with pytest.raises(GeneError, match=r"these do: global_average, global_max, gem$"):
        skeleton("darknet19", genes={"flattening": "pyramid"})


def test_reorganizing_is_darknet_s_index_formula_and_no_pixel_unshuffle():
    x = np.random.default_rng(0).normal(size=(2, 64, 6, 10))
    found = Reorganize()(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(found, np.stack([reorg(one) for one in x]))
    assert not np.array_equal(found, F.pixel_unshuffle(torch.from_numpy(x), 2).numpy())
    assert sorted(found.ravel()) == sorted(x.ravel())
    with pytest.raises(RuntimeError):
        Reorganize()(torch.zeros(1, 64, 5, 6))


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (2, 2), (5, 1), (9, 1), (13, 1)])
@pytest.mark.parametrize("size", [(13, 13), (7, 10)])
def test_poolings_keep_the_map_or_halve_it_rounded_up(kernel, stride, size):
    x = np.random.default_rng(0).normal(size=(3, *size))
    pool = Genome(pooling="max").pool(3, kernel, stride, alignment="same")
    np.testing.assert_array_equal(pool(torch.from_numpy(x)[None])[0].numpy(), maxpool(x, kernel, stride))


def test_the_tiny_net_s_last_pooling_looks_right_and_down():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1
    y = LOCI["pooling"]["max"].make(1, 2, 1, "same", "outside")(x)
    assert y[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_a_locally_connected_layer_has_a_kernel_for_each_position():
    torch.manual_seed(0)
    layer = LocallyConnected(2, 3, 3, (4, 5)).double()
    with torch.no_grad():
        layer.bias.normal_()
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    y, padded = layer(x), F.pad(x, (1, 1, 1, 1))
    for i in range(4):
        for j in range(5):
            kernel = layer.weight[i * 5 + j].view(3, 2, 3, 3)
            expected = (kernel * padded[:, None, :, i : i + 3, j : j + 3]).sum((2, 3, 4)) + layer.bias[:, i, j]
            torch.testing.assert_close(y[:, :, i, j], expected, atol=1e-12, rtol=0)
    with pytest.raises(RuntimeError):
        layer(torch.zeros(1, 2, 5, 5, dtype=torch.float64))


def test_the_local_layer_in_the_anatomy():
    (layer,) = [layer for layer in measure("yolo_v1").layers if layer.kind == "locally connected"]
    assert (layer.name, layer.kernel, layer.padding) == ("local.local1.local", (3, 3), (1, 1))
    assert layer.macs == 49 * 256 * 1024 * 9
    before = measure("yolo_v1").layers[layer.number - 2]
    assert layer.field[0] == before.field[0] + 2 * before.field_stride[0]


def test_what_the_fields_say_of_rows_and_of_reorganized_maps():
    layers = {layer.name: layer for layer in measure("yolo_v2").layers}
    # It moves single positions to places that are no grid: none of them sees the whole photo.
    assert not layers["passthrough.reorg1"].sees_all
    assert layers["passthrough.reorg1"].field is None
    assert layers["head"].field is not None
    assert layers["head"].field == layers["boxes.boxes1.conv"].field
    last = measure("yolo_v3").layers[-1]
    assert (last.kind, last.sees_all, len(last.inputs)) == ("boxes in rows", False, 3)
    assert last.field == (981, 981)


def test_rows_of_one_map():
    x = torch.arange(2 * 3 * 2 * 2.0).reshape(1, 6, 2, 2)
    rows = [[0, 4, 8], [12, 16, 20], [1, 5, 9], [13, 17, 21], [2, 6, 10], [14, 18, 22], [3, 7, 11], [15, 19, 23]]
    assert Rows((2,))(x)[0].tolist() == rows


def test_residuals_of_the_deep_body_can_be_dropped():
    net = skeleton("yolo_v3", genes={"stochastic_depth": 0.2})
    rates = [module.rate for module in net.modules() if type(module).__name__ == "StochasticDepth"]
    # The first one's is 0, and it is left out.
    assert rates == pytest.approx([0.2 * number / 22 for number in range(1, 23)])


def test_attention_stands_after_each_block_or_stage_and_never_on_the_boxes():
    net = skeleton("yolo_v3_tiny", genes={"attention": "squeeze_excitation"}, size=64)
    gated = {name.split(".")[0] for name, module in net.named_modules() if type(module).__name__ == "Gated"}
    assert gated == {*(f"stage{number}" for number in range(1, 8)), "neck1"}
    net = skeleton("darknet53", genes={"attention": "eca"})
    assert sum(type(module).__name__ == "Gated" for module in net.modules()) == 1 + 23


def test_the_front_door():
    anatomy = ca.measure("YOLOv3-tiny", size=(320, 416), classes=1, channels=1)
    assert anatomy.output == ((10 * 13 + 20 * 26) * 3, 6)
    assert ca.check("yolo_v3").unexplained == ()
    assert isinstance(ca.build("yolo_v3_tiny", size=32), YOLO)


GENES = [(locus, gene) for locus, genes in LOCI.items() for gene in genes] + [(rate, 0.1) for rate in RATES]
DEEP = ("darknet53", "yolo_v1", "yolo_v2", "yolo_v3_spp")
NO_PLACE = {
    ("darknet53", "pooling"),
    *((net, locus) for net in ("yolo_v1", "yolo_v2") for locus in ("stochastic_depth", "skip")),
    *((net, locus) for net in ("yolo_v2", "yolo_v3_spp") for locus in ("flattening", "dropout")),
}
# Maps that are smaller than what they are added to, joined with or looked at by the next layer; widths that are no
# multiples.
UNFIT = {
    *((net, "alignment", "valid") for net in DEEP),
    *((net, "convolution", "depthwise") for net in ("yolo_v1", "yolo_v2")),
}
CASES = [(net, *gene) for net in DEEP for gene in GENES]


ELSEWHERE = ("feedback", "output", "auxiliary", "routing", "decoder", "iterations")
"""Loci of other families."""


def swapped(name: str, locus: str, gene: object) -> None:
    """A narrow net with another gene learns from a photo; its widths are its own, so the errors are raw ones."""
    published = narrow(name, (192, 192)).genome
    if (name, locus) in NO_PLACE or locus in ELSEWHERE:
        with pytest.raises(GeneError, match=f"{name} has no {locus} to swap"):
            published.swapped(name, {locus: gene})
        return
    genome = published.swapped(name, {locus: gene})
    x = torch.randn(2, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    if (name, locus, gene) in UNFIT:
        with pytest.raises((RuntimeError, ValueError)):
            narrow(name, (192, 192), genome)(x)
        return
    net = narrow(name, (192, 192), genome).train()
    y = net(x)
    y.square().mean().backward()
    assert torch.isfinite(y).all()
    for path, parameter in net.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path


@pytest.mark.parametrize(("net", "locus", "gene"), [case for number, case in enumerate(CASES) if number % 5 == 0])
def test_a_gene_on_a_narrow_net(net, locus, gene):
    swapped(net, locus, gene)


@pytest.mark.sweep
@pytest.mark.parametrize(("net", "locus", "gene"), [case for number, case in enumerate(CASES) if number % 5])
def test_every_other_gene_on_every_other_narrow_net(net, locus, gene):
    swapped(net, locus, gene)
