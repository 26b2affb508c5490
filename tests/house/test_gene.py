"""A new gene of an existing locus is one file, found by everything that lists, builds, measures or draws."""

from __future__ import annotations

import json
from pathlib import Path

from tests.house.conftest import House

GENE = '''
"""A toy: a logistic with a slope."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.gene import Gene
from convatlas.genes.label import Label


class Toy(nn.Module):
    """1 / (1 + exp(-3 x)); same shape."""

    label = Label("toy function", "activation", "toyfn", "toy")

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(3 * x)  # (N, C, ...), same shape


GENES = (
    Gene(
        "activation",
        "toy",
        "1 / (1 + exp(-3 x))",
        "same shape",
        "0",
        "0",
        "nobody",
        lambda channels: Toy(),
        ("toyish",),
    ),
)
'''

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"

BUILD = f"""
import importlib.util
import json
import torch
import convatlas as ca
from convatlas.anatomy.structure.dna import dna
from convatlas.genes.loci import LOCI

net = ca.build("lenet5", genes={{"activation": "toyish"}})
published = ca.build("lenet5")
anatomy = ca.measure("lenet5", genes={{"activation": "toy"}})
torch.manual_seed(0)
x = torch.randn(2, 1, 32, 32)
with torch.no_grad():
    first = torch.sigmoid(3 * net.c1.conv(x))
    there = torch.equal(net.features(x)["c1"], first)
spec = importlib.util.spec_from_file_location("generate", {str(GENERATE)!r})
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)
print(json.dumps({{
    "docs": generate.genes_page(),
    "listed": "toy" in LOCI["activation"],
    "genome": net.genome.activation,
    "keys": list(net.state_dict()) == list(published.state_dict()),
    "computes": there,
    "kinds": [layer.kind for layer in anatomy.layers if layer.locus == "activation"],
    "dna": str(dna(anatomy)),
    "svg": "toy" in anatomy.draw().svg(),
    "allowed": "toy" in ca.build("resnet18", genes={{"activation": "toy"}}).genome.activation,
}}))
"""


def test_a_gene_is_one_file(house: House) -> None:
    house.add("genes/toy.py", GENE)
    result = json.loads(house.run(BUILD))
    assert result["listed"]
    assert "| activation | toy | 1 / (1 + exp(-3 x)) |" in result["docs"]
    assert result["genome"] == "toy"
    assert result["keys"]
    assert result["computes"]
    assert set(result["kinds"]) == {"toy function"}
    assert "toyfn" in result["dna"]
    assert result["svg"]
    assert result["allowed"]


def test_a_gene_reaches_the_command_line(house: House) -> None:
    house.add("genes/toy.py", GENE)
    (row,) = json.loads(house.command("show", "toy", "--json"))
    assert (row["locus"], row["name"], row["source"]) == ("activation", "toy", "nobody")
    assert "| activation | toy | 1 / (1 + exp(-3 x)) |" in house.command("show", "activation", "--markdown")
    measured = json.loads(house.command("measure", "lenet5", "--genes", "activation=toy", "--json"))
    assert measured["activation"] == "toy function"
