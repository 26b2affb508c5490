"""Multiply-accumulates, connections and units of each operation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from convatlas.anatomy.measure.products import CONVOLUTIONS, macs
from convatlas.anatomy.measure.tracing.calls import Call, Operation, argument, tensors_in
from convatlas.genes.layers import SelfCounting
from convatlas.genes.pooling import Subsampling

WITHOUT_PRODUCTS = frozenset(
    (
        *("add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "div", "truediv", "idiv", "itruediv"),
        *("multiply", "subtract", "divide", "lerp", "addcmul", "where", "maximum", "minimum", "pow", "masked_fill"),
        *("layer_norm", "rms_norm", "group_norm", "instance_norm", "batch_norm", "prelu"),
        *("cat", "concat", "stack", "getitem", "setitem", "index_select", "gather", "take", "index", "copy"),
        *("embedding", "embedding_bag", "grid_sample", "expand_as", "view_as", "type_as", "to", "clamp"),
        *("scatter", "scatter_add", "index_put", "index_add", "masked_scatter", "concatenate", "hstack", "vstack"),
    )
)
"""Functions that only scale, sum, choose or look up, even where one of their arguments is a matrix of weights."""

FACTORS = frozenset(("mul", "imul", "rmul", "multiply", "addcmul"))
"""Those of them that multiply."""

CONTROL_FLOW = frozenset(("cond", "while_loop", "scan", "map_impl", "associative_scan"))
"""Functions that run parts of a net which a trace does not see."""


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
    """Whether an operation may multiply its input with a matrix or kernel, but its MACs are not known."""
    if any(call.name in CONTROL_FLOW for call in operation.calls):
        return True
    if operation.is_leaf and isinstance(operation.module, SelfCounting):
        return False
    return any(map(_is_matrix, operation.weights)) and not cost(operation)[0] and not _only_scales(operation)


def _only_scales(operation: Operation) -> bool:
    """Whether every call that reads a matrix and another tensor is in `WITHOUT_PRODUCTS`."""
    if not operation.is_leaf:
        return all(_scales(call, operation.shapes_in) for call in operation.calls)
    matrices: set[int] = set()
    for call in operation.calls:
        tensors = list(tensors_in((call.args, call.kwargs)))
        reads = [
            id(tensor) in matrices or (isinstance(tensor, nn.Parameter) and _is_matrix(tensor)) for tensor in tensors
        ]
        others = [tuple(tensor.shape) for tensor, read in zip(tensors, reads, strict=True) if not read]
        if reads and not others:
            matrices |= {id(tensor) for tensor in tensors_in(call.output)}
        elif any(reads) and not _scales(call, others):
            return False
    return True


def _scales(call: Call, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a call of a matrix and of tensors of `shapes` scales, sums, chooses or looks up.

    A product with more numbers than these tensors is that of each with several weights, to be summed.
    """
    largest = max(map(prod, shapes), default=0)
    spreads = call.name in FACTORS and any(tensor.numel() > largest for tensor in tensors_in(call.output))
    return call.name in WITHOUT_PRODUCTS and not spreads


def _is_matrix(weight: Tensor) -> bool:
    return sum(side > 1 for side in weight.shape) > 1


def _biases(call: Call) -> int:
    """Number of units with a bias, if the call is a convolution or dense layer."""
    if call.name not in (*CONVOLUTIONS, "linear"):
        return 0
    return 0 if argument(call, 2, "bias", None) is None else call.output.numel()
