"""An engine is one file, and needs a line in pyproject.toml only for packages of its own."""

from __future__ import annotations

import json

import pytest
from tests.house.conftest import House

TOY = '''
"""A toy engine: runs the exported program in PyTorch."""

from convatlas.base.atomic import whole
from convatlas.engines.backend import Backend


class ToyBackend(Backend):
    preparation = 5.0

    def files(self, folder, options):
        return (folder / "toy.pt2",)

    def build(self, workspace, options):
        import torch

        (path,) = self.files(workspace.folder, options)
        if not path.is_file():
            with whole(path) as place:
                torch.export.save(workspace.program(), place)

    def open(self, folder, options, net=None):
        import torch

        (path,) = self.files(folder, options)
        program = torch.export.load(path).module()
        return lambda x: program(torch.from_numpy(x)).detach().numpy()


BACKEND = ToyBackend()
'''

ACCELERATE = """
import json, os
os.environ["CXX"] = "no-such-compiler"
import numpy as np
import convatlas as ca

net = ca.build("lenet1", seed=1).eval()
fast = ca.accelerate(net, engine="toy")
x = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
again = ca.accelerate(net, engine="toy")
try:
    ca.accelerate(net, engine="tox")
except ca.ConvAtlasError as error:
    message = str(error)
print(json.dumps({
    "engine": fast.record.options.engine,
    "within": fast.record.error <= fast.record.bound,
    "same": bool(np.allclose(fast(x), ca.accelerate(net, engine="eager")(x), atol=1e-5)),
    "remembered": again.record == fast.record,
    "tried": sorted({name.split()[0] for name in ca.accelerate(net).record.milliseconds}),
    "error": message,
}))
"""


@pytest.fixture
def toy(house: House) -> House:
    house.add("engines/backends/toy.py", TOY)
    return house


def test_accelerate_runs_it_and_auto_tries_it(toy: House) -> None:
    result = json.loads(toy.run(ACCELERATE))
    assert (result["engine"], result["within"], result["same"], result["remembered"]) == ("toy", True, True, True)
    assert result["tried"] == ["eager", "onnxruntime", "openvino", "toy"]
    assert "did you mean toy?" in result["error"]


def test_bench_and_batch_know_it(toy: House) -> None:
    words = ["bench", "lenet1", "--engines", "toy", "--batches", "2", "--csv", "-o", "bench.svg"]
    (_, row) = toy.command(*words).splitlines()
    assert row.startswith("lenet1,2,toy,float32,")
    assert "toy float32" in (toy.path.parent / "bench.svg").read_text(encoding="utf-8")
    for command in ("bench", "batch"):
        assert "toy" in toy.command(command, "--help")
