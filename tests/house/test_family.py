"""A new family of nets is two files: its module, and its card file."""

from __future__ import annotations

import json
from pathlib import Path

from tests.house.conftest import House

MODULE = '''
"""A toy family: one convolution and a dense layer."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """Maps of the convolution."""

    width: int


class Toy(Net):
    """One convolution of 3 x 3, a dense layer."""

    variants = {"toy8": Config(8), "toy16": Config(16)}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome()

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.stem = genome.conv_norm_act(channels, config.width, 3, 2, norm=Norm())
        self.add_classifier(genome, config.width, channels, size, classes)
'''

CARDS = """
order = 500
output = { outputs = 10, output_kind = "logits", probabilities = "softmax" }

[sources.toy_paper]
title = "A toy"
authors = ["A. Toymaker"]
venue = "nowhere"
where = "table 1"

[series.toy]
year = 2026
new = "nothing but its name"
input = [32, 32, 3]
paper.title = "A toy"
paper.authors = ["A. Toymaker"]
paper.venue = "nowhere"
paper.link = ""

[nets.toy8]
series = "toy"
published_name = "Toy-8"
descent.from = ["lenet5"]
descent.takes = "a convolution"
figures.toy_paper = { depth = "3", parameters = "346" }

[nets.toy16]
series = "toy"
published_name = "Toy-16"
figures.toy_paper = { top1 = "12.0%" }
"""

# The convolution has 8 * 3 * 9 weights, its normalization 2 * 8 and as many statistics, the dense layer 8 * 10 + 10.
PARAMETERS = 216 + 32 + 90

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"

USE = f"""
import importlib.util
import json
import torch
import convatlas as ca
from convatlas.catalogue.cards import families
from convatlas.catalogue.descent import tree

net = ca.build("Toy-8", seed=1)
anatomy = ca.measure("toy8")
checked = ca.check("toy8")
spec = importlib.util.spec_from_file_location("generate", {str(GENERATE)!r})
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)
print(json.dumps({{
    "docs": generate.nets_page(),
    "cards": [card.name for card in ca.list_nets(family="toy")],
    "last": families()[-1],
    "tree": tree(),
    "type": type(net).__name__,
    "output": list(net(torch.zeros(2, 3, 32, 32)).shape),
    "parameters": anatomy.parameters,
    "kinds": [layer.kind for layer in anatomy.layers],
    "svg": anatomy.draw().svg(),
    "cells": {{cell.column: (cell.published, cell.measured) for cell in checked.cells}},
}}))
"""


def put(house: House) -> None:
    house.add("nets/families/toy.py", MODULE)
    house.add("catalogue/data/toy.toml", CARDS.replace("346", str(PARAMETERS)))


def test_a_family_is_two_files(house: House) -> None:
    put(house)
    result = json.loads(house.run(USE))
    assert result["cards"] == ["toy8", "toy16"]
    assert result["last"] == "toy"
    assert "2026 Toy-8 and 1 more: nothing but its name" in result["tree"]
    assert result["type"] == "Toy"
    assert result["output"] == [2, 10]
    assert result["parameters"] == PARAMETERS
    assert result["kinds"][:3] == ["padding", "convolution", "batch normalization"]
    assert "toy8" in result["svg"]
    assert "| toy8 | toy | 2026 | 32 x 32 x 3 |" in result["docs"]
    assert result["cells"]["depth"] == ["3", 3]


def test_a_family_reaches_the_command_line(house: House) -> None:
    put(house)
    rows = {row["name"]: row for row in json.loads(house.command("list", "--family", "toy", "--json"))}
    assert set(rows) == {"toy8", "toy16"}
    # The snapshot of measured figures is a generated file: a net that it does not hold yet is listed with blanks.
    assert [rows["toy8"][column] for column in ("depth", "parameters", "macs")] == [None, None, None]
    assert rows["toy16"]["top1"] == "12.0%"
    assert house.command("list", "--sort", "-parameters", "--csv").splitlines()[-1].startswith("toy16,toy,")
    shown = house.command("show", "toy8")
    assert "Toy-8" in shown
    assert "nothing but its name" in shown
    assert f"{PARAMETERS:,}" in house.command("measure", "toy8")
    assert "toy8" in house.command("check", "toy8")
