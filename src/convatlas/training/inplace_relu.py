"""Memory saved while a net learns: a ReLU writes its answer where its input stood, if nobody else reads that.

The nets of the atlas do nothing in place, so that whoever looks into one sees every value. A training does not look,
and memory that is not touched saves a twentieth of a step of ResNet-18. The bits are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convatlas.anatomy.measure.tracer import trace
from convatlas.genes.structural import Add
from convatlas.nets.net import Net

FORGETFUL = (nn.Conv2d, _BatchNorm, Add)
"""Whose gradients are computed without their answers."""


@contextmanager
def overwriting(relus: Sequence[nn.ReLU]) -> Iterator[None]:
    """While it lasts these write in place."""
    for relu in relus:
        relu.inplace = True
    try:
        yield
    finally:
        for relu in relus:
            relu.inplace = False


def free_to_overwrite(net: nn.Module) -> list[nn.ReLU]:
    """The ReLUs of a net of the atlas that alone read what they read, from an operation that needs it no more.

    Of other nets none: nobody knows what size of photo they take.
    """
    if not isinstance(net, Net):
        return []
    photo = torch.zeros(1, net.channels, *net.size, device=next(net.parameters()).device)
    operations = trace(net, photo)
    readers = Counter(number for operation in operations for number in operation.inputs)
    found = []
    for operation in operations:
        relu, source = operation.module, operation.inputs[0] if operation.inputs else -1
        if not (isinstance(relu, nn.ReLU) and operation.is_leaf and source >= 0 and readers[source] == 1):
            continue
        before = operations[source]
        if before.is_leaf and before.answer is None and isinstance(before.module, FORGETFUL):
            found.append(relu)
    return found
