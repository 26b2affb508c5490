"""Compare the speed of training with that of usual training loops: `python benchmarks/training.py [ROUNDS]`.

LeNet-5 on MNIST, images a second: our loop with its checks and exact resumption, a plain loop that indexes tensors, and
torchvision's data set behind a DataLoader with two workers. Then a step of ResNet-18: our loop and net, and timm's net
in a plain loop. Optimizers and batches are the same, rounds are interleaved in one process; results are medians, and
medians of each round's ratios.

Writes `results/training.json`, and prints whether each of three targets is reached. (The fourth target, that killed
runs end with the same bits, is `pytest -m sweep -k killed`.)
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from atlas import machine
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

import convatlas as ca
from convatlas.base.atomic import write_bytes
from convatlas.images.download import get
from convatlas.images.preprocessing import Preprocessing
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import Splits, load_splits
from convatlas.training.loop import fit
from convatlas.training.loss import NetWithLoss
from convatlas.training.recipe import Recipe

RESULTS = Path(__file__).with_name("results") / "training.json"
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
BATCH, STEPS, WARM, PHOTOS = 64, 150, 10, 8
RECIPE = Recipe(epochs=1, batch_size=BATCH)


def lenet5() -> torch.nn.Module:
    return ca.build("lenet5", channels=1)


def plain_step(net: torch.nn.Module) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Step of a plain loop: the same loss and optimizer as ours, nothing else."""
    module, adam = NetWithLoss(net, RECIPE), torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0)

    def step(x: torch.Tensor, labels: torch.Tensor) -> None:
        adam.zero_grad()
        loss, _ = module(x, labels, F.one_hot(labels, 10).float(), 0.0)
        loss.backward()
        adam.step()

    return step


def images_per_second(run: Callable[[int], None]) -> float:
    """Images a second over `STEPS` steps; `run(count)` takes `count` steps."""
    run(WARM)
    started = time.perf_counter()
    run(STEPS)
    return BATCH * STEPS / (time.perf_counter() - started)


def our_loop(data: Splits) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = fit.steps(lenet5(), data, RECIPE, folder, device="cpu")

        def take(count: int) -> None:
            for _ in islice(run, count):
                pass

        speed = images_per_second(take)
        run.close()
    return speed


def plain_loop(data: Splits) -> float:
    photos, labels = data.train.photos, data.train.labels
    step, order = plain_step(lenet5()), iter(torch.randperm(len(labels)).split(BATCH))

    def take(count: int) -> None:
        for rows in islice(order, count):
            step(photos[rows], labels[rows])

    return images_per_second(take)


def data_loader(root: Path) -> float:
    """Images a second of a loop as in torchvision's examples."""
    transform = transforms.Compose([transforms.Pad(2), transforms.ToTensor(), transforms.Normalize(0.0784, 0.784)])
    photos = iter(DataLoader(MNIST(root, transform=transform), BATCH, shuffle=True, num_workers=2))
    step = plain_step(lenet5())

    def take(count: int) -> None:
        for x, labels in islice(photos, count):
            step(x, labels)

    return images_per_second(take)


def resnet18() -> dict[str, float]:
    """Seconds of a step on photos of 224 x 224: our loop and net, and a plain loop with timm's net."""
    photos, labels = torch.randn(10 * PHOTOS, 3, 224, 224), torch.randint(1000, (10 * PHOTOS,))
    times: dict[str, list[float]] = {"convatlas": [], "timm": []}
    recipe = Recipe(epochs=1000, batch_size=PHOTOS, opt="sgd", lr=0.01, momentum=0.9)
    timm_net = timm.create_model("resnet18").train()
    sgd = torch.optim.SGD(timm_net.parameters(), 0.01, 0.9)
    with tempfile.TemporaryDirectory() as folder:
        run = fit.steps(ca.build("resnet18"), in_memory(photos, labels, recipe), recipe, folder, device="cpu")

        def our_step() -> None:
            next(run)

        def timm_step() -> None:
            rows = torch.randint(len(labels), (PHOTOS,))
            sgd.zero_grad()
            F.cross_entropy(timm_net(photos[rows]), labels[rows]).backward()
            sgd.step()

        steps = {"convatlas": our_step, "timm": timm_step}
        for number in range(3 * ROUNDS + 1):
            for name in rotated(steps, number):
                started = time.perf_counter()
                for _ in range(3):
                    steps[name]()
                if number:
                    times[name].append((time.perf_counter() - started) / 3)
        run.close()
    return summarize(times)


def in_memory(photos: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> Splits:
    names = tuple(map(str, range(1000)))
    preprocessing = Preprocessing((224, 224), "squash", 224, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Splits("noise", InMemoryDataset(photos, labels, recipe), None, None, names, preprocessing, "noise")


def rotated(names: Iterable[str], number: int) -> list[str]:
    """Names in an order that starts with another one in each round, so that none always runs first."""
    order = list(names)
    return order[number % len(order) :] + order[: number % len(order)]


def summarize(measured: dict[str, list[float]]) -> dict[str, float]:
    """Median of each loop, and of our ratio to each other one."""
    result = {name: statistics.median(values) for name, values in measured.items()}
    ours = measured["convatlas"]
    for name, values in measured.items():
        if name != "convatlas":
            result[f"ratio to {name}"] = statistics.median(a / b for a, b in zip(ours, values, strict=True))
    return result


def verdict(digits: dict[str, float], steps: dict[str, float]) -> str:
    """Text with the three targets, and whether each is reached."""
    loader, plain, timm = digits["ratio to DataLoader"], digits["ratio to plain loop"], steps["ratio to timm"]
    lines = (
        (f"LeNet-5: {loader:.2f} times the images/s of a DataLoader with 2 workers (at least 2)", loader >= 2),
        (f"LeNet-5: {plain:.2f} times the images/s of a plain loop in memory (at least 1)", plain >= 1),
        (f"ResNet-18: {timm:.2f} times the seconds of a step of timm's (at most 1)", timm <= 1),
    )
    return "\n".join(f"{text}: {'reached' if good else 'MISSED'}" for text, good in lines)


if __name__ == "__main__":
    folder_of_digits = get("mnist")
    net = lenet5()
    data = load_splits("mnist", net, RECIPE, net.size)
    speeds: dict[str, list[float]] = {"convatlas": [], "plain loop": [], "DataLoader": []}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST", "raw")
        raw.parent.mkdir()
        os.symlink(folder_of_digits, raw)
        loops = {
            "convatlas": lambda: our_loop(data),
            "plain loop": lambda: plain_loop(data),
            "DataLoader": lambda: data_loader(Path(folder)),
        }
        for number in range(ROUNDS):
            for name in rotated(loops, number):
                speeds[name].append(loops[name]())
    lenet_speeds, resnet_times = summarize(speeds), resnet18()
    result = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg(),
        "lenet5 on mnist, images a second": lenet_speeds,
        "resnet18, seconds a step": resnet_times,
    }
    print(json.dumps(result, indent=1))
    print(verdict(lenet_speeds, resnet_times))
    write_bytes(RESULTS, (json.dumps(result, indent=1) + "\n").encode())
