"""Run a net once and record its operations."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import nn

from convatlas.anatomy.measure.tracing.calls import Operation, Trace, tensors_in
from convatlas.anatomy.measure.tracing.recorder import AtenWatcher, Recorder
from convatlas.anatomy.measure.tracing.twin import twin
from convatlas.base.untouched import same_random_state


def trace(
    net: nn.Module,
    *inputs: Any,
    keywords: Mapping[str, Any] | None = None,
    keep: Literal["shapes", "values"] = "shapes",
    only: Container[int] | None = None,
    plain_hooks: bool = False,
    into: Trace | None = None,
) -> list[Operation]:
    """Run one forward pass in evaluation mode, without gradients, and return its operations in order.

    A copy of the net's structure runs, on the meta device if the inputs are there; the net itself is only read, and
    PyTorch's random state is restored. Hooks that are plain functions do not run by default.

    Args:
        net: Any module.
        inputs: Its arguments: tensors, also in tuples, lists and dicts, and other values.
        keywords: Its arguments by name.
        keep: "shapes", which takes no memory, or "values", copies of the tensors that each operation read and returned;
            a later in-place operation does not change them.
        only: Indices, from 0, of the operations whose values are kept; by default all.
        plain_hooks: Whether hooks that are plain functions run too.
        into: Record of the pass to fill; if the net fails, it holds what ran before.
    """
    keywords = keywords or {}
    tensors = list(tensors_in((inputs, keywords)))
    copied = twin(net, bool(tensors) and all(tensor.is_meta for tensor in tensors), plain_hooks)
    recorder = Recorder(copied, tensors, Trace() if into is None else into, keep == "values", only)
    with ExitStack() as stack:
        for name, module in copied.net.named_modules():
            recorder.watch(name, module)
        stack.enter_context(same_random_state())
        stack.enter_context(torch.no_grad())
        stack.enter_context(AtenWatcher(recorder))
        stack.enter_context(recorder)
        output = copied.net(*inputs, **keywords)
    for position, tensor in enumerate(tensors_in(output)):
        number = recorder.maker(tensor)
        if number is not None and number >= 0 and recorder.operations[number].output_position is None:
            recorder.operations[number].output_position = position
    return recorder.operations
