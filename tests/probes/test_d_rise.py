"""D-RISE on a planted detector, where its score is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.probes.detector._boxes import DetectedBox
from convatlas.probes.detector.d_rise import DRise, likeness
from convatlas.probes.explain import explain
from convatlas.probes.perturbation.rise import Rise
from tests.probes.test_boxes import Planted

X = 0.2 + 0.8 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
BLACK = torch.zeros_like(X)
SETTINGS = {"masks": 300, "cells": 4, "tolerance": 0.0}


def parts(output):
    """A box beside the target, a third of their union in common, of half its objectness and another class mixture."""
    corners = torch.tensor([[[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0], [5.0, 5.0, 6.0, 6.0]]])
    classes = torch.tensor([[[0.0, 1.0], [0.8, 0.6], [0.0, 1.0]]])
    return corners, output, classes


def test_likeness_is_overlap_times_cosine_times_objectness():
    box = DetectedBox(0, 1, (0.0, 0.0, 2.0, 1.0), torch.tensor([0.0, 1.0]))
    score = likeness(parts, box)
    assert score(torch.tensor([[0.9, 0.5, 1.0]])).item() == pytest.approx(0.9)
    # Without its own box, the one beside it: 1/3 · 0.6 · 0.5.
    assert score(torch.tensor([[0.0, 0.5, 1.0]])).item() == pytest.approx(0.1)


@pytest.mark.parametrize("number", [0, 1])
def test_where_boxes_do_not_move_it_is_rise_of_objectness(number):
    result = explain(Planted(), X, DRise(**SETTINGS), f"box:{number}", background=BLACK)
    expected = explain(Planted(), X, Rise(**SETTINGS), lambda output: output[:, number], background=BLACK)
    assert np.allclose(result.values, expected.values, atol=1e-14)
    assert np.allclose(result.standard_error, expected.standard_error, atol=1e-14)
    assert result.forwards == expected.forwards
    assert result.notes[-1] == f"the map is of the likeness to the box, {expected.score:.4g} on the photo itself"


def test_it_finds_what_a_box_needs():
    result = explain(Planted(), X, DRise(cells=4, masks=2000), "box:0", background=BLACK)
    values = np.abs(result.values)
    assert values[:8, :8].mean() > 5 * values[8:, 8:].mean()
    assert result.target == "box 0: class 0"


def test_a_list_of_boxes_shares_masks():
    both = explain(Planted(), X, DRise(**SETTINGS), ["box:0", "box:1"], background=BLACK)
    for number, result in enumerate(both):
        alone = explain(Planted(), X, DRise(**SETTINGS), f"box:{number}", background=BLACK)
        assert np.allclose(result.values, alone.values, atol=1e-14)


def test_it_runs_on_a_net_with_two_heads():
    net = ca.build("yolo_v3_tiny", classes=6, size=(32, 32), seed=1).eval()
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    result = explain(net, x, DRise(masks=8, cells=4, tolerance=0), "box:0")
    assert result.values.shape == (32, 32)
    assert result.values.any()


def test_other_targets_and_nets_are_refused():
    with pytest.raises(ca.ConvAtlasError, match="box:0"):
        explain(Planted(), X, DRise(masks=2), lambda output: output[:, 0])
    with pytest.raises(ca.ConvAtlasError, match="this net detects none"):
        explain(ca.build("lenet5").eval(), torch.rand(1, 32, 32), "d_rise", 0)
