"""The table of what only the sweep runs names tests that there are."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests import sweep


def test_every_name_in_the_table_is_a_test(request: pytest.FixtureRequest) -> None:
    """Compared with all tests that this run collected, run or not; files that it did not collect are skipped."""
    cases: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for item in request.config.stash[sweep.COLLECTED]:
        file, function, case = sweep.parts(item)
        cases[file][function].add(case)
    unknown = [
        f"{file}::{function}[{case}]"
        for file, functions in sweep.TABLE.items()
        if file in cases or not (sweep.ROOT / file).exists()
        for function, listed in functions.items()
        for case in listed or [""]
        if function not in cases[file]
        or (listed and not any(sweep.matches(name, [case.removeprefix("-")]) for name in cases[file][function]))
    ]
    assert not unknown


def test_a_named_function_is_swept_but_for_its_quick_cases() -> None:
    class Item:
        path = sweep.ROOT / "tests" / "test_toy.py"
        name = "test_toy[vgg16]"

    item: pytest.Item = Item()  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "TABLE", {"tests/test_toy.py": {"test_toy": ["vgg16"]}})
        assert not sweep.holds(item)
        Item.name = "test_toy[vgg19]"
        assert sweep.holds(item)
        Item.name = "test_other[vgg19]"
        assert not sweep.holds(item)
        patch.setattr(sweep, "TABLE", {"tests/test_toy.py": {"test_toy": ["-vgg19"]}})
        Item.name = "test_toy[vgg19]"
        assert sweep.holds(item)
        Item.name = "test_toy[vgg16]"
        assert not sweep.holds(item)
        patch.setattr(sweep, "TABLE", {"tests/test_toy.py": {"test_toy": ["vgg*"]}})
        assert not sweep.holds(item)
        Item.name = "test_toy[a vgg16]"
        assert sweep.holds(item)
        patch.setattr(sweep, "TABLE", {"tests/test_toy.py": {"test_toy": []}})
        Item.name = "test_toy"
        assert sweep.holds(item)


@pytest.mark.xdist_group("a group")
def test_groups_of_tests_are_kept(request: pytest.FixtureRequest) -> None:
    """Without them, expensive fixtures are built once a process, and large nets run side by side."""
    if request.config.getoption("loadgroup", False):
        assert request.node.nodeid.endswith("@a group")
