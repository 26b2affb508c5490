"""Run ReLUs in place during training, where nothing else reads their input.

Nets of the atlas never run in place, so that all activations can be inspected. Training does not inspect them; running
ReLUs in place saves memory and 5 % of the time of a step of ResNet-18, with bit-identical results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.genes.structural import Add
from convatlas.nets.net import Net

PRODUCERS = (nn.Conv2d, _BatchNorm, Add)
"""Modules whose output may be overwritten, since their backward pass does not need it."""


@contextmanager
def run_inplace(relus: Sequence[nn.ReLU]) -> Iterator[None]:
    """Run these ReLUs in place within the context."""
    for relu in relus:
        relu.inplace = True
    try:
        yield
    finally:
        for relu in relus:
            relu.inplace = False


def inplace_candidates(net: nn.Module) -> list[nn.ReLU]:
    """ReLUs that may run in place: sole reader of their input, whose producer does not need it for backward.

    Empty for nets that are not of the atlas: their input size, needed for the trace, is unknown.
    """
    if not isinstance(net, Net):
        return []
    photo = torch.zeros(1, net.channels, *net.size, device=next(net.parameters()).device)
    operations = trace(net, photo)
    readers = Counter(index for operation in operations for index in operation.inputs)
    relus = []
    for operation in operations:
        relu, source = operation.module, operation.inputs[0] if operation.inputs else -1
        if not (isinstance(relu, nn.ReLU) and operation.is_leaf and source >= 0 and readers[source] == 1):
            continue
        producer = operations[source]
        if producer.is_leaf and producer.output_position is None and isinstance(producer.module, PRODUCERS):
            relus.append(relu)
    return relus
