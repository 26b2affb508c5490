"""Read state_dicts from files that may be hostile, check them, and write them atomically."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import WeightsError, printable
from convatlas.base.files.reading import MAX_WEIGHTS, check_file, opened, reason
from convatlas.base.files.torch_files import TorchFileError, read_torch
from convatlas.weights.formats.checkpoints import Checkpoint, checkpoint

ALIGNMENT = 64
"""Alignment of PyTorch's own tensors in memory, in bytes."""

VARIANCES = (".running_var", ".variance")
"""Endings of the names of variances, which must not be negative."""

COUNTER = "num_batches_tracked"
"""BatchNorm's counter of batches, which evaluation does not need and files may lack."""


def verify_hash(path: Path, sha256: str) -> None:
    """Refuse a file whose hash is not the expected one."""
    try:
        with opened(path, MAX_WEIGHTS) as (file, _):
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"the weights' file {path} cannot be read: {reason(error)}") from None
    if actual != sha256:
        raise WeightsError(f"{path.name} is not the published file: its sha256 is {actual}, not {sha256}; reinstall it")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file: safetensors or PyTorch's own format, by its ending."""
    return dict(read_checkpoint(path).tensors)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights in a file: safetensors, or by any other ending PyTorch's own format."""
    if path.suffix.lower() == ".safetensors":
        return Checkpoint(read_safetensors(path)[0])
    content = read_pickle(path)
    try:
        return checkpoint(content)
    except WeightsError as error:
        raise WeightsError(f"{path.name} {error}") from None


def write_state(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write a state_dict, whole or not at all: safetensors or PyTorch's own format, by the file's ending."""
    if file.suffix.lower() == ".safetensors":
        write_safetensors(weights, {"format": "pt"}, file)
    else:
        write_pickle(weights, file)


def read_pickle(path: Path) -> object:
    """Read the content of a PyTorch file (.pth, .pt, .bin, .ckpt), without running code in it."""
    try:
        return read_torch(path)
    except OSError as error:
        raise WeightsError(f"the weights' file {path} cannot be read: {reason(error)}") from None
    except TorchFileError as error:
        raise WeightsError(
            f"{path.name} {error}: it is not a whole PyTorch file of weights (code is never run; write the net's "
            "state_dict())"
        ) from None


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, mapped into memory and read when used, and its metadata."""
    try:
        # The library would wait for ever for a pipe.
        check_file(path, MAX_WEIGHTS)
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError, OverflowError, MemoryError, TypeError) as error:
        why = reason(error) if isinstance(error, OSError) else printable(error) or type(error).__name__
        raise WeightsError(f"{path.name} is not a whole safetensors file: {why}") from None
    # On unaligned memory, kernels round differently.
    return {
        name: tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor for name, tensor in tensors.items()
    }, metadata


def write_pickle(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a PyTorch file, whole or not at all."""
    file = io.BytesIO()
    torch.save(dict(weights), file)
    write_bytes(path, file.getvalue())


def write_safetensors(weights: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a safetensors file, whole or not at all, padded so that its tensors are aligned when mapped into memory."""
    padded = dict(metadata, padding="")
    data = safetensors_bytes(dict(weights), padded)
    # Integers come first in the file, then floats.
    integers = sum(tensor.nbytes for tensor in weights.values() if tensor.dtype == torch.int64)
    if gap := -(8 + int.from_bytes(data[:8], "little") + integers) % ALIGNMENT:
        data = safetensors_bytes(dict(weights), dict(padded, padding=" " * gap))
    write_bytes(path, data)


class Misfit(WeightsError):
    """Weights that do not fit a net; `count` is the number of names that are missing or surplus."""

    def __init__(self, message: str, count: int):
        super().__init__(message)
        self.count = count


def check_fit(
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    title: str,
    headless: bool = False,
    keys: Mapping[str, str] | None = None,
) -> None:
    """Refuse weights whose names or shapes are not those of a net's state_dict; errors call them `title`.

    Counters (`num_batches_tracked`) may be missing, and if `headless` the head's weights too. `keys` are the file's
    names by ours, for errors.

    Raises:
        Misfit: They do not fit.
    """

    def key(name: str) -> str:
        return printable((keys or {}).get(name, name))

    missing = [
        name
        for name in expected
        if name not in weights and not name.endswith(COUNTER) and not (headless and name.startswith("head."))
    ]
    surplus = [name for name in weights if name not in expected]
    if missing or surplus:
        reasons = [f"lack {key(missing[0])}"] if missing else []
        reasons += [f"have {key(surplus[0])}, which the net lacks"] if surplus else []
        counts = f"{len(missing)} missing, {len(surplus)} surplus"
        raise Misfit(
            f"{title} do not fit the net: they {' and '.join(reasons)} ({counts})", len(missing) + len(surplus)
        )
    wrong = [name for name, tensor in weights.items() if tensor.shape != expected[name].shape]
    if wrong:
        shapes = f"{tuple(weights[wrong[0]].shape)} for {tuple(expected[wrong[0]].shape)}"
        raise Misfit(f"{title} do not fit the net: {key(wrong[0])} is {shapes}", len(wrong))


def finite_float32(
    weights: Mapping[str, Tensor], title: str, keys: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """Return the weights in float32, contiguous; errors call them `title`, and use the file's names by ours, `keys`.

    Raises:
        WeightsError: They hold complex numbers, numbers that are not finite in float32, or a negative variance.
    """
    for name, tensor in weights.items():
        key = printable((keys or {}).get(name, name))
        # Checked in float32, the result's type, for which a float64 may be too large.
        if tensor.is_complex() or not torch.isfinite(tensor.float()).all():
            raise WeightsError(f"{title} hold numbers that are not finite, in {key}")
        if name.endswith(VARIANCES) and (tensor < 0).any():
            raise WeightsError(f"{title} hold a negative variance, in {key}")
    return {
        name: tensor.to(torch.int64 if name.endswith(COUNTER) else torch.float32).contiguous()
        for name, tensor in weights.items()
    }
