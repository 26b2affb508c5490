"""A new probe is one file, found by everything that lists, explains or documents."""

from __future__ import annotations

import json
from pathlib import Path

from tests.house.conftest import House

from convatlas.probes.registry import modules

PROBE = '''
"""A toy: the photo itself."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class ToyMap(Probe):
    """The photo times a factor.

    Attributes:
        factor: The factor.
    """

    factor: float = 2.0

    title = "Toy map"
    source = 'Nobody 2026, "Toys"'
    formula = "factor · x"
    shows = "The photo."
    hides = "The net."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Show the photo."""
        yield 1, 1, [Finding(self.factor * subject.x[0]) for _ in subject.targets]


PROBE = ToyMap
'''

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"

EXPLAIN = f"""
import importlib.util
import json
import torch
import convatlas as ca
from convatlas.probes import ToyMap
from convatlas.probes.coverage import coverage

net = ca.build("lenet5")
x = torch.rand(1, 32, 32)
named, settled = (ca.explain(net, x, probe, 3) for probe in ("toy_map", ToyMap(factor=3.0)))
spec = importlib.util.spec_from_file_location("generate", {str(GENERATE)!r})
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)
page = generate.pages()["probes.md"]()
print(json.dumps([
    bool((torch.from_numpy(named.values) == 2 * x).all()),
    bool((torch.from_numpy(settled.values) == 3 * x).all()),
    {{row.probe: row.reason for row in coverage(net, (1, 32, 32), "lenet5")}}.get("toy_map"),
    "| `toy_map` | Toy map |" in page,
]))
"""


def test_a_probe_is_one_file(house: House) -> None:
    house.add("probes/controls/toy_map.py", PROBE)
    assert json.loads(house.run(EXPLAIN)) == [True, True, "", True]
    counted = house.command("explain", "--coverage", "lenet5", "--csv").splitlines()[1].split(",")
    assert int(counted[2]) == len(modules()) + 1
