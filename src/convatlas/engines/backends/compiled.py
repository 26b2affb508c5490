"""PyTorch's ahead-of-time compiler (AOTInductor): machine code for this CPU and one batch size."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError
from convatlas.engines.backend import Backend
from convatlas.engines.options import Options
from convatlas.engines.session import Float32Array, batches, join

if TYPE_CHECKING:
    from torch import nn

    from convatlas.engines.workspace import Workspace

PROGRAM = "net.pt2"
"""Name of the file in a net's folder with its exported program, from which it is compiled."""


class Compiled:
    """A compiled package, with the weights in it, which the compiler folds and lays out."""

    def __init__(self, file: Path, batch: int):
        import torch

        from convatlas.base.terminal.quiet import quiet

        self.batch = batch
        with quiet():
            self.run = torch._inductor.aoti_load_package(str(file))

    def __call__(self, x: Float32Array) -> Float32Array:
        import torch

        with torch.inference_mode():
            return join([self.run(torch.tensor(part)).numpy() for part in batches(x, self.batch)], len(x))


class CompiledBackend(Backend):
    preparation = 60.0
    speedup = 3.0  # it uses eager mode's convolutions
    colour = "#54a24b"

    def check_machine(self, folder: Path, options: Options) -> None:
        if not package_path(folder, options.batch).is_file():
            check_compiler()

    def files(self, folder: Path, options: Options) -> tuple[Path, ...]:
        return folder / PROGRAM, package_path(folder, options.batch)

    def build(self, workspace: Workspace, options: Options) -> None:
        """Write the exported program; the first `open` compiles it."""
        import torch

        path = workspace.folder / PROGRAM
        if not path.is_file():
            with whole(path) as place:
                torch.export.save(workspace.program(), place)

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> Compiled:
        file = package_path(folder, options.batch)
        if not file.is_file():
            compile_package(folder, options.batch)
        return Compiled(file, options.batch)


def package_path(folder: Path, batch: int) -> Path:
    """Path of the compiled net for a batch size."""
    return folder / f"compiled-{batch}.pt2"


def check_compiler() -> None:
    """Check that there is a C++ compiler.

    Raises:
        ConvAtlasError: There is none.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ConvAtlasError("the engine compiled needs a C++ compiler; install g++")


def compile_package(folder: Path, batch: int) -> None:
    """Compile the exported program in `folder`, which takes about a minute.

    Raises:
        ConvAtlasError: A C++ compiler is missing.
    """
    import torch

    check_compiler()
    program = torch.export.load(folder / PROGRAM)
    module = program.module()
    first = program.graph_signature.user_inputs[0]
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == first)
    example = torch.zeros(batch, *(int(side) for side in value.shape[1:]), dtype=value.dtype)
    with torch.no_grad(), whole(package_path(folder, batch)) as place:
        fixed = torch.export.export(module, (example,))
        torch._inductor.aoti_compile_and_package(fixed, package_path=str(place), inductor_configs={"freezing": True})


BACKEND = CompiledBackend()
