"""Coverage: which probes can explain a net, or the operation that keeps them from it, found on the meta device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import cards, find_card
from convatlas.nets.build import skeleton
from convatlas.nets.example_inputs import candidate_inputs
from convatlas.nets.user_net import is_user_net, load_user_net
from convatlas.probes.layers import layer_named
from convatlas.probes.probe import Probe
from convatlas.probes.recovery._relu import NO_RELU, RELUS
from convatlas.probes.registry import all_probes
from convatlas.probes.rules import secants
from convatlas.probes.rules.operation_rules import has_rule
from convatlas.probes.rules.refusals import LRP, no_rule
from convatlas.probes.rules.secants import rule_for
from convatlas.probes.tape.record import record
from convatlas.probes.tape.tape import Tape


@dataclass(frozen=True, kw_only=True)
class Covered(Record):
    """Whether a probe can explain a net.

    Attributes:
        net: Name of the net.
        probe: Name of the probe.
        reason: What keeps the probe from it; "" if nothing does.
    """

    net: str
    probe: str
    reason: str


def coverage(net: nn.Module, shape: tuple[int, ...], name: str) -> list[Covered]:
    """Return for each probe whether it can explain a net, without computing anything with numbers.

    That a map is complete and well-conditioned is found only when it is made.

    Args:
        net: The net; it is only read.
        shape: Shape of its input, (C, h, w).
        name: Its name.

    Raises:
        ConvAtlasError: The net does not run on such an input.
    """
    tape = _tape(net, shape)
    reasons = {probe.name: probe.unfit(net) or _reason(tape, probe) for probe in all_probes().values()}
    return [Covered(net=name, probe=probe, reason=reason or "") for probe, reason in reasons.items()]


def coverage_of(name: str) -> Sequence[str]:
    """Return the names of the nets that a text stands for: all nets of the atlas for "all", else the one net.

    Raises:
        UnknownName: No net has this name.
    """
    if name == "all":
        return list(cards())
    if is_user_net(name):
        return [name]
    return [find_card(name).name]


def covered(names: Sequence[str]) -> Iterator[list[Covered]]:
    """Yield the coverage of each net, on an input of the size it was built for, or 224 pixels for a user's own."""
    for name in names:
        if is_user_net(name):
            net = load_user_net(name).eval()
            shapes = [tuple(inputs.tensors[0].shape[1:]) for inputs in candidate_inputs(net)]
        else:
            net = skeleton(name).eval()
            shapes = [(net.channels, *net.size)]
        yield coverage(net, shapes[0], name)


def table(rows: Sequence[Covered]) -> Table:
    """Return a table of nets: how many probes can explain each, and what keeps the others from it."""
    lines = []
    for net in dict.fromkeys(row.net for row in rows):
        own = [row for row in rows if row.net == net]
        refused = [row for row in own if row.reason]
        reasons = {
            reason: [row.probe for row in refused if row.reason == reason] for reason in (r.reason for r in refused)
        }
        text = "; ".join(f"{', '.join(probes)}: {reason}" for reason, probes in reasons.items())
        lines.append({"net": net, "probes": len(own) - len(refused), "of": len(own), "refused": text})
    columns = Column("net", "net"), Column("probes", "probes"), Column("of", "of"), Column("refused", "refused")
    return Table(columns, lines)


def _tape(net: nn.Module, shape: tuple[int, ...]) -> Tape:
    weight = next((each for each in net.parameters() if each.is_floating_point()), None)
    dtype = torch.float32 if weight is None else weight.dtype
    place = "cpu" if weight is None else weight.device
    error: Exception | None = None
    # A net that decides by values has none on the meta device.
    for device in ("meta", place):
        try:
            return record(net, torch.zeros(1, *shape, dtype=dtype, device=device), _first_number)
        except Exception as raised:  # the net's own code can raise anything
            error = raised
    text = " ".join(str(error).split())
    raise ConvAtlasError(f"the net does not run on an input of {shape}: {text:.200}")


def _first_number(output: Any) -> Tensor:
    tensors = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
    if not tensors:
        raise ConvAtlasError("the net returns no tensor")
    return tensors[0].flatten(1)[:, :1]


def _reason(tape: Tape, probe: Probe) -> str | None:
    if probe.needs in ("scores", "nothing"):
        return None
    if tape.leaks:
        return tape.leaks[0]
    if probe.spatial:
        try:
            layer_named(tape, None)
        except ConvAtlasError as error:
            return str(error)
    operations = tape.after(tape.photo)
    if probe.family == "recovery" and not any(operation.name in RELUS for operation in operations):
        return NO_RELU
    if probe.needs == "relevance":
        covers = has_rule if probe.rules == "relevance" else _has_secant
        method = LRP if probe.rules == "relevance" else secants.NAME
        missing = next((operation for operation in operations if not covers(tape, operation)), None)
        return None if missing is None else no_rule(method, missing)
    return None


def _has_secant(tape: Tape, operation: Any) -> bool:
    return rule_for(tape, operation) is not None
