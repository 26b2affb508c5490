"""Tell operations that leave every position of a map at its place from those whose positions cannot be followed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.positions.steps import steps_of
from convatlas.anatomy.measure.tracing.calls import Call, Operation, argument, tensors_in

EACH_NUMBER = frozenset(
    (
        *("add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "multiply", "subtract", "neg", "abs"),
        *("div", "truediv", "rtruediv", "idiv", "itruediv", "divide", "floordiv", "floor_divide", "reciprocal", "sign"),
        *("pow", "rpow", "ipow", "square", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "erf"),
        *("clamp", "clamp_min", "clamp_max", "clip", "minimum", "maximum", "where", "masked_fill", "lerp", "addcmul"),
        *("addcdiv", "round", "floor", "ceil", "trunc", "gt", "ge", "lt", "le", "eq", "ne", "logical_not", "isnan"),
        *("relu", "relu6", "leaky_relu", "rrelu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
        *("hardswish", "hardsigmoid", "hardtanh", "sigmoid", "logsigmoid", "tanh", "softsign", "threshold"),
        *(
            "tanhshrink",
            "hardshrink",
            "softshrink",
            "nan_to_num",
            "real",
            "imag",
            "copy",
            "zeros_like",
            "ones_like",
            "empty_like",
        ),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
        *("batch_norm", "native_batch_norm", "group_norm", "instance_norm", "layer_norm", "native_layer_norm"),
        *("local_response_norm", "rms_norm", "to", "type", "type_as", "float", "half", "double", "bfloat16", "long"),
        *("contiguous", "clone", "detach", "alias", "cpu", "cuda", "requires_grad", "bernoulli"),
        "feature_alpha_dropout",
    )
)
"""Functions that compute each number from those at its own place, and from sums over all places."""

OF_CHANNELS = frozenset(
    (
        *("cat", "concat", "concatenate", "stack", "chunk", "split", "tensor_split", "unbind", "select", "getitem"),
        *("index_select", "narrow", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"),
        *("reshape_as", "expand", "expand_as", "repeat", "broadcast_to", "broadcast_tensors", "setitem"),
        *("mean", "sum", "amax", "amin", "max", "min", "std", "var", "norm", "vector_norm", "linalg_vector_norm"),
        *("prod", "logsumexp", "argmax", "argmin", "topk", "std_mean", "var_mean"),
    )
)
"""Functions that do so too, or choose, add, leave out and sum channels, if rows and columns keep their numbers."""

ALONG = frozenset(("softmax", "log_softmax", "normalize", "softmin", "glu", "gumbel_softmax"))
"""Functions that read one side whole."""

TURN = frozenset(("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "adjoint", "t"))
"""Functions that exchange the sides of a tensor."""

PROPERTIES = ("mT", "T", "mH", "H")

DENSE = frozenset(("linear", "matmul", "addmm"))
"""Functions that read the last side whole."""


def channels_come_last(operation: Operation, shape: tuple[int, ...], channels_last: bool) -> bool | None:
    """Whether the channels of an operation's maps come last; None if its positions cannot be followed.

    Args:
        operation: The operation.
        shape: Shape of the input that is followed: maps.
        channels_last: Whether the channels of the input come last.
    """
    if type(operation.module).__module__.startswith("convatlas.") and operation.is_leaf:
        return channels_last
    followed = {id(tensor) for tensor in _maps(operation, shape)}
    for call in operation.calls:
        reads = [tensor for tensor in tensors_in((call.args, call.kwargs)) if id(tensor) in followed]
        if not reads:
            continue
        kept = _after_call(call, reads[0], channels_last)
        if kept is None:
            return None
        channels_last = kept
        followed |= {id(tensor) for tensor in tensors_in(call.output)}
    return channels_last


def sums_over_all(operation: Operation) -> bool:
    """Whether an operation is a normalization by what it computes from all positions of its maps."""
    for call in operation.calls:
        if call.name == "group_norm" or (call.name == "instance_norm" and argument(call, 5, "use_input_stats", True)):
            return True
        if call.name == "layer_norm" and len(argument(call, 1, "normalized_shape")) > 1:
            return True
    return False


def _maps(operation: Operation, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Yield the tensors of this shape that no call of an operation computes."""
    made: set[int] = set()
    for call in operation.calls:
        for tensor in tensors_in((call.args, call.kwargs)):
            if id(tensor) not in made and tuple(tensor.shape) == shape and not isinstance(tensor, nn.Parameter):
                yield tensor
        made |= {id(tensor) for tensor in tensors_in(call.output)}


def _after_call(call: Call, x: Tensor, channels_last: bool) -> bool | None:
    if x.ndim == 3:
        return None if call.name == "fold" else channels_last
    if call.name in TURN or call.name in PROPERTIES:
        return _turned(call, x, channels_last)
    if call.name in EACH_NUMBER:
        return channels_last
    if call.name in ALONG:
        side = argument(call, 1, "dim", 1 if call.name == "normalize" else -1)
        place = {1, 2} if channels_last else {x.ndim - 2, x.ndim - 1}
        return None if not isinstance(side, int) or side % x.ndim in place else channels_last
    if call.name in DENSE:
        return True if channels_last and call.args and call.args[0] is x else None
    if not channels_last and steps_of(call) is not None:
        return channels_last
    if call.name not in OF_CHANNELS:
        return None
    rows = slice(1, 3) if channels_last else slice(-2, None)
    fits = all(_fit(x.shape[rows], tensor.shape[rows]) for tensor in tensors_in(call.output) if tensor.ndim > 2)
    return channels_last if fits else None


def _fit(before: torch.Size, behind: torch.Size) -> bool:
    """Whether each side has its size still, or was summed to 1, or spread from 1."""
    return all(1 in (first, second) or first == second for first, second in zip(before, behind, strict=True))


def _turned(call: Call, x: Tensor, channels_last: bool) -> bool | None:
    """Whether the channels come last once a call exchanged sides; None if it exchanged rows and columns."""
    sides = torch.empty(tuple(range(2, x.ndim + 2)), device="meta")
    if call.name in PROPERTIES:
        turned = getattr(sides, call.name)
    else:
        turned = getattr(sides, call.name)(*call.args[1:], **{k: v for k, v in call.kwargs.items() if k != "input"})
    order = [side - 2 for side in turned.shape]
    places = (1, 2) if channels_last else (x.ndim - 2, x.ndim - 1)
    if tuple(order[-2:]) == places:
        return False
    return True if x.ndim == 4 and tuple(order[1:3]) == places else None
