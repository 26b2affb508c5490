"""Reading weights from a file that may be hostile, and putting them into a net whole or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.base.errors import WeightsError


def verified(path: Path, sha256: str) -> bytes:
    """The file's bytes, if their hash is the expected one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the weights' file {path} cannot be read: {error.strerror or error}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsError(f"{path.name} is not the published file: its sha256 is {found}, not {sha256}; reinstall it")
    return data


def state_dict(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch file; no code in it is ever run."""
    data = verified(path, sha256)
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    # A damaged file makes the unpickler raise nearly anything: KeyError, IndexError, AttributeError, ...
    except Exception as error:
        reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise WeightsError(f"{path.name} is damaged: {reason}") from None
    if not isinstance(found, dict) or not all(_is_weight(name, value) for name, value in found.items()):
        raise WeightsError(f"{path.name} holds no table of weights")
    return found


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def fill(net: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Copies `weights` into `net`, every one, after all of them were checked; counters may be missing."""
    wanted = net.state_dict()
    missing = [name for name in wanted if name not in weights and not name.endswith("num_batches_tracked")]
    surplus = [name for name in weights if name not in wanted]
    if missing or surplus:
        what = f"lacks {missing[0]}" if missing else f"has {surplus[0]}, which the net lacks"
        raise WeightsError(f"{origin} does not fit the net: it {what} ({len(missing)} missing, {len(surplus)} surplus)")
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)} for {tuple(wanted[name].shape)}"
            raise WeightsError(f"{origin} does not fit the net: {name} is {shapes}")
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{origin} holds numbers that are not finite, in {name}")
    net.load_state_dict(dict(weights), strict=False)
