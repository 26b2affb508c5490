"""The lineage: a tree without circles that holds every net, and says what each introduced."""

from __future__ import annotations

import subprocess
import sys

from convatlas.catalogue.cards import cards
from convatlas.catalogue.descent import descent, entries, tree


def test_every_net_once() -> None:
    lines = descent()
    assert sorted(net for line in lines for net in line.nets) == sorted(cards())
    assert len(tree().splitlines()) == len(lines)


def test_parents_stand_before_and_above() -> None:
    lines = descent()
    seen: dict[str, int] = {}
    for line in lines:
        assert all(parent in {other.nets[0] for other in lines} for parent in line.parents)
        if line.parents:
            assert line.depth == seen[line.parents[0]] + 1
        else:
            assert line.depth == 0
        seen[line.nets[0]] = line.depth
        assert line.new == cards()[line.nets[0]].new
        assert line.nets[0] not in line.parents


def test_who_built_on_whom() -> None:
    lines = {net: line for line in descent() for net in line.nets}

    def ancestors(net: str) -> list[str]:
        parents = lines[net].parents
        return [parents[0], *ancestors(parents[0])] if parents else []

    assert {"alexnet", "lenet5", "lenet4", "lenet1"} < set(ancestors("vgg16"))
    assert "vgg16" in ancestors("resnet152")
    assert ancestors("convnext_tiny")[0] == lines["resnet50"].nets[0]
    assert "mobilenet_v2" in ancestors("efficientnetv2_l")
    assert lines["xception"].parents == ("inception_v3", lines["resnet50"].nets[0])
    assert ancestors("yolo_v3")[:2] == ["yolo_v2", "yolo_v1"]


def test_time_runs_forward() -> None:
    """The method of the boosted LeNet-4 is older than LeNet-4, the net is not."""
    lines = {line.nets[0]: line for line in descent()}
    early = [line.name for line in lines.values() for parent in line.parents if line.year < lines[parent].year]
    assert early == []


def test_what_a_net_builds_on_is_a_net() -> None:
    described = entries()
    assert all(entry.get("takes") for entry in described.values() if entry.get("from"))
    assert all(parent in cards() for entry in described.values() for parent in entry.get("from", []))


def test_the_tree_needs_no_torch() -> None:
    code = "import sys; from convatlas.catalogue.descent import tree; tree(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_branches_are_drawn() -> None:
    text = tree()
    assert "└─ " in text
    assert "├─ " in text
    assert "(also from" in text
