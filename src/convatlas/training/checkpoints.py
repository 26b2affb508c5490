"""Write checkpoints atomically, and load the newest one that is not damaged."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from convatlas.base.errors import TrainingError
from convatlas.training.run_folder import CHECKPOINTS, write_file


def save(folder: Path, step: int, content: Mapping[str, Any], keep: int) -> None:
    """Write the checkpoint after `step` steps, and delete all but the last `keep`.

    Raises:
        TrainingError: It cannot be written; the earlier ones are kept.
    """
    path = folder / f"checkpoint-{step:010}.pt"
    data = io.BytesIO()
    torch.save(dict(content), data)
    write_file(path, data.getvalue())
    for old in sorted(folder.glob(CHECKPOINTS))[:-keep]:
        old.unlink(missing_ok=True)


def load_latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Load the newest checkpoint that can be read: its path and content; None if the folder has no checkpoint.

    Raises:
        TrainingError: All checkpoints are damaged.
    """
    paths = sorted(folder.glob(CHECKPOINTS), reverse=True)
    for path in paths:
        try:
            return path, dict(torch.load(path, map_location="cpu", weights_only=True))
        # A damaged file makes the unpickler raise nearly anything.
        except Exception:
            continue
    if paths:
        raise TrainingError(f"none of the {len(paths)} checkpoints in {folder} can be read")
    return None
