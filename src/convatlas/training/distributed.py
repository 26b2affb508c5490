"""Distribute a training over the processes that `torchrun` starts; usually there is only one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from convatlas.base.errors import TrainingError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The process group of a training, as one of its processes sees it.

    Attributes:
        rank: Index of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def shard(self, indices: Tensor) -> Tensor:
        """This process's part of a batch; empty where the batch has fewer photos than there are processes."""
        return indices[self.rank :: self.size]

    def all_reduce(self, number: Tensor) -> Tensor:
        """Sum of a number over all processes."""
        if self.size > 1:
            dist.all_reduce(number)
        return number

    def gather(self, part: T) -> list[T]:
        """Return the parts of all processes, in all of them."""
        parts: list[Any] = [part] * self.size
        if self.size > 1:
            dist.all_gather_object(parts, part)
        return parts

    def barrier(self) -> None:
        """Wait for all processes to reach this point."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Join the process group that the environment describes (`RANK`, `WORLD_SIZE`), and leave it afterwards.

    Raises:
        TrainingError: WORLD_SIZE is not a number of processes.
    """
    world_size = os.environ.get("WORLD_SIZE", "1")
    if not world_size.isdecimal() or not (size := int(world_size)):
        raise TrainingError(f"WORLD_SIZE is the number of processes, set by torchrun; got {world_size!r}")
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


def is_main_process() -> bool:
    """Whether this process writes files and output, according to the environment (`RANK`)."""
    return os.environ.get("RANK", "0") == "0"
