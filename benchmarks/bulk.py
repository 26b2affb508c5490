"""Compare `batch classify` with its engine on prepared arrays: `python benchmarks/bulk.py [--photos 20000]`.

Makes JPEGs of 256 pixels from crops of the sample photographs, classifies them with EfficientNet-Lite0 in float32 in
the engine that `auto` chooses, and times that engine on prepared photos before and after, in this process, with one
call at a time and with parallel calls. The results are the ratio of the rates, and the memory, which should be the same
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
"""Duration of each measurement of the engine alone."""


def make_photos(folder: Path, first: int, count: int) -> None:
    """Write photos number `first` and following."""
    for number, piece in enumerate(crops(count, first), first):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(piece).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=QUALITY)


def make_all(folder: Path, count: int) -> None:
    """Write all photos, in parallel processes."""
    with ProcessPoolExecutor(threads()) as pool:
        parts = [pool.submit(make_photos, folder, first, min(500, count - first)) for first in range(0, count, 500)]
        for part in parts:
            part.result()


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def rate_of(session: Session, callers: int, x: Float32Array) -> dict[str, float]:
    """Photos a second of the engine on prepared arrays, and CPU seconds for a thousand of them."""
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


def engine_rates(task: Task, fast: AcceleratedNet, x: Float32Array) -> dict[str, dict[str, float]]:
    """Rates of the engine as `accelerate` opens it, and as `batch` calls it."""
    return {"accelerate": rate_of(fast.session, 1, x), "side by side": rate_of(task.session, task.callers, x)}


def preparation_times(preprocessing: Preprocessing, paths: list[Path]) -> dict[str, float]:
    """Milliseconds for a photo in one thread: decoding, and preprocessing."""
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
        make_all(folder, options.photos)
        job = Job("classify", "efficientnet_lite0", engine=options.engine)
        task = load_task(job)
        preprocessing = task.net.lineage.preprocessing
        sample_paths = sorted(folder.rglob("*.jpg"))[:200]
        x = np.stack([preprocessing(read(path)) for path in sample_paths[:BATCH]])
        fast = accelerate(task.net, options.engine, batch=BATCH)
        before, memory, shards, busy = engine_rates(task, fast, x), [], [time.perf_counter()], 0.0
        for done, _, report in run_job(job, folder, out):  # noqa: B007 - the last one counts
            if done == 0:
                shards, busy = [time.perf_counter()], time.process_time()
            elif len(list(out.glob("shard-*"))) > len(memory):
                memory.append(round(resident(), 1))
                shards.append(time.perf_counter())
        used = time.process_time() - busy
        after = engine_rates(task, fast, x)
        prepared = preparation_times(preprocessing, sample_paths)
    assert report is not None
    assert report.answered == options.photos
    rate = report.answered / report.seconds
    # The faster of the two ways to call the engine, by the means of before and after.
    best, cost = max(
        tuple((before[way][figure] + after[way][figure]) / 2 for figure in ("a second", "cpu s per 1000"))
        for way in before
    )
    result = {
        "machine": machine() | {"cpu": cpu(), "threads": threads()},
        "load": [*load, os.getloadavg()[0]],
        "photos": options.photos,
        "engine": report.engines[0],
        "engine alone": {"before": before, "after": after},
        "one thread, ms a photo": prepared,
        "batch": {"a second": rate, "seconds": report.seconds, "cpu s per 1000": 1000 * used / report.answered},
        "ratio": rate / best,
        "ratio of processor time": cost / (1000 * used / report.answered),
        "seconds a shard": [round(later - earlier, 2) for earlier, later in pairwise(shards)],
        "resident MB after each shard": memory,
        "unread": len(report.unread),
    }
    write_bytes(RESULTS, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
