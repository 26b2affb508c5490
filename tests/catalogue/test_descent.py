"""The lineage: a tree without circles that holds every net, and says what each introduced."""

from __future__ import annotations

import subprocess
import sys

from convatlas.anatomy.drawing.family_tree import family_tree
from convatlas.anatomy.report.net_table import net_table
from convatlas.anatomy.report.show import show_net
from convatlas.catalogue.cards import cards
from convatlas.catalogue.descent import descent, entries, tree
from convatlas.pictures.shapes import Group


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
    lines = {line.nets[0]: line for line in descent()}
    early = [line.name for line in lines.values() for parent in line.parents if line.began < lines[parent].began]
    assert early == []


def test_years_are_those_of_the_cards() -> None:
    known = cards()
    for line in descent():
        assert {(known[net].year, known[net].idea) for net in line.nets} == {(line.year, line.idea)}
    assert all(set(entry) <= {"from", "takes"} for entry in entries().values())
    assert all(card.idea is None or card.idea < card.year for card in known.values())


def test_list_show_and_the_tree_agree_on_years() -> None:
    """Figures of the perceptrons are from 1998, their ideas from 1958 and 1986."""
    texts, drawn = tree().splitlines(), family_tree()
    listed = {row["name"]: row["year"] for row in net_table().rows}
    notes = net_table().notes
    titles = [shape.title for shape in drawn.shapes if isinstance(shape, Group)]
    for line, text, title in zip(descent(), texts, titles, strict=True):
        for net in line.nets:
            card = cards()[net]
            assert listed[net] == card.year
            assert card.dated == f"{card.year}" + (f" (idea {card.idea})" if card.idea else "")
            assert f"{card.dated} {line.title}: " in text
            assert title.startswith(f"{', '.join(line.nets)} ({card.dated}): ")
            assert any(f"idea {card.idea}: " in note and net in note for note in notes) == bool(card.idea)
    assert listed["linear"] == listed["mlp_300"] == 1998
    assert cards()["linear"].dated == "1998 (idea 1958)"
    assert any(row["value"] == "perceptron, 1998 (idea 1958)" for row in show_net("linear").tables()[0].rows)
    assert listed["boosted_lenet4"] == listed["lenet4"] == 1994


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
