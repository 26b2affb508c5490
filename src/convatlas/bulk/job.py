"""The settings of a job and of the cluster that runs it, in plain values that can be sent to workers."""

from __future__ import annotations

import os
from dataclasses import dataclass

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.registry import check_request
from convatlas.predict.results import check_limits
from convatlas.weights.files import is_weights_file
from convatlas.weights.weights_file import WeightsFile

NETS = {
    "classify": "efficientnet_lite0",
    "embed": "efficientnet_lite0",
    "detect": "yolo_v3",
    "explain": "efficientnet_lite0",
}
"""Default net of each task."""

DEFAULT_TOP = {"classify": 5, "embed": 1, "detect": 100, "explain": 1}
"""Default number of classes or objects of each task."""


@dataclass(frozen=True)
class Job:
    """Settings of a job: a task, a net, and how to run it.

    Attributes:
        task: "classify", "embed", "detect" or "explain".
        net: The net's name, or the path of a file that `export` wrote; None for the default.
        weights: As in `load`; None for the net's first lineage.
        top: Number of classes of each photo, or largest number of objects; None for the default.
        threshold: The score that an object has to exceed, to be listed or explained.
        engine: As in `accelerate`.
        precision: As in `accelerate`.
        device: "auto", "cpu", "cuda" or "mps".
        ranges: Paths of the photos that calibrate int8; empty for other precisions.
        probe: To explain, name of a probe that makes maps; None for Grad-CAM.
        target: To explain, the target as a text, as in `explain`; None for the most probable class.

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
    probe: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        if self.task not in NETS:
            raise unknown("task", self.task, NETS)
        check_request(self.engine, self.precision, 1)
        if self.task != "detect" and (type(self.limit) is not int or self.limit < 1):
            raise ConvAtlasError(f"top is a number of classes, 1 or more; got {self.top!r}")
        check_limits(self.threshold, self.limit)
        if self.task == "explain":
            self._check_explanation()
        elif self.probe is not None or self.target is not None:
            raise ConvAtlasError(f"probe and target are settings of the task explain, not of {self.task}")
        if self.task == "detect" and (self.engine not in (AUTO, EAGER) or self.precision != "float32"):
            raise ConvAtlasError(f"detect runs in eager mode in float32, not in {self.engine} in {self.precision}")

    def _check_explanation(self) -> None:
        # The probes take seconds to import.
        from convatlas.probes.explaining.opened import check_precision
        from convatlas.probes.registry import as_probe

        if self.top is not None:
            raise ConvAtlasError("explain makes one map for each photo, of its target: leave out top")
        for name, value in (("probe", self.probe), ("target", self.target)):
            if not isinstance(value, str | None):
                raise ConvAtlasError(f"the {name} of a job is a text, as on the command line; got {value!r:.60}")
        probe = as_probe(self.explanation[0])
        if probe.pictures:
            raise ConvAtlasError(f"{probe.name} makes pictures and no map of a photo: call explain itself")
        check_precision(self.precision)
        if not probe.in_engine and (self.engine not in (AUTO, EAGER) or self.precision != "float32"):
            raise ConvAtlasError(
                f"{probe.name} runs in eager mode in float32, not in {self.engine} in {self.precision}: only probes of "
                "scores (occlusion, rise, score_cam) run in engines"
            )

    @property
    def explanation(self) -> tuple[str, str]:
        """The probe and the target, or their defaults."""
        return "grad_cam" if self.probe is None else self.probe, "top" if self.target is None else self.target

    @property
    def source(self) -> tuple[str, str | None]:
        """The net and its weights, as names or as absolute paths, which are valid in any working directory."""
        net = NETS[self.task] if self.net is None else self.net
        return _absolute(net), None if self.weights is None else _absolute(self.weights)

    @property
    def limit(self) -> int:
        """Number of classes or largest number of objects: `top`, or its default."""
        return DEFAULT_TOP[self.task] if self.top is None else self.top

    def settings(self) -> dict[str, object]:
        """Settings that the results depend on, except the net; the engine may differ between runs."""
        values: dict[str, object] = {"task": self.task, "precision": self.precision}
        if self.task in ("classify", "detect"):
            values["top"] = self.limit
        if self.task in ("detect", "explain"):
            values["threshold"] = float(self.threshold)
        if self.task == "explain":
            from convatlas.probes.registry import as_probe

            name, values["target"] = self.explanation
            values["probe"] = as_probe(name).name
        return values | ({"ranges": list(self.ranges)} if self.ranges else {})


def _absolute(name: str) -> str:
    if isinstance(name, WeightsFile):
        return name.absolute()
    return os.path.abspath(name) if is_weights_file(name) else name


@dataclass(frozen=True)
class Cluster:
    """Settings of a Dask cluster.

    Attributes:
        workers: Number of processes on this machine; None to derive it from the number of cores.
        scheduler: Address of a running Dask scheduler; None for processes on this machine.
        tls_ca: For a scheduler at tls://..., file with the certificate of the authority.
        tls_cert: For the same, file with your certificate.
        tls_key: For the same, file with the key of your certificate.

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
                "a scheduler at tls://... takes all of tls_ca, tls_cert and tls_key; any other takes none of them"
            )
        for file in tls:
            if file is not None and not os.path.isfile(file):
                raise ConvAtlasError(f"file {file!r} does not exist")


def cluster_of(
    enabled: bool, workers: int | None, scheduler: str | None, tls: tuple[str | None, str | None, str | None]
) -> Cluster | None:
    """Return the cluster, if `enabled` or if any of its settings is given; None to run in this process."""
    if not enabled and all(setting is None for setting in (workers, scheduler, *tls)):
        return None
    return Cluster(workers, scheduler, *tls)
