"""Find the table of weights in what a PyTorch file holds: the table itself, or a checkpoint of a training script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import WeightsError, printable

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "swa_state_dict", "swa_model")
"""Names of tables with averages of the weights, which evaluate better than the last ones."""

PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Names of tables with the weights of the last step."""

Table = dict[str, Tensor]

DEPTH = 3
"""Most dictionaries around a table."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights in a file.

    Attributes:
        tensors: The weights under the file's names.
        table: Name of the table that they are from, with dots between nested ones; empty if the file is the table.
        others: Names of the tables that were not taken.
    """

    tensors: Mapping[str, Tensor]
    table: str = ""
    others: tuple[str, ...] = ()


def checkpoint(content: object) -> Checkpoint:
    """Choose the table of weights in a file's content: averaged weights first, then those of the last step, by name.

    A table with another name is taken if it is the only one.

    Raises:
        WeightsError: There is none, or there are several, none with a known name; the text starts with a verb.
    """
    if isinstance(content, dict) and _is_table(content):
        return Checkpoint(_detached(content))
    tables = dict(_tables(content, (), set()))
    if not tables:
        raise WeightsError("does not hold a table of weights")
    ranked = sorted(tables, key=_rank)
    names = [".".join(map(printable, path)) for path in ranked]
    if len(names) > 1 and _rank(ranked[0]) == len(_NAMES):
        raise WeightsError(f"holds several tables of weights, {', '.join(names)}: save one of them by itself")
    return Checkpoint(_detached(tables[ranked[0]]), names[0], tuple(names[1:]))


_NAMES = (*AVERAGED, *PLAIN)


def _rank(path: tuple[str, ...]) -> int:
    """Place of a table in the order of preference; below an averaged model, its own names count no more."""
    return next((_NAMES.index(name) for name in path if name in _NAMES), len(_NAMES))


def _tables(content: object, path: tuple[str, ...], visited: set[int]) -> Iterator[tuple[tuple[str, ...], Table]]:
    # A dictionary may hold itself.
    if not isinstance(content, dict) or len(path) == DEPTH or id(content) in visited:
        return
    visited.add(id(content))
    for name, value in content.items():
        if not isinstance(name, str):
            continue
        if _is_table(value):
            yield (*path, name), value
        else:
            yield from _tables(value, (*path, name), visited)


def _is_table(content: object) -> bool:
    """Whether all entries are named tensors, and not all of them single numbers, such as a counter."""
    return (
        isinstance(content, dict)
        and all(_is_weight(name, value) for name, value in content.items())
        and any(value.dim() for value in content.values())
    )


def _is_weight(name: object, value: object) -> bool:
    """Whether an entry is a named tensor that is stored in full, not a few numbers repeated by strides of 0."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    if value.is_meta or value.is_quantized or value.is_nested:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _detached(table: Table) -> Table:
    return {name: tensor.detach() for name, tensor in table.items()}
