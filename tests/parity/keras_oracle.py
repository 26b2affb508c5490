"""The Keras side: the logits of a net of `keras.applications` that was given PyTorch's weights.

Run as a program, `keras_oracle.py request.npz answer.npz`, it answers for a backend that the caller does not run.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import keras
import keras.src.backend.common.dtypes as promotion
import numpy as np
from keras import layers


def logits(net: str, weights: Sequence[np.ndarray], x: np.ndarray, dtypes: Sequence[str]) -> list[np.ndarray]:
    """The logits of `net` (its name in `keras.applications`) for `x` (N, C, H, W), once in each of the `dtypes`.

    `weights` stand as in PyTorch, layer by layer in the order of the calls.
    """
    if net.startswith("NASNet") and keras.backend.backend() == "torch":
        return _elsewhere("jax", net, weights, x, dtypes)
    return [_logits(net, weights, x, dtype) for dtype in dtypes]


def _logits(net: str, weights: Sequence[np.ndarray], x: np.ndarray, dtype: str) -> np.ndarray:
    with _precision(dtype):
        with _created() as created:
            model = getattr(keras.applications, net)(
                weights=None, input_shape=(*x.shape[2:], x.shape[1]), classifier_activation=None
            )
        assert {layer.compute_dtype for layer in created} == {dtype}
        _give([layer for layer in created if layer.weights], weights)
        with _without_gradients():
            y = model(np.ascontiguousarray(x.transpose(0, 2, 3, 1), dtype), training=False)
        assert keras.backend.standardize_dtype(y.dtype) == dtype
        keras.backend.clear_session()
        return np.asarray(y)


@contextlib.contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """Keras computes in `dtype` throughout; left to itself, its BatchNorm turns float64 into float32 and back."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        with mock.patch.dict(promotion.BIT64_TO_BIT32_DTYPE, float64="float64"):
            yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _without_gradients() -> contextlib.AbstractContextManager[object]:
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


@contextlib.contextmanager
def _created() -> Iterator[list[keras.Layer]]:
    """The layers that a net is made of, in the order of their first call; `model.layers` is sorted by depth instead."""
    called: dict[int, keras.Layer] = {}
    created: list[keras.Layer] = []
    original = keras.Layer.__call__

    def call(self: keras.Layer, *args: object, **kwargs: object) -> object:
        called.setdefault(id(self), self)
        return original(self, *args, **kwargs)

    keras.Layer.__call__ = call
    try:
        yield created
    finally:
        keras.Layer.__call__ = original
        created += [layer for layer in called.values() if not isinstance(layer, keras.Model)]


def _give(created: Sequence[keras.Layer], weights: Sequence[np.ndarray]) -> None:
    variables = [(layer, variable) for layer in created for variable in layer.weights]
    for (layer, variable), array in zip(variables, weights, strict=True):
        arranged = _arranged(layer, variable.name, array)
        assert arranged.shape == tuple(variable.shape), (layer.name, variable.name, arranged.shape, variable.shape)
        variable.assign(arranged)
    for layer in created:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def _arranged(layer: keras.Layer, name: str, array: np.ndarray) -> np.ndarray:
    """A weight of PyTorch's layout in Keras' layout."""
    if array.ndim < 2:
        return array
    if isinstance(layer, layers.Dense):
        if layer.name == "fc1":  # VGG's flattening: rows in the order H, W, C, where PyTorch's are C, H, W
            side = math.isqrt(array.shape[1] // 512)
            array = array.reshape(-1, 512, side, side).transpose(0, 2, 3, 1)
        return array.reshape(len(array), -1).T
    if array.ndim == 2:  # a dense layer that Keras writes as a 1 x 1 convolution
        array = array[:, :, None, None]
    depthwise = isinstance(layer, layers.DepthwiseConv2D) or name == "depthwise_kernel"
    return array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)


def _elsewhere(
    backend: str, net: str, weights: Sequence[np.ndarray], x: np.ndarray, dtypes: Sequence[str]
) -> list[np.ndarray]:
    """`logits` in a process of its own that runs another backend."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.npz"), Path(folder, "answer.npz")
        np.savez(request, net=net, x=x, dtypes=dtypes, **{f"weight{n:04}": w for n, w in enumerate(weights)})
        environment = os.environ | {"KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            [sys.executable, __file__, request, answer], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        with np.load(answer) as arrays:
            return [arrays[dtype] for dtype in dtypes]


def _answer(request: str, answer: str) -> None:
    with np.load(request) as asked:
        weights = [asked[name] for name in sorted(asked.files) if name.startswith("weight")]
        dtypes = [str(dtype) for dtype in asked["dtypes"]]
        result = logits(str(asked["net"]), weights, asked["x"], dtypes)
    np.savez(answer, **dict(zip(dtypes, result, strict=True)))


if __name__ == "__main__":
    _answer(*sys.argv[1:])
