"""The search for the fastest engine: each is tried in a process of its own, checked, and timed in turns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from convatlas.base.atomic import whole, write_bytes
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.machine import cpu
from convatlas.engines.accelerated_net import Acceleration
from convatlas.engines.agreement import LEAST, Share, agreement
from convatlas.engines.backends.aot_inductor import PROGRAM, check_compiler, package
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.backends.openvino import capabilities
from convatlas.engines.backends.session import Photos, Session
from convatlas.engines.bench.timing import medians
from convatlas.engines.export.graph import exported, onnx_bytes
from convatlas.engines.export.metadata import describe, map_of
from convatlas.engines.export.quantize import quantize
from convatlas.engines.options import AUTO, Setting, candidates
from convatlas.engines.parity import Agreement, Eager
from convatlas.engines.probabilities import MAPS
from convatlas.engines.sample_inputs import fitted, trial
from convatlas.engines.sandbox import tried
from convatlas.engines.start import GRAPH, quantized, start
from convatlas.images.decoding import Source
from convatlas.nets.net import Net
from convatlas.weights.lineage import Lineage

T = TypeVar("T")

PHOTOS = 2
"""On which an engine is checked."""

RANGES, PROOF, MEMORY = 300, 400, 2**28
"""Photos from which int8 has its ranges, and on which its answers are compared; and bytes they may take."""

SURE, MOST, PART = 500, 2048, 64
"""Photos of which float32 has to be sure for the agreement to be told; pieces that are tried at most, and at a time."""

HOPE = 3.0
"""How many times faster than eager the compiler may make a net, whose convolutions are eager's own: a minute of
compiling is spent only where that would win."""

CLOSE = 1.2
"""Those that take no longer than the fastest by this factor are timed once more, by themselves."""


class Search:
    """One search for one net.

    Args:
        folder: Where its files are.
        net: On the CPU, in float32.
        shape: Of one input.
        batch: Photos at a time.
        photos: Whose ranges int8 takes; pieces of the sample photographs if None.
    """

    def __init__(
        self, folder: Path, net: nn.Module, shape: tuple[int, ...], batch: int, photos: Sequence[Source] | None
    ):
        self.folder, self.net, self.shape, self.batch, self.photos = folder, net, shape, batch, photos
        self.eager = Eager(net, trial(net, PHOTOS, shape))
        self.sessions: dict[Setting, Session] = {}
        self.agreements: dict[Setting, Agreement] = {}
        self.refused: dict[str, str] = {}
        self.share: Share | None = None
        self.made: set[Path] = set()
        self.x = trial(net, batch, shape).numpy()

    def best(self, engine: str, precision: str) -> tuple[Session, Acceleration]:
        """The fastest session of those that are right, and how it was found."""
        times = self.single(engine) if engine == AUTO or precision == "float32" else {}
        if precision != "float32":
            fastest = min(times, key=times.__getitem__) if times else None
            self.reduce(engine, precision, EagerMode(self.net) if fastest is None else self.sessions[fastest])
            raced = {one: session for one, session in self.sessions.items() if one == fastest or one not in times}
            times |= medians(raced, self.x)
        if not times:
            raise ConvAtlasError(next(iter(self.refused.values())))
        close = [one for one in self.sessions if times.get(one, math.inf) < CLOSE * min(times.values())]
        if len(close) > 1:
            times |= medians({one: self.sessions[one] for one in close}, self.x)
        setting = min(times, key=times.__getitem__)
        if setting.precision != precision:
            self.refused.setdefault(f"openvino {precision}", "it is not faster")
        return self.sessions[setting], self.record(setting, times)

    def single(self, engine: str) -> dict[Setting, float]:
        """The times in float32."""
        wanted = candidates(
            engine, "float32", self.batch, any(isinstance(one, nn.Conv2d) for one in self.net.modules())
        )
        for setting in wanted:
            if engine != AUTO or setting.engine != "compiled":
                self.take(setting)
        times = medians(self.sessions, self.x)
        last = wanted[-1]
        if engine == AUTO and last.engine == "compiled":
            eager = min(taken for setting, taken in times.items() if setting.engine == "eager")
            if eager < HOPE * min(times.values()) and self.take(last):
                fastest = min(times, key=times.__getitem__)
                times |= medians({one: self.sessions[one] for one in (fastest, last)}, self.x)
        return times

    def take(self, setting: Setting) -> bool:
        """Starts a session in float32 and checks it; a refusal is noted."""
        name = f"{setting.engine} {setting.precision}"
        if name in self.refused:
            return False
        try:
            if setting.engine == "compiled" and not package(self.folder, setting.batch).is_file():
                check_compiler()
            self.sessions[setting], self.agreements[setting] = self.twice(setting, self.right)
        except ConvAtlasError as error:
            self.refused[name] = str(error)
            return False
        return True

    def right(self, setting: Setting) -> tuple[Session, Agreement]:
        """A session in float32 whose answers are eager's."""
        session = self.started(setting)
        found = self.eager.agreement(session(self.eager.x.numpy()))
        if not found.holds:
            raise ConvAtlasError(f"it is {found.error:.1e} deviations from eager, and {found.bound:.1e} is allowed")
        return session, found

    def twice(self, setting: Setting, work: Callable[[Setting], T]) -> T:
        """What `work` gives; if it fails with files of an earlier search, which may be damaged, then with new ones."""
        try:
            return work(setting)
        except ConvAtlasError:
            old = [path for path in self.files(setting) if path not in self.made and path.is_file()]
            if not old:
                raise
            for path in old:
                path.unlink(missing_ok=True)
            return work(setting)

    def files(self, setting: Setting) -> tuple[Path, ...]:
        """What an engine starts from."""
        if setting.engine == "compiled":
            return self.folder / PROGRAM, package(self.folder, setting.batch)
        if setting.engine == "eager":
            return ()
        return (quantized(self.folder, setting) if setting.precision == "int8" else self.folder / GRAPH,)

    def reduce(self, engine: str, precision: str, right: Session) -> None:
        """Starts the sessions in less than float32, and compares their first answers with those of `right`."""
        try:
            settings = candidates(engine, precision, self.batch)
            if not settings:
                raise ConvAtlasError(f"{precision} needs openvino: pip install 'convatlas[engines]'")
            if self.map not in MAPS and engine == AUTO:
                raise ConvAtlasError("less than float32 is judged by first answers, and this net's outputs are none")
            for plain in settings:
                setting = replace(plain, ranges=self.ranges(precision))
                session = self.twice(setting, self.reduced)
                if self.share is None and self.map in MAPS:
                    self.share = self.judged(right, session)
                if engine == AUTO and self.share is not None and not self.share.holds:
                    if self.share.sure == 0:
                        raise ConvAtlasError("float32 is sure of its first answer on none of the photos")
                    raise ConvAtlasError(f"it gives float32's first answer on {self.share}; {100 * LEAST:g} % is asked")
                y = session(self.eager.x.numpy())
                self.sessions[setting] = session
                self.agreements[setting] = Agreement(self.eager.distance(y), math.inf, 0.0)
        except ConvAtlasError as error:
            self.refused[f"openvino {precision}"] = str(error)

    def judged(self, right: Session, other: Session) -> Share:
        """How often `other` has the first answer of `right`, on photos none of which made the other what it is."""
        found = Share(0, 0.0)
        for x in self.judges():
            found += agreement(right(x), other(x), self.map)
            if found.sure >= SURE:
                break
        return found

    def judges(self) -> Iterator[Photos]:
        """Prepared photos in parts: pieces of the sample photographs, or every other one of the person's."""
        if self.photos is not None:
            yield self.prepared[1]
            return
        self.trained()
        for seed in range(MOST // PART):
            yield trial(self.net, PART, self.shape, 3 + seed).numpy()

    @property
    def map(self) -> str:
        """What makes probabilities of the net's outputs."""
        return map_of(self.net) if isinstance(self.net, Net) else ""

    def reduced(self, setting: Setting) -> Session:
        """A session in less than float32, which needs arithmetic of the CPU's own, or a file with ranges."""
        if setting.precision == "bfloat16" and "BF16" not in capabilities():
            raise ConvAtlasError("this CPU does not compute in bfloat16")
        file = quantized(self.folder, setting)
        if setting.precision == "int8" and not file.is_file():
            self.write(setting.engine)
            calibration, proof = self.prepared
            routes = isinstance(self.net, Net) and self.net.genome.routing is not None
            quantize(self.folder / GRAPH, file, calibration, proof, routes=routes, map=self.map)
            self.made.add(file)
        return self.started(setting)

    def trained(self) -> Lineage:
        """Where the net's weights come from; random ones are refused."""
        if not isinstance(self.net, Net) or self.net.lineage is None:
            raise ConvAtlasError("less than float32 is judged by answers to photos, which random weights do not have")
        lineage: Lineage = self.net.lineage
        return lineage

    @cached_property
    def prepared(self) -> tuple[Photos, Photos]:
        """Inputs for the ranges, and others for the proof."""
        lineage = self.trained()
        most = max(8, MEMORY // (4 * math.prod(self.shape)))
        if self.photos is None:
            many, proof = min(RANGES, most), min(PROOF, most)
            return trial(self.net, many, self.shape, 1).numpy(), trial(self.net, proof, self.shape, 2).numpy()
        found = []
        for photo in self.photos[: 2 * most]:
            try:
                found.append(torch.from_numpy(lineage.prepare(photo)))
            except ImageError:
                continue
        if len(found) < 2:
            raise ConvAtlasError(f"less than float32 is judged by photos, of which {len(found)} could be read")
        if len(found[0]) != self.shape[0]:
            raise ConvAtlasError(f"a photo becomes {len(found[0])} channels, this net takes {self.shape[0]}")
        every = fitted(torch.stack(found), self.shape).numpy()
        return np.ascontiguousarray(every[::2][:RANGES]), np.ascontiguousarray(every[1::2])

    def ranges(self, precision: str) -> str:
        """A name for the photos that int8 has its ranges from; empty for other precisions."""
        if precision != "int8":
            return ""
        if self.photos is None:
            return "samples"
        return hashlib.sha256(b"".join(part.tobytes() for part in self.prepared)).hexdigest()[:12]

    def started(self, setting: Setting) -> Session:
        """A session of an engine that has shown, in a process of its own, that it does not crash."""
        if setting.engine == "eager":
            return EagerMode(self.net, setting.channels_last)
        self.write(setting.engine)
        self.made |= {path for path in self.files(setting) if not path.is_file()}
        if not any(one.engine == setting.engine and one.precision == setting.precision for one in self.sessions):
            tried(self.folder, setting, self.eager.x.numpy())
        return start(self.folder, setting)

    def write(self, engine: str) -> None:
        """The file that the engine starts from, if it is not there."""
        path = self.folder / (PROGRAM if engine == "compiled" else GRAPH)
        if path.is_file():
            return
        self.made.add(path)
        program = exported(self.net, self.shape)
        if engine == "compiled":
            with whole(path) as place:
                torch.export.save(program, place)
        else:
            write_bytes(path, onnx_bytes(program, describe(self.net, self.shape)))

    def record(self, setting: Setting, times: dict[Setting, float]) -> Acceleration:
        """What was found, with the setting that was chosen."""
        found = self.agreements[setting]
        share = None if setting.precision == "float32" else self.share
        lineage = self.net.lineage if isinstance(self.net, Net) else None
        return Acceleration(
            net=self.net.card.name if isinstance(self.net, Net) else type(self.net).__name__,
            weights=lineage.name if lineage is not None else "",
            shape=self.shape,
            batch=self.batch,
            setting=setting,
            milliseconds={str(one): taken for one, taken in times.items()},
            error=found.error,
            bound=found.bound if setting.precision == "float32" else None,
            top1=None if share is None else share.share,
            sure=None if share is None else share.sure,
            refused=self.refused,
            cpu=cpu(),
        )
