"""Base class of the tasks of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from convatlas.base.errors import ConvAtlasError, printable
from convatlas.bulk.job import Job
from convatlas.engines.session import Float32Array
from convatlas.predict.nets import TrainedNet, check_channels
from convatlas.predict.predictors import BATCH, Sizes
from convatlas.predict.sessions import EagerSession, EngineSession

ColumnValues = dict[str, Sequence[Any]]
"""Values by column name, one for each photo; "error", if a task has it, says why it refuses a photo, else None."""


class Task:
    """The task of a job, with its net loaded; calling it on photos returns the values of its columns.

    Attributes:
        job: The job.
        net: The net.
        session: The session that runs it.
        column_types: Types of the columns by name, without those that all tasks have.
        batch: Number of photos in a batch.
    """

    column_types: Mapping[str, pa.DataType]
    batch: ClassVar[int] = BATCH

    def __init__(self, job: Job, net: TrainedNet, session: EngineSession | EagerSession):
        check_channels(net)
        self.job, self.net, self.session = job, net, session

    def __call__(self, x: Float32Array, sizes: Sizes) -> ColumnValues:
        """Values of the columns for inputs (N, C, h, w) of photos with these (height, width)."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """The engine in words; this starts the engine if necessary."""
        return self.session.engine

    @property
    def callers(self) -> int:
        """Number of threads that may call this at the same time; this starts the engine if necessary."""
        return self.session.callers

    def run(self, x: Float32Array) -> Float32Array:
        """Run the net on inputs (N, C, h, w).

        Raises:
            ConvAtlasError: The engine fails.
        """
        try:
            return self.session(x)
        except ConvAtlasError:
            raise
        # The engines' errors have no common base class; most often they are out of memory.
        except Exception as error:
            raise self.failed(error) from None

    def failed(self, error: Exception) -> ConvAtlasError:
        """Return the error that stops a job when its engine fails."""
        return ConvAtlasError(
            f"{self.engine} fails ({printable(error)}); finished shards are whole, and the same call continues"
        )
