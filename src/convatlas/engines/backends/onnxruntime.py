"""ONNX Runtime: runs our ONNX files. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import require
from convatlas.base.machine import threads
from convatlas.engines.backend import Backend
from convatlas.engines.export.metadata import GRAPH, graph_files
from convatlas.engines.options import Options
from convatlas.engines.session import Float32Array, Session

if TYPE_CHECKING:
    import onnxruntime
    from torch import nn

    from convatlas.engines.workspace import Workspace


class OnnxRuntime:
    """Session of an .onnx file on the CPU; takes any number of photos at a time.

    Args:
        file: The .onnx file.
        threads: Threads that share a run; one for each core if None.

    Raises:
        ConvAtlasError: ONNX Runtime is not installed, or refuses the file; the text says why.
    """

    def __init__(self, file: Path, threads: int | None = None):
        self.file = file
        self.session = inference_session(file, threads)
        self.input = self.session.get_inputs()[0].name

    def __call__(self, x: Float32Array) -> Float32Array:
        y: Float32Array = self.session.run(None, {self.input: x})[0]
        return y

    def shared(self, callers: int) -> OnnxRuntime:
        """Open another session of the file, for `callers` threads that call it at the same time."""
        # Calling threads compute too, besides the session's own threads.
        return OnnxRuntime(self.file, max(1, threads() - callers + 1))


class OnnxRuntimeBackend(Backend):
    packages = ("onnxruntime", "onnx", "onnxscript")
    needs_torch = False
    preparation = 1.0
    colour = "#4c78a8"

    def files(self, folder: Path, options: Options) -> tuple[Path, ...]:
        return graph_files(folder)

    def build(self, workspace: Workspace, options: Options) -> None:
        workspace.graph()

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> OnnxRuntime:
        return OnnxRuntime(folder / GRAPH)

    def share(self, session: Session, callers: int) -> OnnxRuntime | None:
        return session.shared(callers) if isinstance(session, OnnxRuntime) else None


def inference_session(file: Path, count: int | None = None) -> onnxruntime.InferenceSession:
    """Open a file in ONNX Runtime with `count` threads; one for each core if None."""
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count or threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime has one error class for each status code, without a common base class.
    except Exception as error:
        raise ConvAtlasError(f"ONNX Runtime refuses {file.name}: {' '.join(str(error).split())[:300]}") from None


BACKEND = OnnxRuntimeBackend()
