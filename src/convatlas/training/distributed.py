"""The processes that train one net together, as `torchrun` starts them; mostly there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from convatlas.base.errors import TrainingError


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def mine(self, numbers: Tensor) -> Tensor:
        """The share of a batch that falls to this process; empty if there is less than one each."""
        return numbers[self.rank :: self.size]

    def together(self, number: Tensor) -> Tensor:
        """The sum of a number over all processes."""
        if self.size > 1:
            dist.all_reduce(number)
        return number

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that the environment speaks of (`RANK`, `WORLD_SIZE`), joined for as long as it lasts."""
    told = os.environ.get("WORLD_SIZE", "1")
    if not told.isdecimal() or not (size := int(told)):
        raise TrainingError(f"WORLD_SIZE is the number of processes, set by torchrun; got {told!r}")
    if size == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that writes, as the environment says; where there is one, it is."""
    return os.environ.get("RANK", "0") == "0"
