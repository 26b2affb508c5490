"""The task that explains: one map of each photo, by one probe, with the rectangle of the photo that it covers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError
from convatlas.bulk.job import Job
from convatlas.bulk.task import ColumnValues, Task
from convatlas.engines.accelerate import accelerate
from convatlas.engines.accelerated_net import AcceleratedNet
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.session import Float32Array
from convatlas.images.view import View
from convatlas.nets.families.yolo import YOLO
from convatlas.predict.nets import TrainedNet, classifying_net, detecting_net
from convatlas.predict.predictors import BATCH, Sizes
from convatlas.predict.sessions import EagerSession
from convatlas.probes.attribution import Attribution, Grid
from convatlas.probes.coverage import coverage
from convatlas.probes.detector._boxes import decoder_of
from convatlas.probes.explain import explain
from convatlas.probes.registry import as_probe
from convatlas.probes.targets import Target, targets_of
from convatlas.weights.resolve import resolve


class ExplainTask(Task):
    """The map of a photo for one target; photos are explained one by one, whatever came before them.

    The target of a detector is a box, by default the best one; a photo on which it does not exceed the threshold is not
    explained.
    """

    batch: ClassVar[int] = 1
    column_types: Mapping[str, pa.DataType] = {
        "label": pa.string(),
        "index": pa.int32(),
        "score": pa.float32(),
        "map": pa.list_(pa.list_(pa.float32())),
        "box": pa.list_(pa.float32(), 4),
        "residual": pa.float32(),
    }

    def __init__(self, job: Job):
        module = resolve(*job.source)
        # One of the user's own has a method that decodes its boxes.
        own = not isinstance(module, YOLO) and decoder_of(module, (1, 1)) is not None
        self.detects = own or isinstance(module, YOLO)
        net = TrainedNet.of(module if own else detecting_net(module)) if self.detects else classifying_net(module)
        plain = job.engine in (AUTO, EAGER) and job.precision == "float32"
        device = device_of(job.device if plain or job.device != AUTO else "cpu")
        if device.type != "cpu" and not plain:
            raise ConvAtlasError(f"on {device} nets run in eager mode, not in {job.engine} in {job.precision}")
        if self.detects and not plain:
            raise ConvAtlasError(f"detectors run in eager mode in float32, not in {job.engine} in {job.precision}")
        super().__init__(job, net, EagerSession(net.module, device))
        self.probe, self.target = as_probe(job.explanation[0]), job.explanation[1]
        eager = self.detects or job.engine == EAGER or device.type != "cpu"
        self.in_engine = self.probe.in_engine and not eager
        self.device = device.type
        self._check_net()

    def _check_net(self) -> None:
        """Refuse a target that the net does not have, and a net that the probe cannot explain, before any photo."""
        size = self.net.lineage.preprocessing.size
        shape = (self.net.channels, *size)
        photo = np.zeros(shape, np.float32)
        if self.detects:
            try:
                self._target_of(photo, None)
            except ConvAtlasError:
                raise
            # The user's own code may raise anything.
            except Exception as error:
                raise self.failed(error) from None
        else:
            targets_of(self.target, self.net.module, torch.from_numpy(self.run(photo[None])), size)
        for row in coverage(self.net.module, shape, self.net.name):
            if row.probe == self.probe.name and row.reason:
                raise ConvAtlasError(row.reason)

    @cached_property
    def _accelerated(self) -> AcceleratedNet:
        size = self.net.lineage.preprocessing.size
        return accelerate(self.net.module, self.job.engine, self.job.precision, batch=BATCH, size=size)

    @property
    def engine(self) -> str:
        """The engine in words; this starts the engine if necessary."""
        return str(self._accelerated.record.options) if self.in_engine else self.session.engine

    @property
    def callers(self) -> int:
        """One: while a probe runs, the random state and the net's mode are its own."""
        return 1

    def __call__(self, x: Float32Array, sizes: Sizes) -> ColumnValues:
        """Values of the columns; photos that the probe refuses have the reason in "error", and nothing else."""
        rows = [self._explained(photo, size) for photo, size in zip(x, sizes, strict=True)]
        return {name: [row.get(name) for row in rows] for name in (*self.column_types, "error")}

    def _explained(self, photo: Float32Array, size: tuple[int, int]) -> dict[str, Any]:
        net = self._accelerated if self.in_engine else self.net.module
        try:
            target = self._box(photo, size) if self.detects else self.target
            result: Any = explain(net, torch.from_numpy(photo), self.probe, target, device=self.device)
        except ConvAtlasError as error:
            return {"error": str(error)}
        # As in `run`: most often out of memory, which says nothing about the photo.
        except Exception as error:
            raise self.failed(error) from None
        attribution: Attribution = result
        return {
            "label": attribution.target,
            "index": attribution.index,
            "score": attribution.score,
            # One array for each row, which takes less memory than numbers of Python.
            "map": list(attribution.map.astype(np.float32)),
            "box": box_of(attribution.grid, self.net.lineage.preprocessing.view(*size)),
            "residual": attribution.residual,
        }

    def _box(self, photo: Float32Array, size: tuple[int, int]) -> Target:
        """Return the box to explain on a photo.

        Raises:
            ConvAtlasError: There is none whose score exceeds the threshold.
        """
        target, score = self._target_of(photo, self.net.lineage.preprocessing.view(*size))
        if not score > self.job.threshold:
            raise ConvAtlasError(
                f"nothing is detected: {target.name} has the score {score:.2g}, and the threshold is "
                f"{self.job.threshold:g}"
            )
        return target

    def _target_of(self, photo: Float32Array, view: View | None) -> tuple[Target, float]:
        """Return the box of a detector on a photo (C, h, w), and its score."""
        net = self.net.module
        weight = next((each for each in net.parameters() if each.is_floating_point()), torch.zeros(()))
        with torch.inference_mode():
            # Whatever a user's detector returns, its own method reads it.
            output = net(torch.from_numpy(photo[None]).to(self.device, weight.dtype))
            (target,) = targets_of(self.target, net, output, photo.shape[1:], view)
            return target, float(target(output))


def box_of(grid: tuple[Grid, Grid], view: View) -> list[float]:
    """Left, top, right and bottom of the cells of a map, in pixels of the photo; it may reach beyond the photo."""
    first = [axis.start - axis.stride / 2 for axis in grid]
    end = [start + axis.cells * axis.stride for start, axis in zip(first, grid, strict=True)]
    (top, left), (bottom, right) = view.to_photo(*first), view.to_photo(*end)
    return [float(left), float(top), float(right), float(bottom)]
