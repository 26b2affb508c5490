"""Tell operations that only rearrange positions, such as into tokens, from those in which each position sees all."""

from __future__ import annotations

from math import prod

from torch import nn

from convatlas.anatomy.measure.tracing.calls import Call, Operation, argument, tensors_in

REARRANGING = frozenset(
    (
        *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "movedim", "swapaxes"),
        *("contiguous", "roll"),
        *("unsqueeze", "squeeze", "mT", "T", "clone", "to", "detach", "chunk", "split", "unbind", "narrow", "getitem"),
    )
)
"""Functions whose results are numbers of their argument, unchanged, in other places."""

SELECTING = frozenset(("getitem", "select", "narrow", "split", "unbind", "chunk", "index_select"))


def rearranges(operation: Operation) -> bool:
    """Whether an operation only moves positions to other places, and its result is more than a vector."""
    return len(operation.shapes[0]) > 2 and all(call.name in REARRANGING for call in operation.calls)


def mixes_all(operation: Operation, positions: int) -> bool:
    """Whether each result of an operation sees all `positions` of the map that its input was cut from."""
    shape = operation.shapes[0]
    selects = all(call.name in SELECTING or call.name in REARRANGING for call in operation.calls)
    pools = shape[:1] in ((), (1,)) and has_one_position(shape) and not selects
    return pools or any(_sums_over(call) >= positions for call in operation.calls)


def has_one_position(shape: tuple[int, ...]) -> bool:
    """Whether a result is a vector, or maps (or tokens) of one position; channels may come first or last."""
    if len(shape) > 3:
        return shape[-2:] == (1, 1) or shape[1:-1] == (1,) * (len(shape) - 2)
    return len(shape) < 3 or 1 in shape[1:]


def _sums_over(call: Call) -> int:
    """Number of tokens that attention, or a dense layer along the tokens, sums over; 0 for another function."""
    if call.name == "scaled_dot_product_attention":
        return int(argument(call, 1, "key").shape[-2])
    if call.name == "multi_head_attention_forward":
        return prod(argument(call, 1, "key").shape[:-1])
    if call.name not in ("matmul", "bmm", "baddbmm"):
        return 0
    factors = [tensor for tensor in tensors_in((call.args, call.kwargs)) if not isinstance(tensor, nn.Parameter)]
    # Queries times keys give one number for each key; weights times values sum over them.
    return max(int(call.output.shape[-1]), int(factors[-1].shape[-2])) if len(factors) > 1 else 0
