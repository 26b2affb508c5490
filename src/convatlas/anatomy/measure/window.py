"""Read the window of a convolution, pooling or unfolding: what one output position reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convatlas.anatomy.measure.tracing.calls import Call, argument


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
