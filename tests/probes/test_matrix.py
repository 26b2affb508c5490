"""The matrix of nets and probes: certified cells give whole results, all others refuse for the reason on record."""

from __future__ import annotations

import re

import pytest

from convatlas.probes.registry import FAMILIES, all_probes
from tests.probes.matrix import BLANK, outcome, read
from tests.probes.subjects import MAKERS, SMALL

MATRIX = read()

PROBES = {
    family: [name for name, probe in all_probes().items() if probe.family == family]
    for family in FAMILIES
    if any(probe.family == family for probe in all_probes().values())
}
"""Names of the probes of each family."""

ACCEPTED = {
    "deconv_net": "no ReLU",
    "guided_backprop": "no ReLU",
    "guided_grad_cam": "no ReLU",
    "rect_grad": "no ReLU",
    "cam": "lies more than averaging and a dense layer",
    "deep_taylor": "for the first layer, but .* comes before it",
    "d_rise": "this net detects none",
} | dict.fromkeys(PROBES["capsule"], "explains .*capsnet.* has none")
"""Why a probe may refuse a net, for those that may."""

CUT_AT_ZERO = ("meaningful_perturbation", "guided_grad_cam", "refine_cam")
"""Probes whose map is blank where nothing speaks for the target, as it happens with random weights."""


def test_every_probe_and_net_has_a_cell() -> None:
    old = "the matrix is old: python -m tests.probes.matrix"
    assert list(MATRIX) == list(MAKERS), old
    assert all(list(row) == list(all_probes()) for row in MATRIX.values()), old


def test_every_refusal_is_accepted_and_says_what_to_use() -> None:
    refused = {(net, probe): reason for net, row in MATRIX.items() for probe, reason in row.items() if reason}
    blank = [cell for cell, reason in refused.items() if reason == BLANK and cell[1] in CUT_AT_ZERO]
    strange = {
        cell: reason
        for cell, reason in refused.items()
        if cell not in blank and not re.search(f"{ACCEPTED.get(cell[1], '(?!)')}.*: use ", reason)
    }
    assert not strange
    assert not [probe for net, probe in refused if net == "capsnet" and probe in PROBES["capsule"]]
    assert not MATRIX["yolo_v2_tiny"]["d_rise"]


def _diagonal() -> list[tuple[str, str]]:
    """Each probe with one net that it explains, mostly another small one than the probe before it."""
    cells = []
    for number, probe in enumerate(all_probes()):
        turn = number % len(SMALL)
        nets = (*SMALL[turn:], *SMALL[:turn], "capsnet", "yolo_v2_tiny")
        cells += [(net, probe) for net in nets if not MATRIX[net][probe]][:1]
    return cells


@pytest.mark.parametrize(("net", "probe"), _diagonal(), ids=lambda name: name)
def test_a_cell_for_each_probe(net: str, probe: str) -> None:
    assert outcome(net, probe) == ""


@pytest.mark.parametrize("probe", ["deconv_net", "cam", "d_rise", "agreement", "caps_cam", "pose_sweep"])
def test_refusals_of_a_net_without_any_of_it(probe: str) -> None:
    assert outcome("lenet5", probe) == MATRIX["lenet5"][probe] != ""


@pytest.mark.parametrize(
    ("net", "family"),
    [pytest.param(net, family, marks=pytest.mark.xdist_group(net)) for net in MAKERS for family in PROBES],
)
def test_a_family_on_a_net(net: str, family: str) -> None:
    found = {probe: outcome(net, probe) for probe in PROBES[family]}
    assert found == {probe: MATRIX[net][probe] for probe in PROBES[family]}
