"""OpenVINO: reads our ONNX files and its own, compiled for a number of photos and a precision. Needs no torch."""

from __future__ import annotations

import functools
import queue
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import needed
from convatlas.base.machine import threads
from convatlas.engines.backends.session import Photos, parts

if TYPE_CHECKING:
    import openvino

HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""How to compute what is not quantized. If not told, OpenVINO takes bfloat16 wherever the CPU has it."""

SECTION = "convatlas"
"""Of the file's run-time information, where its description stands."""


class OpenVINO:
    """An .onnx or .xml file on the CPU.

    Args:
        file: Which.
        batch: Photos in a run.
        precision: "float32", "bfloat16", or "int8" for a file that is quantized.
        streams: Runs at the same time; they share the threads.
        callers: Threads that may call it at the same time; they share the streams.

    Raises:
        ConvAtlasError: OpenVINO is not installed, or refuses the file; says why.
    """

    def __init__(self, file: Path, batch: int = 1, precision: str = "float32", streams: int = 1, callers: int = 1):
        self.file, self.batch, self.precision, self.streams = file, batch, precision, streams
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": streams,
        }
        model = read(file)
        try:
            shape = model.input().partial_shape
            shape[0] = batch
            model.reshape(shape)
            compiled = core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise refused(file, error) from None
        # A caller has some to itself: another one would overwrite what the first has not fetched yet.
        self.free: queue.SimpleQueue[list[openvino.InferRequest]] = queue.SimpleQueue()
        for number in range(callers):
            self.free.put([compiled.create_infer_request() for _ in range(number, streams, callers)])

    def __call__(self, x: Photos) -> Photos:
        found: list[Photos] = []
        waiting = parts(x, self.batch)
        requests = self.free.get()
        try:
            while waiting:
                running = list(zip(requests, waiting, strict=False))
                for request, part in running[1:]:
                    request.start_async({0: part}, share_inputs=True)
                requests[0].infer({0: running[0][1]}, share_inputs=True)
                for request, _ in running:
                    request.wait()
                    found.append(request.get_output_tensor(0).data.copy())
                del waiting[: len(requests)]
        except BaseException:
            # What was started reads these photos, and nobody else's may come into its way.
            for request in requests:
                with suppress(RuntimeError):
                    request.wait()
            raise
        finally:
            self.free.put(requests)
        return found[0][: len(x)] if len(found) == 1 else np.concatenate(found)[: len(x)]

    def shared(self, callers: int) -> OpenVINO:
        """The same for so many threads that call it at the same time."""
        return OpenVINO(self.file, self.batch, self.precision, max(self.streams, callers), callers)


@functools.cache
def core() -> openvino.Core:
    """OpenVINO itself, once in a process."""
    needed("openvino")
    import openvino

    return openvino.Core()


def read(file: Path) -> openvino.Model:
    """The model of an .onnx or .xml file.

    Raises:
        ConvAtlasError: OpenVINO is not installed, or knows an operation of it not.
    """
    try:
        return core().read_model(str(file))
    except RuntimeError as error:
        raise refused(file, error) from None


def refused(file: Path, error: RuntimeError) -> ConvAtlasError:
    """OpenVINO's error about a file in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Exception from" not in line]
    return ConvAtlasError(f"OpenVINO refuses {file.name}: {' '.join(lines)[:300]}")


def metadata(file: Path) -> dict[str, str]:
    """What an .xml file says of itself."""
    info = read(file).get_rt_info()
    return {name: str(value.astype(str)) for name, value in info[SECTION].items()} if SECTION in info else {}


def save(source: Path, told: Mapping[str, str], file: Path) -> None:
    """Writes the model of an .onnx file as .xml and .bin, with `told` in it, and all weights in float32."""
    model = read(source)
    import openvino

    for name, value in told.items():
        model.set_rt_info(value, [SECTION, name])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def capabilities() -> tuple[str, ...]:
    """What the CPU computes with by itself: "FP32", "BF16", "INT8", ..."""
    return tuple(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
