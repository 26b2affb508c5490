"""A mapping by the identity of tensors."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor


class ByTensor:
    """Mapping by the identity of tensors that does not keep them alive."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def __setitem__(self, tensor: Tensor, value: Any) -> None:
        self.entries[id(tensor)] = weakref.ref(tensor), value

    def __delitem__(self, tensor: Tensor) -> None:
        del self.entries[id(tensor)]

    def __contains__(self, tensor: Tensor) -> bool:
        entry = self.entries.get(id(tensor))
        # The id of a tensor that was freed may be that of another one now.
        return entry is not None and entry[0]() is tensor

    def get(self, tensor: Tensor) -> Any:
        return self.entries[id(tensor)][1] if tensor in self else None
