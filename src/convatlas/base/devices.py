"""Devices that nets run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError, unknown

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def device_of(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the fastest one of this machine.

    Raises:
        UnknownName: `name` is not one of `DEVICES`.
        ConvAtlasError: This machine has no such device.
    """
    import torch

    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present[name]:
        raise ConvAtlasError(
            f"this machine has no {name}; it has {', '.join(kind for kind in present if present[kind])}"
        )
    return torch.device(name)
