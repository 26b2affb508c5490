"""Find the operations that only compute a gate, by their place in the graph of any net."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from convatlas.anatomy.measure.positions.mixing import has_one_position
from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.genes.attention import Gated

PRODUCTS = ("mul", "imul", "multiply")
SPREAD = ("expand", "expand_as", "broadcast_to", "repeat", "interpolate")
"""Functions that may give every position the same values."""


def gates(net: nn.Module, operations: Sequence[Operation]) -> set[int]:
    """Indices of the operations that only compute a gate: those of a `Gated` of ours, and those found in the graph.

    There a gate is what is computed from maps pooled to one position, as in squeeze and excitation (Hu et al. 2018), is
    multiplied with maps, and is used for nothing else.
    """
    declared = {id(part) for gated in net.modules() if isinstance(gated, Gated) for part in gated.gate.modules()}
    gating = {index for index, operation in enumerate(operations) if id(operation.module) in declared}
    pooled = _pooled(operations)
    for index, operation in enumerate(operations):
        if index in pooled or not any(call.name in PRODUCTS for call in operation.calls):
            continue
        factors = {source for source in operation.inputs if source in pooled}
        if factors and len(factors) < len(set(operation.inputs)):
            gating |= _only_for(index, _behind(factors, operations, pooled), operations)
    return gating


def _pooled(operations: Sequence[Operation]) -> set[int]:
    """Indices of the operations whose result has one position, or the same values at all."""
    result: set[int] = set()
    for index, operation in enumerate(operations):
        spreads = bool(operation.calls) and all(call.name in SPREAD for call in operation.calls)
        if has_one_position(operation.shapes[0]) or (spreads and operation.inputs[0] in result):
            result.add(index)
    return result


def _behind(sources: set[int], operations: Sequence[Operation], pooled: set[int]) -> set[int]:
    """Pooled operations from which `sources` are computed, back to those that pool, and `sources` themselves."""
    gating: set[int] = set()
    ahead = list(sources)
    while ahead:
        index = ahead.pop()
        if index in pooled and index not in gating:
            gating.add(index)
            ahead += operations[index].inputs
    return gating


def _only_for(product: int, candidates: set[int], operations: Sequence[Operation]) -> set[int]:
    """Those of `candidates` that nothing but the product reads, directly or through others of them."""
    kept = {index for index in candidates if operations[index].answer is None}
    for reader in range(max(kept, default=-1) + 1, len(operations)):
        if reader != product:
            kept -= set(operations[reader].inputs)
    # A reader comes after what it reads: backwards, each is decided before what it reads.
    for reader in range(max(candidates, default=-1), -1, -1):
        if reader not in kept:
            kept -= set(operations[reader].inputs)
    return kept
