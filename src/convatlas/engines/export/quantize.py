"""int8 by NNCF's post-training quantization, in a process of its own.

A net in int8 is only as good as the ranges that its numbers were given. Each convolution's weights get a range a
channel, since those of depthwise ones differ much between channels; each map gets one from photos that are prepared as
the net wants them; biases are corrected for what rounding shifts. Layer normalization, GELU, softmax and all routing
stay in float32. Where too few answers agree with float32's, the layers that harm most are put back (accuracy control).

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
from convatlas.base.extras import needed
from convatlas.base.worker import WorkerError, run, specification
from convatlas.engines.agreement import LEAST, agreement
from convatlas.engines.backends.session import Photos
from convatlas.engines.probabilities import MAPS

FLOAT = ("MVN", "Gelu", "SoftMax", "Softmax", "LogSoftmax")
"""Operations of OpenVINO that stay in float32: what normalizes a layer is MVN there."""

IN_FLOAT = {"INFERENCE_PRECISION_HINT": "f32"}
"""How OpenVINO computes what is not quantized."""

ROUTING = ("MatMul", "Add", "Subtract", "Multiply", "Divide", "ReduceSum", "ReduceMean", "Sqrt", "Power", "Squeeze")
"""Those that stay so as well in nets that route: all but the convolutions."""


def quantize(
    graph: Path, file: Path, calibration: Photos, proof: Photos, *, routes: bool, map: str = "softmax"
) -> None:
    """Writes the graph of an .onnx file in int8 as .xml and .bin, whole or not at all.

    Args:
        graph: The net in float32.
        file: Where to; its ending is .xml.
        calibration: Prepared photos from which the ranges come.
        proof: Others, on which answers are compared.
        routes: Whether the net is of capsules.
        map: What makes probabilities of its outputs; with none of `MAPS` no answers are compared.

    Raises:
        ConvAtlasError: NNCF is not installed, or fails.
    """
    needed("nncf")
    needed("openvino")
    with tempfile.TemporaryDirectory() as folder, whole(file, ".bin") as place:
        sources = [Path(folder) / "calibration.npy", Path(folder) / "proof.npy"]
        for source, photos in zip(sources, (calibration, proof), strict=True):
            np.save(source, photos)
        task = [str(graph), str(place), *(str(source) for source in sources), routes, map]
        try:
            # What NNCF would otherwise tell its makers stays here.
            run(__name__, task, environment={"NNCF_CI": "1"})
        except WorkerError as error:
            raise ConvAtlasError(f"NNCF cannot quantize this net: {error.reason}") from None


def main() -> None:
    """Quantizes; and with accuracy control if that alone is not enough."""
    graph, target, calibration, proof, routes, map = specification()
    import openvino

    seen, photos = np.load(calibration), [part[None] for part in np.load(proof)]
    made = plain(graph, seen, routes=routes)
    if map in MAPS:
        right, found = (
            _answers(openvino.compile_model(model, "CPU", IN_FLOAT), photos) for model in (_model(graph), made)
        )
        if not agreement(right, found, map).holds:
            made = controlled(graph, seen, photos, right, routes=routes, map=map)
    if not any(one.get_type_name() == "FakeQuantize" for one in made.get_ops()):
        sys.exit("its first answers are float32's only with all of its layers in float32")
    openvino.save_model(made, target, compress_to_fp16=False)


def plain(graph: str, seen: Photos, *, routes: bool) -> Any:
    """The graph of an .onnx file in int8, with the ranges that it has for the photos `seen`."""
    import nncf

    return nncf.quantize(_model(graph), nncf.Dataset([part[None] for part in seen]), **_settings(seen, routes))


def controlled(graph: str, seen: Photos, photos: Sequence[Photos], right: Photos, *, routes: bool, map: str) -> Any:
    """The same with the layers in float32 that keep it from giving the answers `right` to `photos`."""
    import nncf

    def validate(model: Any, data: Iterable[tuple[Photos, Photos]]) -> float:
        # Of all photos, or of those by which NNCF ranks the layers.
        shown, known = zip(*data, strict=True)
        return agreement(np.stack(known), _answers(model, shown), map).share

    return nncf.quantize_with_accuracy_control(
        _model(graph),
        nncf.Dataset([part[None] for part in seen]),
        nncf.Dataset(list(zip(photos, right, strict=True)), operator.itemgetter(0)),
        validate,
        max_drop=1 - LEAST,
        drop_type=nncf.DropType.ABSOLUTE,
        **_settings(seen, routes),
    )


def _settings(seen: Photos, routes: bool) -> dict[str, Any]:
    import nncf

    ignored = nncf.IgnoredScope(types=[*FLOAT, *(ROUTING if routes else ())], validate=False)
    return {"preset": nncf.QuantizationPreset.MIXED, "subset_size": len(seen), "ignored_scope": ignored}


def _model(graph: str) -> Any:
    from convatlas.engines.backends.openvino import read

    model = read(Path(graph))
    shape = model.input().partial_shape
    shape[0] = 1
    model.reshape(shape)
    return model


def _answers(compiled: Any, photos: Iterable[Photos]) -> Photos:
    return np.concatenate([compiled(photo)[0] for photo in photos])


if __name__ == "__main__":
    main()
