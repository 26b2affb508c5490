"""Count the multiply-accumulate operations of each PyTorch function, and read its window.

They are counted as papers do ("FLOPs" in the ResNet paper): convolutions, dense layers and matrix products count;
comparisons, sums, scalings and elementwise functions do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

from torch import Tensor, nn

from convatlas.anatomy.measure.tracer import Call, Operation
from convatlas.genes.layers import SelfCounting
from convatlas.genes.pooling import Subsampling

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""Recurrent layers run over a whole sequence."""

CELLS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
"""One step of a recurrent layer."""

ELEMENTWISE = ("layer_norm", "rms_norm", "prelu", "add", "mul")
"""Functions that may read weights with several sides, one for each number."""

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
    "linalg_vecdot": (0, "x"),
    "inner": (0, "input"),
    "addmm": (1, "mat1"),
    "addmv": (1, "mat"),
    "baddbmm": (1, "batch1"),
    "addbmm": (1, "batch1"),
}
"""Position and name of the first factor of each matrix product, whose last side is summed over."""


def cost(operation: Operation) -> tuple[int, int, int]:
    """(MACs, connections, units) of one operation, as in `Layer`."""
    module, shape = operation.module, (operation.shapes or [()])[0]
    if operation.is_leaf and isinstance(module, SelfCounting):
        return module.macs(shape), module.connections(shape), module.units(shape)
    products = sum(macs(call) for call in operation.calls)
    if operation.is_leaf and isinstance(module, Subsampling):
        return products, prod(shape) * (module.kernel**2 + 1), prod(shape)
    if not products or not operation.weights:
        return products, 0, 0
    return products, products + sum(map(_biases, operation.calls)), prod(shape)


def is_uncounted(operation: Operation) -> bool:
    """Whether a layer owns a matrix or kernel but has no known MACs; a look-up and a scaling have none."""
    if not operation.is_leaf or isinstance(operation.module, SelfCounting | nn.Embedding | nn.EmbeddingBag):
        return False
    known = any(call.name in ELEMENTWISE for call in operation.calls)
    matrices = [weight for weight in operation.weights if sum(side > 1 for side in weight.shape) > 1]
    return bool(matrices) and not known and not cost(operation)[0]


def _biases(call: Call) -> int:
    """Number of units with a bias, if the call is a convolution or dense layer."""
    if call.name not in (*CONVOLUTIONS, "linear"):
        return 0
    return 0 if argument(call, 2, "bias", None) is None else call.output.numel()


def macs(call: Call) -> int:
    """Multiply-accumulate operations of one call."""
    name, output = call.name, call.output
    if name in (*CONVOLUTIONS, "deform_conv2d"):
        return output.numel() * prod(argument(call, 1, "weight").shape[1:])  # type: ignore[no-any-return]
    if name == "convolution" and not argument(call, 6, "transposed"):
        return output.numel() * prod(argument(call, 1, "weight").shape[1:])  # type: ignore[no-any-return]
    if name in (*TRANSPOSED, "convolution"):
        return argument(call, 0, "input").numel() * prod(argument(call, 1, "weight").shape[1:])  # type: ignore[no-any-return]
    if name == "linear":
        return output.numel() * argument(call, 1, "weight").shape[-1]  # type: ignore[no-any-return]
    if name in FIRST_FACTORS:
        matrix = argument(call, *FIRST_FACTORS[name])
        summed = matrix.shape[0] if name == "addbmm" else 1
        return output.numel() * matrix.shape[-1] * summed  # type: ignore[no-any-return]
    if name == "rmatmul":
        return output.numel() * call.args[0].shape[-2:][0]  # type: ignore[no-any-return]
    if name == "tensordot":
        first, second = argument(call, 0, "a"), argument(call, 1, "b")
        # A side that is summed over is in both factors, any other in one factor and the result: each occurs twice.
        return isqrt(first.numel() * second.numel() * output.numel())
    if name == "einsum":
        return _einsum(*call.args)
    if name == "scaled_dot_product_attention":
        query, key, value = _triple(call)
        return query.numel() * key.shape[-2] + output.numel() * value.shape[-2]  # type: ignore[no-any-return]
    if name == "multi_head_attention_forward":
        return _attention(*_triple(call))
    if name in RECURRENT:
        return _recurrent(call)
    if name in CELLS:
        batch = prod(argument(call, 0, "input").shape[:-1])
        return batch * (argument(call, 2, "w_ih").numel() + argument(call, 3, "w_hh").numel())  # type: ignore[no-any-return]
    if name == "bilinear":
        return output.numel() * prod(argument(call, 2, "weight").shape[1:])  # type: ignore[no-any-return]
    return 0


def _recurrent(call: Call) -> int:
    """MACs of a recurrent layer: at each step, each of its matrices times one vector.

    Packed sequences have a tensor of batch sizes as second argument, and all their steps in one side.
    """
    x = argument(call, 0, "input")
    packed = len(call.args) > 3 and isinstance(call.args[3], tuple | list)
    weights = call.args[3] if packed else argument(call, 2, "params")
    steps = x.shape[0] if packed else prod(x.shape[:-1])
    return steps * sum(weight.numel() for weight in weights if weight.ndim == 2)  # type: ignore[no-any-return]


def _triple(call: Call) -> tuple[Any, Any, Any]:
    return argument(call, 0, "query"), argument(call, 1, "key"), argument(call, 2, "value")


def _einsum(equation: str, *operands: Any) -> int:
    """Product of the sizes of all letters; 0 for a single tensor, which is only permuted or summed."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if len(operands) == 1:
        return 0
    sizes: dict[str | int, int] = {}
    for letters, operand in zip(equation.split("->")[0].replace(" ", "").split(","), operands, strict=True):
        before, _, after = letters.partition("...")
        between = operand.ndim - len(before) - len(after)
        for side, size in zip((*before, *range(-between, 0), *after), operand.shape, strict=True):
            sizes[side] = max(size, sizes.get(side, 1))
    return prod(sizes.values())


def _attention(query: Tensor, key: Tensor, value: Tensor) -> int:
    """MACs of four projections, queries times keys, and weights times values; the inputs are (length, N, width)."""
    width = query.shape[-1]
    projections = sum(tensor.numel() for tensor in (query, key, value, query)) * width
    return projections + 2 * query.numel() * key.shape[0]


@dataclass(frozen=True)
class Window:
    """Extent of what one output position of a call reads; each field is (height, width).

    Attributes:
        kernel: Size in positions that are read.
        stride: Distance between the windows of neighbouring output positions.
        dilation: Distance between the positions of a window.
        padding: Border added at the top and on the left.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


def window(call: Call) -> Window | None:
    """Window of a convolution, pooling or unfolding; None for any other call."""
    if call.name == "conv2d" or (call.name == "convolution" and not argument(call, 6, "transposed")):
        kernel = argument(call, 1, "weight").shape[2:]
        dilation = argument(call, 5, "dilation", 1)
        return _window(kernel, argument(call, 3, "stride", 1), dilation, argument(call, 4, "padding", 0))
    if call.name in ("max_pool2d", "max_pool2d_with_indices"):
        kernel = argument(call, 1, "kernel_size")
        stride = argument(call, 2, "stride", None) or kernel
        return _window(kernel, stride, argument(call, 4, "dilation", 1), argument(call, 3, "padding", 0))
    # The function that cuts a map into patches, not the method of tensors of the same name, which adds a side.
    if call.name == "unfold" and call.output.ndim < argument(call, 0, "input").ndim:
        stride, padding = argument(call, 4, "stride", 1), argument(call, 3, "padding", 0)
        return _window(argument(call, 1, "kernel_size"), stride, argument(call, 2, "dilation", 1), padding)
    if call.name in ("avg_pool2d", "lp_pool2d"):
        first = 1 if call.name == "avg_pool2d" else 2
        kernel = argument(call, first, "kernel_size")
        stride = argument(call, first + 1, "stride", None) or kernel
        return _window(kernel, stride, 1, argument(call, 3, "padding", 0) if first == 1 else 0)
    return None


def _window(kernel: Any, stride: Any, dilation: Any, padding: Any) -> Window:
    sides, steps = _pair(kernel), _pair(dilation)
    if padding == "same":
        # PyTorch puts the odd pixel below and to the right.
        padding = [(side - 1) * step // 2 for side, step in zip(sides, steps, strict=True)]
    return Window(sides, _pair(stride), steps, (0, 0) if padding == "valid" else _pair(padding))


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    values = tuple(int(part) for part in value)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


_missing = object()


def argument(call: Call, position: int, name: str, default: Any = _missing) -> Any:
    """Return an argument of a call, passed by position or by name.

    Raises:
        KeyError: It was not passed and has no default.
    """
    if len(call.args) > position:
        return call.args[position]
    if default is _missing:
        return call.kwargs[name]
    return call.kwargs.get(name, default)
