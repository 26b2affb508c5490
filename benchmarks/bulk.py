"""`batch classify` beside the same engine on arrays that are ready: `python benchmarks/bulk.py [--photos 20000]`.

Makes JPEGs of 256 pixels from pieces of the sample photographs, answers them with EfficientNet-Lite0 in float32 in the
engine that `auto` finds, and measures what that engine does with prepared photos before and after, in this process,
in one call at a time and in several side by side. What counts is the ratio of the rates, and that memory is the same
after the last shard as after the first. Writes `results/bulk.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from atlas import machine
from PIL import Image

from convatlas.base.atomic import write_bytes
from convatlas.base.machine import cpu, threads
from convatlas.bulk.batch import run_job
from convatlas.bulk.job import Job
from convatlas.bulk.tasks import BATCH, Task, load_task
from convatlas.engines.accelerate import accelerate
from convatlas.engines.accelerated_net import AcceleratedNet
from convatlas.engines.sample_inputs import crops
from convatlas.engines.session import Float32Array, Session
from convatlas.images.decoding import read
from convatlas.images.preprocessing import Preprocessing

RESULTS = Path(__file__).with_name("results") / "bulk.json"
SIDE, QUALITY = 256, 90
SECONDS = 20.0
"""Of each measurement of the engine alone."""


def make(folder: Path, first: int, many: int) -> None:
    """The photos from number `first` on; each of its number alone."""
    for number, piece in enumerate(crops(many, first), first):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(piece).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=QUALITY)


def made(folder: Path, many: int) -> None:
    with ProcessPoolExecutor(threads()) as pool:
        parts = [pool.submit(make, folder, first, min(500, many - first)) for first in range(0, many, 500)]
        for part in parts:
            part.result()


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def alone(session: Session, callers: int, x: Float32Array) -> dict[str, float]:
    """Photos a second of the engine on arrays that are ready, and processor seconds for a thousand of them."""
    session(x)
    wall, busy = time.perf_counter(), time.process_time()

    def call(_: int) -> int:
        calls = 0
        while time.perf_counter() - wall < SECONDS:
            session(x)
            calls += 1
        return calls

    with ThreadPoolExecutor(callers) as pool:
        photos = sum(pool.map(call, range(callers))) * len(x)
    taken, used = time.perf_counter() - wall, time.process_time() - busy
    return {"a second": photos / taken, "cpu s per 1000": 1000 * used / photos}


def pure(task: Task, fast: AcceleratedNet, x: Float32Array) -> dict[str, dict[str, float]]:
    """The engine as `accelerate` gives it, and as `batch` calls it."""
    return {"accelerate": alone(fast.session, 1, x), "side by side": alone(task.session, task.callers, x)}


def preparing(preprocessing: Preprocessing, paths: list[Path]) -> dict[str, float]:
    """Milliseconds for a photo by one thread: decoding, and all else that is done before the net."""
    decoding, rest = [], []
    for path in paths:
        start = time.perf_counter()
        photo = read(path)
        between = time.perf_counter()
        preprocessing(photo)
        rest.append(time.perf_counter() - between)
        decoding.append(between - start)
    return {"decoding": 1e3 * median(decoding), "preprocessing": 1e3 * median(rest)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "photos", Path(place) / "out"
        folder.mkdir()
        made(folder, options.photos)
        job = Job("classify", "efficientnet_lite0", engine=options.engine)
        task = load_task(job)
        preprocessing = task.net.lineage.preprocessing
        some = sorted(folder.rglob("*.jpg"))[:200]
        x = np.stack([preprocessing(read(path)) for path in some[:BATCH]])
        fast = accelerate(task.net, options.engine, batch=BATCH)
        before, memory, shards, busy = pure(task, fast, x), [], [time.perf_counter()], 0.0
        for done, _, found in run_job(job, folder, out):  # noqa: B007 - the last one counts
            if done == 0:
                shards, busy = [time.perf_counter()], time.process_time()
            elif len(list(out.glob("shard-*"))) > len(memory):
                memory.append(round(resident(), 1))
                shards.append(time.perf_counter())
        used = time.process_time() - busy
        after = pure(task, fast, x)
        prepared = preparing(preprocessing, some)
    assert found is not None
    assert found.answered == options.photos
    rate = found.answered / found.seconds
    # The faster of the two ways, in the mean of before and after.
    best, cost = max(
        tuple((before[way][what] + after[way][what]) / 2 for what in ("a second", "cpu s per 1000")) for way in before
    )
    told = {
        "machine": machine() | {"cpu": cpu(), "threads": threads()},
        "load": [*load, os.getloadavg()[0]],
        "photos": options.photos,
        "engine": found.engines[0],
        "engine alone": {"before": before, "after": after},
        "one thread, ms a photo": prepared,
        "batch": {"a second": rate, "seconds": found.seconds, "cpu s per 1000": 1000 * used / found.answered},
        "ratio": rate / best,
        "ratio of processor time": cost / (1000 * used / found.answered),
        "seconds a shard": [round(later - earlier, 2) for earlier, later in pairwise(shards)],
        "resident MB after each shard": memory,
        "unread": len(found.unread),
    }
    write_bytes(RESULTS, (json.dumps(told, indent=1) + "\n").encode())
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
