"""Reading weights from files that may be hostile, and writing them whole."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import WeightsError, printable

ALIGNMENT = 64
"""Bytes: at which addresses PyTorch's own tensors start."""

VARIANCES = (".running_var", ".variance")
"""What is divided by the root of."""

COUNTER = "num_batches_tracked"
"""What BatchNorm counts and nobody needs; files may leave it out."""


def verify(path: Path, sha256: str) -> None:
    """Refuses a file whose hash is not the expected one."""
    found = hashlib.sha256(_bytes(path)).hexdigest()
    if found != sha256:
        raise WeightsError(f"{path.name} is not the published file: its sha256 is {found}, not {sha256}; reinstall it")


def pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file (.pth, .pt, .bin); no code in it is ever run."""
    data = _bytes(path)
    try:
        _refuse_swelling(data)
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except WeightsError as error:
        raise WeightsError(f"{path.name} {error}") from None
    # A damaged file makes the unpickler raise nearly anything: KeyError, IndexError, AttributeError, ...
    except Exception:
        raise WeightsError(
            f"{path.name} is no whole PyTorch file of weights: damaged, or more than tensors (code is never run)"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(_is_weight(name, value) for name, value in found.items()):
        raise WeightsError(f"{path.name} holds no table of weights")
    return {name: tensor.detach() for name, tensor in found.items()}


def _refuse_swelling(data: bytes) -> None:
    """PyTorch stores tensors as they are: what may swell without limit is no file of PyTorch's."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise WeightsError("is compressed, as PyTorch's files are not")
    # The unpickler makes one of any length; tensors do not need it.
    if b"bytearray" in data:
        raise WeightsError("holds a bytearray, which no tensor needs")


def safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, mapped into memory and not read until used, and its metadata."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError, OverflowError, MemoryError, TypeError) as error:
        reason = printable(error) or type(error).__name__
        raise WeightsError(f"{path.name} is no whole safetensors file: {reason}") from None
    # Kernels round otherwise where memory is not aligned as PyTorch aligns it.
    return {
        name: tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor for name, tensor in tensors.items()
    }, metadata


def stored(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, safetensors or PyTorch's by its ending."""
    return safetensors(path)[0] if path.suffix.lower() == ".safetensors" else pickled(path)


def save_pickled(weights: Mapping[str, Tensor], path: Path) -> None:
    """Writes a PyTorch file, whole or not at all."""
    file = io.BytesIO()
    torch.save(dict(weights), file)
    write_bytes(path, file.getvalue())


def save_safetensors(weights: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Writes a safetensors file, whole or not at all; its tensors can be used where they are mapped."""
    padded = dict(metadata, padding="")
    data = safetensors_bytes(dict(weights), padded)
    # Whole numbers come first, then the floats.
    whole = sum(tensor.nbytes for tensor in weights.values() if tensor.dtype == torch.int64)
    if gap := -(8 + int.from_bytes(data[:8], "little") + whole) % ALIGNMENT:
        data = safetensors_bytes(dict(weights), dict(padded, padding=" " * gap))
    write_bytes(path, data)


def fits(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], origin: str, headless: bool = False) -> None:
    """Refuses `weights` that are not what a net wants, by names and shapes; `origin` says which weights they are.

    Counters (`num_batches_tracked`) may be missing; where the weights are `headless`, the head may be too.

    Raises:
        WeightsError: They do not fit.
    """
    missing = [
        name
        for name in wanted
        if name not in weights and not name.endswith(COUNTER) and not (headless and name.startswith("head."))
    ]
    surplus = [name for name in weights if name not in wanted]
    if missing or surplus:
        what = f"lack {missing[0]}" if missing else f"have {printable(surplus[0])}, which the net lacks"
        raise WeightsError(f"{origin} do not fit the net: they {what} ({len(missing)} missing, {len(surplus)} surplus)")
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)} for {tuple(wanted[name].shape)}"
            raise WeightsError(f"{origin} do not fit the net: {name} is {shapes}")


def finite(weights: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """`weights` in float32, each in memory of its own.

    Raises:
        WeightsError: There are numbers among them that are not finite, or no numbers; or a negative variance.
    """
    for name, tensor in weights.items():
        # In float32, which is what is kept: a float64 may be too large for it.
        if tensor.is_complex() or not torch.isfinite(tensor.float()).all():
            raise WeightsError(f"{origin} hold numbers that are not finite, in {printable(name)}")
        if name.endswith(VARIANCES) and (tensor < 0).any():
            raise WeightsError(f"{origin} hold a negative variance, in {printable(name)}")
    return {
        name: tensor.to(torch.int64 if name.endswith(COUNTER) else torch.float32).contiguous()
        for name, tensor in weights.items()
    }


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it is larger than the memory"
        raise WeightsError(f"the weights' file {path} cannot be read: {reason}") from None


def _is_weight(name: object, value: object) -> bool:
    """Whether it is a named tensor whose numbers are all in the file; one may repeat few of them without end."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    if value.is_meta or value.is_quantized or value.is_nested:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def save_state(weights: Mapping[str, Tensor], file: Path) -> None:
    """Writes a state_dict as PyTorch's zoos keep theirs: as safetensors or pickled, by the ending."""
    if file.suffix.lower() == ".safetensors":
        save_safetensors(weights, {"format": "pt"}, file)
    else:
        save_pickled(weights, file)
