"""Tasks of a job: a net that classifies, embeds or detects, and the columns of the Parquet files that it fills."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
import torch

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError
from convatlas.base.fingerprint import fingerprint
from convatlas.base.records import provenance
from convatlas.bulk.job import Job
from convatlas.bulk.task import ColumnValues, Task
from convatlas.engines.session import Float32Array
from convatlas.predict.nets import TrainedNet, classifying_net, detecting_net, embedding_net
from convatlas.predict.predictors import BATCH, Classifier, Detector, Embedder, Sizes
from convatlas.predict.sessions import EagerSession, EngineSession


def _engine_session(job: Job, net: TrainedNet) -> EngineSession:
    return EngineSession(net.module, job.engine, job.precision, job.device, BATCH, job.ranges)


class ClassifyTask(Task):
    """The most probable classes of a photo."""

    column_types: Mapping[str, pa.DataType] = {
        "labels": pa.list_(pa.string()),
        "indices": pa.list_(pa.int32()),
        "probabilities": pa.list_(pa.float32()),
    }

    def __init__(self, job: Job):
        net = classifying_net(*job.source)
        super().__init__(job, net, _engine_session(job, net))
        if job.top is not None and job.top > (classes := len(net.lineage.class_names)):
            raise ConvAtlasError(f"top is a number of classes up to {classes}; got {job.top}")
        self.predictor = Classifier.of(net, self.run)

    def __call__(self, x: Float32Array, sizes: Sizes) -> ColumnValues:
        indices, probabilities = self.predictor.top_classes(x, self.job.limit)
        names = self.net.lineage.class_names
        labels = [[names[index] for index in row] for row in indices.tolist()]
        return {"labels": labels, "indices": indices.tolist(), "probabilities": list(probabilities)}


class EmbedTask(Task):
    """The input of a net's last layer."""

    def __init__(self, job: Job):
        net = embedding_net(*job.source)
        super().__init__(job, net, _engine_session(job, net))
        with torch.inference_mode():
            example = net.module(torch.zeros(1, net.channels, *net.lineage.preprocessing.size))
        self.column_types: Mapping[str, pa.DataType] = {"embedding": pa.list_(pa.float32(), example[0].numel())}
        self.predictor = Embedder.of(net, self.run)

    def __call__(self, x: Float32Array, sizes: Sizes) -> ColumnValues:
        return {"embedding": list(self.predictor.embeddings(x))}


class DetectTask(Task):
    """The objects on a photo, with boxes in its pixels: left, top, right, bottom."""

    batch: ClassVar[int] = 4
    column_types: Mapping[str, pa.DataType] = {
        "boxes": pa.list_(pa.list_(pa.float32(), 4)),
        "labels": pa.list_(pa.string()),
        "indices": pa.list_(pa.int32()),
        "scores": pa.list_(pa.float32()),
    }

    def __init__(self, job: Job):
        net = detecting_net(*job.source)
        super().__init__(job, TrainedNet.of(net), EagerSession(net, device_of(job.device)))
        self.predictor = Detector.of(net, self.run)

    def __call__(self, x: Float32Array, sizes: Sizes) -> ColumnValues:
        photos = self.predictor.objects(x, sizes, self.job.threshold, self.job.limit)
        return {
            "boxes": [[thing.box for thing in objects] for objects in photos],
            "labels": [[thing.label for thing in objects] for objects in photos],
            "indices": [[thing.index for thing in objects] for objects in photos],
            "scores": [[thing.score for thing in objects] for objects in photos],
        }


TASKS: dict[str, type[ClassifyTask] | type[EmbedTask] | type[DetectTask]] = {
    "classify": ClassifyTask,
    "embed": EmbedTask,
    "detect": DetectTask,
}


def load_task(job: Job) -> Task:
    """Load the net of a job; its engine starts with the first batch.

    Raises:
        ConvAtlasError: The net has no weights, or cannot do the task.
    """
    if job.task == "explain":
        # The probes take seconds to import.
        from convatlas.bulk.explaining import ExplainTask

        return ExplainTask(job)
    return TASKS[job.task](job)


def net_identity(task: Task) -> dict[str, object]:
    """Identify the net: name, lineage, hash of the weights and preprocessing."""
    lineage = task.net.lineage
    return {
        "net": task.net.name,
        "weights": lineage.name,
        "sha256": fingerprint(task.net.module.state_dict()),
        "preprocessing": lineage.preprocessing.to_dict(),
    }


def shard_settings(job: Job, net: Mapping[str, object]) -> dict[str, object]:
    """Return the job's settings and the net's identity, as each shard's file records them."""
    return {name: value for name, value in job.settings().items() if name != "ranges"} | dict(net)


def shard_metadata(task: Task, net: Mapping[str, object]) -> dict[str, str]:
    """Return the metadata of a shard's file: settings, net, engine, source, licence and versions."""
    lineage, record = task.net.lineage, provenance()
    values = {**shard_settings(task.job, net), "engine": task.engine}
    values |= {
        "source": lineage.source,
        "licence": lineage.licence,
        "versions": record.versions,
        "machine": record.machine,
    }
    return {"convatlas": json.dumps(values)}
