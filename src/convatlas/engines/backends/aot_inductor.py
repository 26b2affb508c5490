"""PyTorch's compiler, ahead of time: the net as machine code for this CPU and one number of photos."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import torch

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError
from convatlas.engines.backends.session import Photos, parts
from convatlas.engines.export.graph import quiet

PROGRAM = "net.pt2"
"""In a net's folder: its program, from which it is compiled."""


class Compiled:
    """A compiled package; its weights and arithmetic are folded and laid out for the CPU."""

    def __init__(self, file: Path, batch: int):
        self.batch = batch
        with quiet():
            self.run = torch._inductor.aoti_load_package(str(file))

    def __call__(self, x: Photos) -> Photos:
        with torch.inference_mode():
            found = [self.run(torch.from_numpy(part)).numpy() for part in parts(x, self.batch)]
        return found[0][: len(x)] if len(found) == 1 else np.concatenate(found)[: len(x)]


def package(folder: Path, batch: int) -> Path:
    """Where the compiled net for so many photos is."""
    return folder / f"compiled-{batch}.pt2"


def check_compiler() -> None:
    """Refuses to go on without a C++ compiler.

    Raises:
        ConvAtlasError: There is none.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ConvAtlasError("the engine compiled needs a C++ compiler; install g++")


def compile_package(folder: Path, batch: int) -> None:
    """Compiles the program in `folder`; takes a minute or so, and a C++ compiler.

    Raises:
        ConvAtlasError: There is no compiler.
    """
    check_compiler()
    program = torch.export.load(folder / PROGRAM)
    module = program.module()
    first = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == first)
    example = torch.zeros(batch, *(int(side) for side in shape[1:]))
    with torch.no_grad(), whole(package(folder, batch)) as place:
        fixed = torch.export.export(module, (example,))
        torch._inductor.aoti_compile_and_package(fixed, package_path=str(place), inductor_configs={"freezing": True})
