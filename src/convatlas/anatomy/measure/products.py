"""Count the multiply-accumulate operations of each PyTorch function.

They are counted as papers do ("FLOPs" in the ResNet paper): convolutions, dense layers and matrix products count;
comparisons, sums, scalings and elementwise functions do not.
"""

from __future__ import annotations

from itertools import zip_longest
from math import prod
from typing import Any

from convatlas.anatomy.measure.tracing.calls import Call, argument

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""Recurrent layers run over a whole sequence."""

CELLS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
"""One step of a recurrent layer."""

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
FIRST_FACTORS = {
    "matmul": (0, "input"),
    "mm": (0, "input"),
    "bmm": (0, "input"),
    "mv": (0, "input"),
    "dot": (0, "input"),
    "vdot": (0, "input"),
    "linalg_matmul": (0, "input"),
    "inner": (0, "input"),
    "addmm": (1, "mat1"),
    "addmv": (1, "mat"),
    "baddbmm": (1, "batch1"),
    "addbmm": (1, "batch1"),
    "int_mm": (0, "input"),
    "scaled_mm": (0, "input"),
    "sparse_addmm": (1, "mat1"),
    "grouped_mm": (0, "mat_a"),
}
"""Position and name of the argument that is the first factor of each matrix product; its last side is summed over."""

ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward")

KNOWN = frozenset(
    (
        *RECURRENT,
        *CELLS,
        *CONVOLUTIONS,
        *TRANSPOSED,
        *FIRST_FACTORS,
        *ATTENTION,
        "linalg_vecdot",
        "convolution",
        "deform_conv2d",
        "conv_tbc",
        "linear",
        "rmatmul",
        "bilinear",
    )
)
"""Functions whose MACs follow from the shapes of their arguments."""


def macs(call: Call) -> int:
    """Multiply-accumulate operations of one call.

    For a function that is not in `KNOWN`, such as `einsum`, they are the sum of those of the ATen operations it runs.
    """
    name, output = call.name, call.output
    if name not in KNOWN:
        return sum(map(macs, call.aten))
    forward = name == "convolution" and not argument(call, 6, "transposed")
    if forward or name in (*CONVOLUTIONS, "deform_conv2d"):
        return output.numel() * prod(argument(call, 1, "weight").shape[1:])  # type: ignore[no-any-return]
    if name in (*TRANSPOSED, "convolution"):
        return argument(call, 0, "input").numel() * prod(argument(call, 1, "weight").shape[1:])  # type: ignore[no-any-return]
    if name == "linear":
        return output.numel() * argument(call, 1, "weight").shape[-1]  # type: ignore[no-any-return]
    if name == "linalg_vecdot":
        first, second = argument(call, 0, "x"), argument(call, 1, "y")
        return prod(map(max, zip_longest(first.shape[::-1], second.shape[::-1], fillvalue=1)))
    if name in FIRST_FACTORS:
        matrix = argument(call, *FIRST_FACTORS[name])
        summed = matrix.shape[0] if name == "addbmm" else 1
        return output.numel() * matrix.shape[-1] * summed  # type: ignore[no-any-return]
    if name == "rmatmul":
        return output.numel() * call.args[0].shape[-2:][0]  # type: ignore[no-any-return]
    if name == "scaled_dot_product_attention":
        query, key, value = _query_key_value(call)
        return query.numel() * key.shape[-2] + output.numel() * value.shape[-2]  # type: ignore[no-any-return]
    if name == "multi_head_attention_forward":
        return _attention(call)
    if name in RECURRENT:
        return _recurrent(call)
    if name in CELLS:
        batch = prod(argument(call, 0, "input").shape[:-1])
        return batch * (argument(call, 2, "w_ih").numel() + argument(call, 3, "w_hh").numel())  # type: ignore[no-any-return]
    if name == "conv_tbc":
        return output.numel() * prod(argument(call, 1, "weight").shape[:2])  # type: ignore[no-any-return]
    # What remains is "bilinear".
    return output.numel() * prod(argument(call, 2, "weight").shape[1:])  # type: ignore[no-any-return]


def _recurrent(call: Call) -> int:
    """MACs of a recurrent layer: at each step, each of its matrices times one vector.

    Packed sequences have a tensor of batch sizes as second argument, and all their steps in one side.
    """
    x = argument(call, 0, "input")
    packed = len(call.args) > 3 and isinstance(call.args[3], tuple | list)
    weights = call.args[3] if packed else argument(call, 2, "params")
    steps = x.shape[0] if packed else prod(x.shape[:-1])
    return steps * sum(weight.numel() for weight in weights if weight.ndim == 2)  # type: ignore[no-any-return]


def _query_key_value(call: Call) -> tuple[Any, Any, Any]:
    return argument(call, 0, "query"), argument(call, 1, "key"), argument(call, 2, "value")


def _attention(call: Call) -> int:
    """MACs of four projections, queries times keys, and weights times values; the inputs are (length, N, width).

    A learned key and value, and a key and value of zeros, may stand behind those of the input.
    """
    query, key, value = _query_key_value(call)
    projections = sum(tensor.numel() for tensor in (query, key, value, query)) * query.shape[-1]
    length = key.shape[0] + (argument(call, 7, "bias_k") is not None) + bool(argument(call, 9, "add_zero_attn"))
    return projections + 2 * query.numel() * length  # type: ignore[no-any-return]
