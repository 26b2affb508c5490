"""OpenVINO: runs our ONNX files and its own, compiled for a batch size and a precision. Needs no torch."""

from __future__ import annotations

import queue
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import threads
from convatlas.engines.backend import Backend
from convatlas.engines.export.metadata import graph_files
from convatlas.engines.export.openvino_ir import capabilities, core, read, refusal
from convatlas.engines.export.quantize import quantize
from convatlas.engines.options import Options
from convatlas.engines.session import Float32Array, Session, batches, join

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from convatlas.engines.workspace import Workspace

HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""Hint for layers that are not quantized. Without it, OpenVINO uses bfloat16 on CPUs that support it."""


class OpenVINO:
    """Session of an .onnx or .xml file on the CPU.

    Args:
        file: The file.
        batch: Number of photos in a run.
        precision: "float32", "bfloat16", or "int8" for a quantized file.
        streams: Number of parallel runs, which share the threads.
        callers: Number of threads that may call it at the same time; they share the streams.

    Raises:
        ConvAtlasError: OpenVINO is not installed, or refuses the file; the text says why.
    """

    def __init__(self, file: Path, batch: int = 1, precision: str = "float32", streams: int = 1, callers: int = 1):
        self.file, self.batch, self.precision, self.streams = file, batch, precision, streams
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": streams,
        }
        model = read(file, batch)
        try:
            compiled = core().compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise refusal(file, error) from None
        # Each caller has requests of its own, so that no other overwrites its results before they are copied.
        self.idle: queue.SimpleQueue[list[openvino.InferRequest]] = queue.SimpleQueue()
        for number in range(callers):
            self.idle.put([compiled.create_infer_request() for _ in range(number, streams, callers)])

    def __call__(self, x: Float32Array) -> Float32Array:
        outputs: list[Float32Array] = []
        waiting = batches(x, self.batch)
        requests = self.idle.get()
        try:
            while waiting:
                running = list(zip(requests, waiting, strict=False))
                for request, part in running[1:]:
                    request.start_async({0: part}, share_inputs=True)
                requests[0].infer({0: running[0][1]}, share_inputs=True)
                for request, _ in running:
                    request.wait()
                    outputs.append(request.get_output_tensor(0).data.copy())
                del waiting[: len(requests)]
        except BaseException:
            # Requests that were started still read these photos; they must end before another caller gets them.
            for request in requests:
                with suppress(RuntimeError):
                    request.wait()
            raise
        finally:
            self.idle.put(requests)
        return join(outputs, len(x))

    def shared(self, callers: int) -> OpenVINO:
        """Open another session of the file, for `callers` threads that call it at the same time."""
        return OpenVINO(self.file, self.batch, self.precision, max(self.streams, callers), callers)


class OpenVINOBackend(Backend):
    precisions = ("float32", "bfloat16", "int8")
    packages = ("openvino", "onnx", "onnxscript")
    optional_packages = ("nncf",)
    needs_torch = False
    preparation = 2.0
    colour = "#b279a2"

    def check_machine(self, folder: Path, options: Options) -> None:
        if options.precision == "bfloat16" and "BF16" not in capabilities():
            raise ConvAtlasError("this CPU does not compute in bfloat16")

    def candidates(self, precision: str, batch: int, convolves: bool) -> list[Options]:
        """Options for all photos in one run, and for smaller runs in parallel."""
        result, count = [Options(self.name, precision, batch)], threads()
        if batch > 1 and count > 1:
            # Threads with photos of their own wait less for each other, and small batches fit into the caches.
            result += [Options(self.name, precision, size, count) for size in dict.fromkeys((1, -(-batch // count)))]
        elif batch > 1:
            result.append(Options(self.name, precision, 1))
        return result

    def files(self, folder: Path, options: Options) -> tuple[Path, ...]:
        """The graph; for int8 a quantized one, whose weights are in a file beside it."""
        if options.precision != "int8":
            return graph_files(folder)
        file = folder / f"int8-{options.ranges}.xml"
        return file, file.with_suffix(".bin")

    def build(self, workspace: Workspace, options: Options) -> None:
        """Write the graph, or for int8 the quantized graph."""
        if options.precision != "int8":
            workspace.graph()
            return
        file, *beside = self.files(workspace.folder, options)
        if not all(path.is_file() for path in (file, *beside)):
            calibration, validation = workspace.photos
            quantize(
                workspace.graph(), file, calibration, validation, routes=workspace.routes, map=workspace.probability_map
            )

    def open(self, folder: Path, options: Options, net: nn.Module | None = None) -> OpenVINO:
        file, *_ = self.files(folder, options)
        return OpenVINO(file, options.batch, options.precision, options.streams)

    def share(self, session: Session, callers: int) -> OpenVINO | None:
        return session.shared(callers) if isinstance(session, OpenVINO) else None


BACKEND = OpenVINOBackend()
