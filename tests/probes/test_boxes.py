"""Boxes of detectors as targets: the ones that detect finds, explained before non-maximum suppression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.nets.boxes import decode, decode_parts, select_boxes
from convatlas.predict.predictors import MAX_OVERLAP
from convatlas.probes.coverage import coverage
from convatlas.probes.explain import explain
from convatlas.probes.targets import Box, targets_of

SIDES = {"yolo_v1_tiny": 192, "yolo_v2_tiny": 64, "yolo_v3_tiny": 64}
"""Sides of photos, for a few cells each."""


def made(name):
    return ca.build(name, classes=6, size=(SIDES[name], SIDES[name]), seed=1).eval()


def photo(net) -> Tensor:
    return torch.rand(3, *net.size, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module", params=SIDES)
def net(request):
    return made(request.param)


def target(net, number, label=None):
    with torch.no_grad():
        return targets_of(Box(number, label), net, net(photo(net)[None]), net.size)[0]


def test_boxes_are_those_that_detect_lists(net):
    with torch.no_grad():
        corners, scores = decode(net, net(photo(net)[None]), net.size)
    overlap = MAX_OVERLAP[bool(net.config.cell_boxes)]
    kept = select_boxes(corners[0].double(), scores[0].double(), -1.0, overlap, 1000)
    visible = [
        (box, score, index)
        for box, score, index in zip(*kept, strict=True)
        if bool((box[:2].clamp(0, net.size[0]) < box[2:].clamp(0, net.size[0])).all())
    ]
    for number in (0, 2, len(visible) - 1):
        box, score, index = visible[number]
        mine = target(net, number)
        assert mine.index == int(index)
        assert np.allclose(mine.box.corners, box.numpy())
        with torch.no_grad():
            assert math.isclose(float(mine(net(photo(net)[None]))), float(score), rel_tol=1e-5)
    best = next(score for _, score, index in visible if int(index) == 4)
    with torch.no_grad():
        assert math.isclose(float(target(net, 0, 4)(net(photo(net)[None]))), float(best), rel_tol=1e-5)


@pytest.mark.parametrize("probe", ["saliency", "grad_cam", "hires_cam", "lrp", "deep_lift"])
def test_white_box_probes_explain_boxes(net, probe):
    result = explain(net, photo(net), probe, "box:2")
    assert result.values.any()
    assert result.target == "box 2: class " + str(result.index)
    if probe == "saliency":
        leaf = photo(net)[None].requires_grad_()
        (expected,) = torch.autograd.grad(target(net, 2)(net(leaf)).sum(), leaf)
        assert np.allclose(result.values, expected[0].numpy(), rtol=1e-3, atol=1e-6 * float(expected.abs().max()))


def test_contrastive_lrp_holds_a_box_against_its_other_classes(net):
    result = explain(net, photo(net), "contrastive_lrp", "box:0", precision="float64")
    assert result.values.any()
    assert abs(result.values.sum()) < 1e-9 * np.abs(result.values).sum()
    with torch.no_grad():
        output = net(photo(net)[None])
        _, objects, classes = decode_parts(net, output, net.size)
        box = target(net, 0).box
        scores = box.scores(lambda output: decode_parts(net, output, net.size))(output)
    assert torch.equal(scores, objects[:, box.row, None] * classes[:, box.row])
    assert float(scores[0, box.index]) == pytest.approx(result.score, rel=1e-5)


def test_a_class_is_its_best_box(net):
    by_class, by_box = (explain(net, photo(net), "saliency", each) for each in (4, "box:0/4"))
    assert by_class.target == by_box.target
    assert np.array_equal(by_class.values, by_box.values)
    assert explain(net, photo(net), "saliency").target.startswith("box 0: ")


def test_a_box_is_explained_at_the_head_that_it_belongs_to():
    net = made("yolo_v3_tiny")
    first = 2 * 2 * 3  # rows of the coarse head, which runs first
    numbers = {target(net, number).box.row >= first: number for number in range(60)}
    layers = {}
    for fine, number in numbers.items():
        result = explain(net, photo(net), "grad_cam", f"box:{number}")
        assert result.values.any()
        layers[fine] = result.layer
    assert layers == {False: "boxes1.conv1", True: "boxes2.conv1"}
    both = explain(net, photo(net), "grad_cam", [f"box:{numbers[fine]}" for fine in (False, True)])
    assert [each.layer for each in both] == ["boxes1.conv1", "boxes2.conv1"]
    assert all(each.values.any() for each in both)


class Planted(nn.Module):
    """Two boxes whose objectness is the brightness of their own corner of the photo."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, :, :8, :8].mean((1, 2, 3)), 0.5 * x[:, :, 8:, 8:].mean((1, 2, 3))], 1)

    def decode_boxes(self, output: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        corners = output.new_tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 16.0, 16.0]]).expand(len(output), -1, -1)
        classes = output.new_tensor([[0.9, 0.1], [0.2, 0.8]]).expand(len(output), -1, -1)
        return corners, output, classes


def test_a_detector_of_one_s_own_needs_one_method():
    x = torch.rand(1, 16, 16, dtype=torch.float64)
    result = explain(Planted(), x, "saliency", "box:0")
    assert result.index == 0
    expected = np.zeros((1, 16, 16))
    expected[:, :8, :8] = 0.9 / 64
    assert np.allclose(result.values, expected)
    assert explain(Planted(), x, "saliency", 1).score == pytest.approx(0.8 * 0.5 * float(x[:, 8:, 8:].mean()))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("box:one", "numbers from 0"),
        (Box(-1), "numbers from 0"),
        ("box:7", "has 4 boxes"),
        ("probability:1", "box by box"),
        ("box:0/9", "no class 9"),
        ("box:0/dog", "have no names"),
    ],
)
def test_bad_boxes_are_refused(chosen, message):
    with pytest.raises(ca.ConvAtlasError, match=message):
        explain(Planted(), torch.rand(1, 16, 16), "saliency", chosen)


def test_other_nets_have_no_boxes():
    net = ca.build("lenet5").eval()
    with pytest.raises(ca.ConvAtlasError, match="detects no boxes"):
        explain(net, torch.rand(1, 32, 32), "saliency", "box:0")
    reasons = {each.probe: each.reason for each in coverage(net, (1, 32, 32), "lenet5")}
    assert "has none" in reasons["agreement"]
    assert not reasons["saliency"]


@pytest.mark.parametrize("probe", ["recipro_cam", "x_grad_cam", "shapley_cam", "fem", "eigen_cam"])
def test_boxes_of_several_heads_in_one_list_are_explained_as_each_by_itself(probe):
    net = made("yolo_v3_tiny")
    first = 2 * 2 * 3
    numbers = {target(net, number).box.row >= first: number for number in range(60)}
    boxes = [f"box:{numbers[fine]}" for fine in (False, True)]
    for both, alone in zip(
        explain(net, photo(net), probe, boxes), (explain(net, photo(net), probe, box) for box in boxes), strict=True
    ):
        assert both.layer == alone.layer
        assert np.allclose(both.values, alone.values, rtol=1e-4, atol=1e-6 * np.abs(alone.values).max())
