"""Where a net runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, unknown

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def device_of(name: str) -> torch.device:
    """The device called `name`; `auto` is the fastest that is there.

    Raises:
        UnknownName: It is none of `DEVICES`.
        ConvAtlasError: This machine has none.
    """
    import torch

    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(one for one in ("cuda", "mps", "cpu") if present[one]))
    if not present[name]:
        raise ConvAtlasError(f"this machine has no {name}; it has {', '.join(one for one in present if present[one])}")
    return torch.device(name)
