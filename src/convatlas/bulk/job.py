"""What is asked of a net about each photo, and where it is answered: all that a worker anywhere needs to start."""

from __future__ import annotations

import os
from dataclasses import dataclass

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.engines.options import AUTO
from convatlas.engines.registry import check_request
from convatlas.predict.detect import check_limits
from convatlas.weights.files import is_file

NETS = {"classify": "efficientnet_lite0", "embed": "efficientnet_lite0", "detect": "yolo_v3"}
"""What can be asked, and of which net if none is named."""

TOPS = {"classify": 5, "embed": 1, "detect": 100}
"""How many classes or objects, if not said."""


@dataclass(frozen=True)
class Wish:
    """One question to one net.

    Attributes:
        task: "classify", "embed" or "detect".
        net: Its name, or the path of a file that `export` wrote; None for the usual one.
        weights: As in `load`; None for the net's first ones.
        top: How many classes of each photo, or how many objects at most; None for the usual number.
        threshold: The score that an object has to exceed.
        engine: As in `accelerate`.
        precision: Likewise.
        device: "auto", "cpu", "cuda" or "mps".
        ranges: Paths of the photos from which int8 takes its ranges; empty for other precisions.

    Raises:
        ConvAtlasError: A setting that is none.
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
        if self.task != "detect" and (type(self.most) is not int or self.most < 1):
            raise ConvAtlasError(f"top is a number of classes, 1 or more; got {self.top!r}")
        check_limits(self.threshold, self.most)
        if self.task == "detect" and (self.engine not in (AUTO, "eager") or self.precision != "float32"):
            raise ConvAtlasError(f"detect runs in eager mode in float32, not in {self.engine} in {self.precision}")

    @property
    def source(self) -> tuple[str, str | None]:
        """The net and its weights, by what names them in any folder."""
        net = NETS[self.task] if self.net is None else self.net
        return _anywhere(net), None if self.weights is None else _anywhere(self.weights)

    @property
    def most(self) -> int:
        """How many classes or objects."""
        return TOPS[self.task] if self.top is None else self.top

    def settings(self) -> dict[str, object]:
        """Those that the answers depend on, beside the net: its engine may be another one tomorrow."""
        told: dict[str, object] = {"task": self.task, "precision": self.precision}
        if self.task != "embed":
            told["top"] = self.most
        if self.task == "detect":
            told["threshold"] = float(self.threshold)
        return told | ({"ranges": list(self.ranges)} if self.ranges else {})


def _anywhere(name: str) -> str:
    return os.path.abspath(name) if is_file(name) else name


@dataclass(frozen=True)
class Cluster:
    """Where shards are answered side by side: on Dask.

    Attributes:
        workers: Processes on this machine; as many as its cores suggest if None.
        scheduler: The address of a Dask scheduler that runs already, in the place of processes here.
        tls_ca: For a scheduler at tls://..., a file with the certificate of who signed the others.
        tls_cert: Likewise, with our certificate.
        tls_key: Likewise, with its key.

    Raises:
        ConvAtlasError: Settings that do not go together.
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
                raise ConvAtlasError(f"there is no file {file!r}")


def cluster_of(
    asked: bool, workers: int | None, scheduler: str | None, tls: tuple[str | None, str | None, str | None]
) -> Cluster | None:
    """The cluster that is asked for, be it by naming any of its settings; None for this process."""
    if not asked and all(one is None for one in (workers, scheduler, *tls)):
        return None
    return Cluster(workers, scheduler, *tls)
