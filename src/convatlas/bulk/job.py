"""Jobs: what is asked of a net about each photo, and where it runs; all that a worker needs to start."""

from __future__ import annotations

import os
from dataclasses import dataclass

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.registry import check_request
from convatlas.predict.results import check_limits
from convatlas.weights.files import is_weights_file

NETS = {"classify": "efficientnet_lite0", "embed": "efficientnet_lite0", "detect": "yolo_v3"}
"""Default net of each task."""

TOPS = {"classify": 5, "embed": 1, "detect": 100}
"""Default number of classes or objects of each task."""


@dataclass(frozen=True)
class Job:
    """One task for one net.

    Attributes:
        task: "classify", "embed" or "detect".
        net: The net's name, or the path of a file that `export` wrote; None for the default.
        weights: As in `load`; None for the net's first ones.
        top: How many classes of each photo, or how many objects at most; None for the default.
        threshold: The score that an object has to exceed.
        engine: As in `accelerate`.
        precision: As in `accelerate`.
        device: "auto", "cpu", "cuda" or "mps".
        ranges: Paths of the photos from which int8 takes its ranges; empty for other precisions.

    Raises:
        ConvAtlasError: A setting is invalid.
    """

    task: str
    net: str | None = None
    weights: str | None = None
    top: int | None = None
    threshold: float = 0.25
    engine: str = AUTO
    precision: str = "float32"
    device: str = AUTO
    ranges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in NETS:
            raise unknown("task", self.task, NETS)
        check_request(self.engine, self.precision, 1)
        if self.task != "detect" and (type(self.limit) is not int or self.limit < 1):
            raise ConvAtlasError(f"top is a number of classes, 1 or more; got {self.top!r}")
        check_limits(self.threshold, self.limit)
        if self.task == "detect" and (self.engine not in (AUTO, EAGER) or self.precision != "float32"):
            raise ConvAtlasError(f"detect runs in eager mode in float32, not in {self.engine} in {self.precision}")

    @property
    def source(self) -> tuple[str, str | None]:
        """The net and its weights by names and absolute paths, which are valid in any working directory."""
        net = NETS[self.task] if self.net is None else self.net
        return _absolute(net), None if self.weights is None else _absolute(self.weights)

    @property
    def limit(self) -> int:
        """Number of classes, or largest number of objects."""
        return TOPS[self.task] if self.top is None else self.top

    def settings(self) -> dict[str, object]:
        """Settings that the answers depend on, beside the net; not the engine, which another run may change."""
        values: dict[str, object] = {"task": self.task, "precision": self.precision}
        if self.task != "embed":
            values["top"] = self.limit
        if self.task == "detect":
            values["threshold"] = float(self.threshold)
        return values | ({"ranges": list(self.ranges)} if self.ranges else {})


def _absolute(name: str) -> str:
    return os.path.abspath(name) if is_weights_file(name) else name


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that answers shards side by side.

    Attributes:
        workers: Number of processes on this machine; None for as many as its cores suggest.
        scheduler: Address of a Dask scheduler that runs already, instead of processes on this machine.
        tls_ca: For a scheduler at tls://..., a file with the certificate of the authority that signed the others.
        tls_cert: A file with our certificate, for the same case.
        tls_key: A file with the key of our certificate.

    Raises:
        ConvAtlasError: Settings contradict each other.
    """

    workers: int | None = None
    scheduler: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    def __post_init__(self) -> None:
        tls = (self.tls_ca, self.tls_cert, self.tls_key)
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1 or self.scheduler):
            raise ConvAtlasError("workers are processes on this machine, 1 or more; a scheduler has its own")
        secure = self.scheduler is not None and self.scheduler.startswith("tls://")
        if secure != all(tls) or secure != any(tls):
            raise ConvAtlasError(
                "a scheduler at tls://... takes tls_ca, tls_cert and tls_key, all of them, and no other does"
            )
        for file in tls:
            if file is not None and not os.path.isfile(file):
                raise ConvAtlasError(f"file {file!r} does not exist")


def cluster_of(
    enabled: bool, workers: int | None, scheduler: str | None, tls: tuple[str | None, str | None, str | None]
) -> Cluster | None:
    """Return the cluster that any of its settings asks for; None to run in this process."""
    if not enabled and all(setting is None for setting in (workers, scheduler, *tls)):
        return None
    return Cluster(workers, scheduler, *tls)
