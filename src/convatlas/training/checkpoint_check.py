"""Check what a checkpoint holds before any of it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from convatlas.base.files.structured import SchemaError, excerpt, to_type

MOMENTS = {"step", "exp_avg", "exp_avg_sq", "momentum_buffer"}
"""What the optimizers keep for each weight."""


def check_state(state: Mapping[str, Any], expected: Mapping[str, Any], trained: Sequence[Tensor]) -> None:
    """Check the state of a trainer against that of a fresh one of the same run.

    Args:
        state: State from a file, as `Trainer.state_dict` returns it.
        expected: State of the trainer that will load it.
        trained: The weights that its optimizer trains, in order.

    Raises:
        SchemaError: It does not fit.
    """
    for part in ("net", "ema"):
        check_tensors(part, state.get(part), expected[part])
    _check_optimizer(state.get("optimizer"), expected["optimizer"], trained)
    _check_values("scaler", state.get("scaler"), expected["scaler"], expected["scaler"])


def check_tensors(part: str, tensors: object, expected: Mapping[str, Tensor]) -> None:
    """Check that tensors have the names, shapes and types of others, and finite numbers; raise a SchemaError if not."""
    if not isinstance(tensors, dict) or tensors.keys() != expected.keys():
        raise SchemaError(f"has other weights in its {part}")
    for name, tensor in tensors.items():
        other = expected[name]
        if not isinstance(tensor, Tensor) or (tensor.shape, tensor.dtype) != (other.shape, other.dtype):
            raise SchemaError(f"has a strange tensor for {name} in its {part}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise SchemaError(f"has numbers that are not finite for {name} in its {part}")


def _check_optimizer(state: object, expected: Mapping[str, Any], trained: Sequence[Tensor]) -> None:
    if not isinstance(state, dict) or state.keys() != expected.keys():
        raise SchemaError("has no state of the optimizer")
    groups, moments = state["param_groups"], state["state"]
    if not isinstance(groups, list) or len(groups) != len(expected["param_groups"]):
        raise SchemaError("has the state of another optimizer")
    for group, other in zip(groups, expected["param_groups"], strict=True):
        _check_values("optimizer", group, other, ("lr",))
    if not isinstance(moments, dict) or not moments.keys() <= set(range(len(trained))):
        raise SchemaError("has the state of other weights in its optimizer")
    kinds = [set(values) if isinstance(values, dict) else None for values in moments.values()]
    if any(kind is None or not kind <= MOMENTS or kind != kinds[0] for kind in kinds):
        raise SchemaError("has a strange state in its optimizer")
    for number, values in moments.items():
        for value in values.values():
            if value is None:
                continue
            if not isinstance(value, Tensor) or value.shape not in ((), trained[number].shape):
                raise SchemaError("has a strange state in its optimizer")
            if not value.isfinite().all():
                raise SchemaError("has numbers that are not finite in its optimizer")


def _check_values(part: str, values: object, expected: Mapping[str, Any], free: Collection[str]) -> None:
    """Check that plain values have the names of others and are equal to them; those of `free` are any numbers."""
    if not isinstance(values, dict) or values.keys() != expected.keys():
        raise SchemaError(f"has other settings in its {part}")
    for name, value in values.items():
        other = expected[name]
        number = name in free and type(value) in (int, float) and abs(value) < 1e30
        if not number and (type(value) is not type(other) or value != other):
            raise SchemaError(f"has {excerpt(value)} for {name} in its {part}")


def check_lines(lines: object, epochs: int) -> list[dict[str, Any]]:
    """Return the metrics of the finished epochs, one entry for each; raise a SchemaError if they are anything else."""
    entries = to_type(list[dict[str, Any]], lines)
    if not all(type(value) in (int, float) for entry in entries for value in entry.values()):
        raise SchemaError("has metrics that are no numbers")
    if [entry.get("epoch") for entry in entries] != list(range(1, epochs + 1)):
        raise SchemaError("has no metrics for its epochs")
    if not all({"lr", "loss", "seconds"} <= entry.keys() for entry in entries):
        raise SchemaError("lacks metrics of its epochs")
    return entries
