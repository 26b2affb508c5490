"""ONNX Runtime: reads our ONNX files as they are. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import needed
from convatlas.base.machine import threads
from convatlas.engines.backends.session import Photos

if TYPE_CHECKING:
    import onnxruntime


class OnnxRuntime:
    """An .onnx file on the CPU; any number of photos at a time.

    Args:
        file: Which.
        many: Threads that share a run; as many as there are cores if not said.

    Raises:
        ConvAtlasError: ONNX Runtime is not installed, or refuses the file; says why.
    """

    def __init__(self, file: Path, many: int | None = None):
        self.file = file
        self.session = opened(file, many)
        self.input = self.session.get_inputs()[0].name

    def __call__(self, x: Photos) -> Photos:
        found: Photos = self.session.run(None, {self.input: x})[0]
        return found

    def shared(self, callers: int) -> OnnxRuntime:
        """The same for so many threads that call it at the same time."""
        # The callers compute too, beside the threads of the session, which they share.
        return OnnxRuntime(self.file, max(1, threads() - callers + 1))

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self.session.get_modelmeta().custom_metadata_map)


def opened(file: Path, many: int | None = None) -> onnxruntime.InferenceSession:
    """A session with so many threads, or as many as there are cores."""
    needed("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = many or threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    # Its errors have a class for each of its codes, and no root of their own.
    except Exception as error:
        raise ConvAtlasError(f"ONNX Runtime refuses {file.name}: {' '.join(str(error).split())[:300]}") from None
