"""A new lineage costs two files: a module that describes the publisher, and the table of its weights."""

from __future__ import annotations

import json
from pathlib import Path

from tests.house.conftest import House

MODULE = '''
"""Weights of a publisher that keeps arrays of NumPy under our names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convatlas.catalogue.lineages import Weights
from convatlas.nets.net import Net
from convatlas.weights.origin import Origin, Pixels


class Toy(Origin):
    """The `toy` lineage."""

    read_endings = write_endings = (".toy",)
    pixels = {"dark": Pixels(510.0, (0.25,), (0.5,))}
    labels = {10: "digits"}

    def file(self, weights: Weights) -> Path:
        return Path(weights.address)

    def read(self, file: Path, net: Net):
        import torch

        with np.load(file) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}

    def write(self, net: Net, file: Path) -> None:
        with file.open("wb") as opened:
            np.savez(opened, **{name: tensor.numpy() for name, tensor in net.state_dict().items()})


ORIGIN = Toy()
'''

TABLE = """
net,name,address,file,hash,bytes,licence,top1,top5,model,outputs,size,geometry,resize,interpolation,pixels
lenet1,toy/v1,{file},net.toy,,,CC0-1.0,51.5,,lenet1,10,28,resize_crop,22,bilinear,dark
"""

LOAD = """
import torch
import convatlas as ca

net, published = ca.build("lenet1", seed=3), ca.load("lenet1", weights="toy")
by_path = ca.load("lenet1", weights={file!r})
for loaded in (published, by_path):
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert loaded.lineage.class_names == tuple("0123456789")
    assert (loaded.lineage.preprocessing.scale, loaded.follows) == (510.0, "toy/v1")
assert (published.lineage.name, published.lineage.licence, published.lineage.top1) == ("toy/v1", "CC0-1.0", "51.5")
assert by_path.lineage.name == "toy"
assert ca.load("lenet1").lineage.name == "own/mnist", "the default stays"
print(ca.fetch("lenet1", weights="TOY"))
"""


def test_a_lineage_is_two_files(house: House, tmp_path: Path) -> None:
    file = str(tmp_path / "net.toy")
    house.add("weights/lineages/toy.py", MODULE.lstrip())
    house.add("catalogue/data/weights/toy.csv", TABLE.lstrip().format(file=file))
    house.run(f"import convatlas as ca; ca.export(ca.build('lenet1', seed=3), {file!r})")
    assert Path(house.run(LOAD.format(file=file)).strip()).is_file()
    listed = json.loads(house.command("fetch", "--list", "--json"))
    (row,) = (row for row in listed if row["weights"] == "toy/v1")
    assert (row["net"], row["licence"], row["here"], row["source"]) == ("lenet1", "CC0-1.0", True, file)
    assert listed[-1] == row, "a new lineage comes last"
    (net,) = json.loads(house.command("list", "--lineage", "toy", "--json"))
    assert (net["name"], net["lineages"]) == ("lenet1", ["own", "toy"])
    assert "own, toy" in house.command("show", "lenet1")
