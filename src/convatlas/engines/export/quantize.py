"""Quantize nets to int8 by NNCF's post-training quantization, in a process of its own.

Accuracy in int8 depends on the ranges. Weights have one for each channel, since the channels of depthwise convolutions
differ much; activations have one for each map, from photos with the net's preprocessing; biases are corrected for the
shift that rounding causes. Layer normalization, GELU, softmax and all routing stay in float32. If too few top-1 classes
agree with float32's, the most harmful layers return to float32 (accuracy control).

`python -m convatlas.engines.export.quantize SPECIFICATION` is that process.
"""

from __future__ import annotations

import operator
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.base.atomic import whole
from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import require
from convatlas.base.worker import WorkerError, read_specification, run
from convatlas.engines.agreement import MIN_SHARE, agreement
from convatlas.engines.export.openvino_ir import read
from convatlas.engines.probabilities import MAPS
from convatlas.engines.session import Float32Array

FLOAT = ("MVN", "Gelu", "SoftMax", "Softmax", "LogSoftmax")
"""Types of OpenVINO's operations that stay in float32; MVN is layer normalization."""

ROUTING = ("MatMul", "Add", "Subtract", "Multiply", "Divide", "ReduceSum", "ReduceMean", "Sqrt", "Power", "Squeeze")
"""Types that stay in float32 too in nets with routing, which leaves only convolutions in int8."""

CONFIG = {"INFERENCE_PRECISION_HINT": "f32"}
"""Configuration by which OpenVINO computes in float32 what is not quantized."""


def quantize(
    graph: Path, file: Path, calibration: Float32Array, validation: Float32Array, *, routes: bool, map: str = "softmax"
) -> None:
    """Quantize the graph of an .onnx file, and write it as .xml and .bin, whole or not at all.

    Args:
        graph: The .onnx file, in float32.
        file: Path of the .xml file.
        calibration: Prepared photos that the ranges come from.
        validation: Other prepared photos, on which top-1 classes are compared.
        routes: Whether the net routes between capsules.
        map: Name of the map from outputs to probabilities; if it is not in `MAPS`, top-1 classes are not compared.

    Raises:
        ConvAtlasError: NNCF is not installed, or fails.
    """
    require("nncf")
    require("openvino")
    with tempfile.TemporaryDirectory() as folder, whole(file, ".bin") as place:
        sources = [Path(folder) / "calibration.npy", Path(folder) / "validation.npy"]
        for source, photos in zip(sources, (calibration, validation), strict=True):
            np.save(source, photos)
        task = [str(graph), str(place), *(str(source) for source in sources), routes, map]
        try:
            # NNCF_CI switches NNCF's telemetry off.
            run(__name__, task, environment={"NNCF_CI": "1"})
        except WorkerError as error:
            raise ConvAtlasError(f"NNCF cannot quantize this net: {error.reason}") from None


def main() -> None:
    """Quantize, with accuracy control if plain quantization does not agree with float32."""
    graph, target, calibration, validation, routes, map = read_specification()
    import openvino

    ranges, photos = np.load(calibration), [part[None] for part in np.load(validation)]
    model = without_control(graph, ranges, routes=routes)
    if map in MAPS:
        float32, int8 = (
            _outputs(openvino.compile_model(each, "CPU", CONFIG), photos) for each in (read(Path(graph), 1), model)
        )
        if not agreement(float32, int8, map).holds:
            model = with_control(graph, ranges, photos, float32, routes=routes, map=map)
    if not any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        sys.exit("its top-1 classes agree with float32's only with all layers in float32")
    openvino.save_model(model, target, compress_to_fp16=False)


def without_control(graph: str, calibration: Float32Array, *, routes: bool) -> Any:
    """Quantize the graph of an .onnx file by its ranges on `calibration`, without accuracy control."""
    import nncf

    dataset = nncf.Dataset([part[None] for part in calibration])
    return nncf.quantize(read(Path(graph), 1), dataset, **_settings(calibration, routes))


def with_control(
    graph: str,
    calibration: Float32Array,
    photos: Sequence[Float32Array],
    outputs: Float32Array,
    *,
    routes: bool,
    map: str,
) -> Any:
    """Quantize with accuracy control: layers that harm agreement with `outputs` for `photos` stay in float32."""
    import nncf

    def validate(model: Any, data: Iterable[tuple[Float32Array, Float32Array]]) -> float:
        # NNCF passes all photos, or the part by which it ranks layers.
        inputs, expected = zip(*data, strict=True)
        return agreement(np.stack(expected), _outputs(model, inputs), map).share

    return nncf.quantize_with_accuracy_control(
        read(Path(graph), 1),
        nncf.Dataset([part[None] for part in calibration]),
        nncf.Dataset(list(zip(photos, outputs, strict=True)), operator.itemgetter(0)),
        validate,
        max_drop=1 - MIN_SHARE,
        drop_type=nncf.DropType.ABSOLUTE,
        **_settings(calibration, routes),
    )


def _settings(calibration: Float32Array, routes: bool) -> dict[str, Any]:
    import nncf

    ignored = nncf.IgnoredScope(types=[*FLOAT, *(ROUTING if routes else ())], validate=False)
    return {"preset": nncf.QuantizationPreset.MIXED, "subset_size": len(calibration), "ignored_scope": ignored}


def _outputs(compiled: Any, photos: Iterable[Float32Array]) -> Float32Array:
    return np.concatenate([compiled(photo)[0] for photo in photos])


if __name__ == "__main__":
    main()
