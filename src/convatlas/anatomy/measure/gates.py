"""Find the operations that only compute a gate, by their place in the graph of any net."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from convatlas.anatomy.measure.positions.mixing import has_one_position
from convatlas.anatomy.measure.tracing.calls import Operation
from convatlas.genes.attention import Gated

PRODUCTS = ("mul", "imul", "multiply")
SPREAD = ("expand", "expand_as", "broadcast_to", "repeat", "interpolate")
"""Functions that may repeat one value at every position."""


def gates(net: nn.Module, operations: Sequence[Operation]) -> set[int]:
    """Indices of the operations that only compute a gate: those inside a `Gated` module, and those the graph shows.

    In the graph, a gate is computed from maps pooled to one position, as in squeeze and excitation (Hu et al. 2018), is
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
            gating |= _read_only_by(index, _pooled_ancestors(factors, operations, pooled), operations)
    return gating


def _pooled(operations: Sequence[Operation]) -> set[int]:
    """Indices of the operations whose result has one position, or the same values at all positions."""
    result: set[int] = set()
    for index, operation in enumerate(operations):
        spreads = bool(operation.calls) and all(call.name in SPREAD for call in operation.calls)
        if has_one_position(operation.shapes[0]) or (spreads and operation.inputs[0] in result):
            result.add(index)
    return result


def _pooled_ancestors(sources: set[int], operations: Sequence[Operation], pooled: set[int]) -> set[int]:
    """The `sources`, and the pooled operations that they are computed from, back to those that pool."""
    gating: set[int] = set()
    pending = list(sources)
    while pending:
        index = pending.pop()
        if index in pooled and index not in gating:
            gating.add(index)
            pending += operations[index].inputs
    return gating


def _read_only_by(product: int, candidates: set[int], operations: Sequence[Operation]) -> set[int]:
    """Candidates that nothing but the product reads, directly or through other candidates."""
    kept = {index for index in candidates if operations[index].output_position is None}
    for reader in range(max(kept, default=-1) + 1, len(operations)):
        if reader != product:
            kept -= set(operations[reader].inputs)
    # Backwards, since a reader comes after what it reads: whether the reader is kept is known first.
    for reader in range(max(candidates, default=-1), -1, -1):
        if reader not in kept:
            kept -= set(operations[reader].inputs)
    return kept
