"""Live Keras: files of weights that it writes itself, and what its nets answer with them.

`python -m tests.weights.keras_live` writes the order of the layers that the package ships.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import h5py
import keras
import numpy as np
from keras.src import backend
from keras.src.applications import imagenet_utils, nasnet
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils
from tests.parity.keras_oracle import _created, _give, _precision, _without_gradients

FILES = ("weights.h5", "whole.h5", "new.weights.h5", "new.keras")
"""What `write` leaves in a folder: weights and a whole model as of old, weights and a whole model of Keras 3."""


def build(
    net: str, size: int | None = None, *, top: bool = True, classes: int = 1000, imagenet: Path | None = None
) -> keras.Model:
    """A net of `keras.applications` for photos of `size`; without the top its maps are averaged.

    `imagenet` is the file that weights="imagenet" takes for the published one.
    """
    options = {"classifier_activation": None, "classes": classes} if top else {"include_top": False, "pooling": "avg"}
    shape = None if size is None else (size, size, 3)
    with any_backend(), _published(imagenet):
        return getattr(keras.applications, net)(weights=imagenet and "imagenet", input_shape=shape, **options)


def any_backend() -> contextlib.AbstractContextManager[object]:
    """Keras builds no NASNet on torch, though in evaluation it computes what it computes on jax (see tests/parity)."""
    return mock.patch.object(nasnet, "backend", SimpleNamespace(**{**vars(backend), "backend": lambda: "jax"}))


@contextlib.contextmanager
def _published(file: Path | None) -> Iterator[None]:
    """`file` is found for the published one, for photos of any size."""
    original = imagenet_utils.obtain_input_shape

    def shape(*arguments: object, **options: object) -> object:
        return original(*arguments, **{**options, "weights": None})

    with (
        mock.patch.object(file_utils, "get_file", return_value=str(file)),
        mock.patch.object(imagenet_utils, "obtain_input_shape", shape),
    ):
        yield


def answers(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """What a model makes of photos (N, C, H, W)."""
    with _without_gradients():
        y = model(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), training=False)
    assert keras.backend.standardize_dtype(y.dtype) == "float64"
    return np.asarray(y)


@contextlib.contextmanager
def _single() -> Iterator[None]:
    """Files hold float32, whatever the model computes in; its numbers are such that nothing is lost."""
    original = backend.convert_to_numpy

    def convert(value: object) -> np.ndarray:
        array = original(value)
        return array.astype("float32") if array.dtype == "float64" else array

    with mock.patch.object(backend, "convert_to_numpy", convert):
        yield


def write(model: keras.Model, folder: Path, names: Sequence[str] = FILES) -> None:
    """Files that Keras' own code writes of a model."""
    with _single():
        if "weights.h5" in names:
            with h5py.File(folder / "weights.h5", "w") as file:
                legacy_h5_format.save_weights_to_hdf5_group(file, model)
        if "whole.h5" in names:
            legacy_h5_format.save_model_to_hdf5(model, folder / "whole.h5", include_optimizer=False)
        if "new.weights.h5" in names:
            model.save_weights(folder / "new.weights.h5")
        if "new.keras" in names:
            model.save(folder / "new.keras")


def meet(
    net: str,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    folder: Path,
    *,
    top: bool = True,
    names: Sequence[str] = FILES,
    back: Path | None = None,
    trainable: bool = True,
) -> dict[str, np.ndarray]:
    """Gives a live net our weights (layer by layer in the order of the calls) and lets it write files.

    Returns:
        "given": its answers; "published": those of the net that Keras builds for weights="imagenet" when weights.h5 is
        the published file, which writes its files into folder/imagenet; "back": those after loading the file `back`.
    """
    result, size = {}, x.shape[2]
    with _precision("float64"):
        with _created() as created:
            model = build(net, size, top=top, classes=len(weights[-1]))
        _give([layer for layer in created if layer.weights], weights)
        model.trainable = trainable
        write(model, folder, names)
        result["given"] = result["published"] = answers(model, x)
        if back is not None:
            for variable in model.variables:
                variable.assign(np.full(variable.shape, 0.5))
            model.load_weights(back)
            result["back"] = answers(model, x)
        if net.startswith("EfficientNetB"):  # the only ones that are built otherwise then
            model = build(net, size, top=top, imagenet=folder / "weights.h5")
            result["published"] = answers(model, x)
            (folder / "imagenet").mkdir()
            write(model, folder / "imagenet", names)
    keras.backend.clear_session()
    return result


def answer(net: str, file: Path, x: np.ndarray) -> np.ndarray:
    """What the net that Keras builds for weights=None answers after loading a file."""
    with _precision("float64"):
        model = build(net, x.shape[2])
        model.load_weights(file)
        result = answers(model, x)
    keras.backend.clear_session()
    return result


def order(net: str) -> tuple[list[int], list[str], list[list[tuple[int, ...]]]]:
    """The layers with weights in the order of the files: their numbers in the order of the calls, classes, shapes."""
    with _created() as created:
        model = build(net)
    layers = [layer for layer in model.layers if layer.weights]
    called = {id(layer): number for number, layer in enumerate(created)}
    first = [
        min(called[id(part)] for part in layer._flatten_layers() if part.weights and id(part) in called)
        for layer in layers
    ]
    keras.backend.clear_session()
    rank = {number: place for place, number in enumerate(sorted(first))}
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in layers]
    return [rank[number] for number in first], [type(layer).__name__ for layer in layers], shapes


def _write_orders() -> None:
    import convatlas.weights
    from convatlas.catalogue.lineages import all_weights

    nets = {row.net: row.model for row in all_weights() if row.origin == "keras"}
    orders: Mapping[str, list[int]] = {name: order(model)[0] for name, model in nets.items()}
    lines = [f'"{name}": {places}' for name, places in orders.items() if places != sorted(places)]
    file = Path(convatlas.weights.__file__).parent / "data" / "keras_order.json"
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    _write_orders()
