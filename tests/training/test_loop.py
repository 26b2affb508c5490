"""The loop trains, resumes to the same bits, and keeps its checkpoints whatever goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.training.toys import CLASSES, RECIPE, toy_net, toy_photos, toy_splits, trained

import convatlas as ca
from convatlas.base.errors import TrainingError
from convatlas.training import checkpoints, loop, run_folder
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import Splits
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import read_lines


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder and result."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(folder)


def test_it_learns_and_tells(whole):
    folder, result = whole
    assert result.test_top1 > 90
    assert sum(map(sum, result.confusion)) == 90
    assert result.steps == 3 * -(-140 // 16)
    lines = read_lines(folder / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[0]["loss"] > lines[2]["loss"]
    tops = [line["validation_top1"] for line in lines]
    assert result.validation_top1 == max(tops)
    assert result.epoch == 1 + tops.index(max(tops))
    assert len(list(folder.glob("checkpoint-*.pt"))) == 2
    assert len(list((folder / "best").glob("*.pt"))) == 1
    assert json.loads((folder / "result.json").read_text())["sha256"] == result.sha256


def test_the_caller_s_generator_and_settings_are_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(tmp_path, net=toy_net_quietly())
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def toy_net_quietly():
    with torch.random.fork_rng():
        return toy_net()


def test_a_finished_run_is_not_run_again(whole):
    folder, result = whole
    net = toy_net()
    again = trained(folder, resume=True, net=net)
    assert again == result
    assert again.made == result.made
    other = toy_net()
    other.load_state_dict(ca_weights(folder))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def ca_weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "weights.safetensors")


@pytest.mark.parametrize("steps", [1, 5, 9, 10, 17])
def test_resumed_within_an_epoch_and_between(whole, tmp_path, steps):
    run = fit.steps(toy_net(), toy_splits(), RECIPE, tmp_path, device="cpu")
    for _ in range(steps):
        next(run)
    run.close()
    assert trained(tmp_path, resume=True).sha256 == whole[1].sha256
    assert read_lines(tmp_path / "metrics.jsonl")[-1]["loss"] == whole[1].loss or whole[1].epoch < 3


def resumed(folder: Path) -> None:
    (folder / "sha256").write_text(trained(folder / "run", resume=True).sha256)


def killed(folder: Path, times: int, seed: int) -> str:
    """Hash of the toy net's weights after a training that was killed `times` times at random moments.

    Each attempt runs in a fork of a process that has imported what it needs and computed nothing: a new Python would
    spend nearly all of its time on imports, and few would be killed while training; a fork of this process would share
    the autograd threads that other tests have started.
    """
    moments, forks = random.Random(seed), multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__])
    for _ in range(times):
        process = forks.Process(target=resumed, args=(folder,))
        process.start()
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    process = forks.Process(target=resumed, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return (folder / "sha256").read_text()


def test_killed_at_random_moments(whole, tmp_path):
    assert killed(tmp_path, 4, 0) == whole[1].sha256


@pytest.mark.sweep
@pytest.mark.parametrize("part", range(4))
def test_killed_twenty_times(whole, tmp_path, part):
    assert killed(tmp_path, 5, 1 + part) == whole[1].sha256


PROCESSES = """
import os, sys, torch
from pathlib import Path
import convatlas as ca
from tests.training.toys import toy_splits, toy_photos
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
recipe = Recipe(epochs=2, batch_size=15, lr=1e-2, opt="sgd", loss="cross_entropy", mixup=0.4, clip_grad=1.0)
parts = toy_splits(recipe, 91)  # the last batch is of one photo: one process has nothing
for part in (parts.train, parts.test):
    part.photos = part.photos.double()
net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(192, 4))
torch.manual_seed(0)
for weight in net.parameters():
    torch.nn.init.normal_(weight, std=0.2)
result = fit(net, parts, recipe, Path(sys.argv[1]), device="cpu")
said = f"{result.loss} {result.test_top1} {sum(map(sum, result.confusion))}"
Path(sys.argv[1] + os.environ.get("RANK", "0")).write_text(said)
"""


def test_two_processes_are_one(tmp_path):
    """Two processes under torchrun with gloo give the weights of one at the same global batch, in float64."""
    (tmp_path / "run.py").write_text(PROCESSES)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    runs = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    }
    said = {}
    for name, command in runs.items():
        done = subprocess.run(
            [*command, tmp_path / "run.py", tmp_path / name], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        # Each process writes a file: printed lines would be mixed.
        said[name] = [[float(word) for word in file.read_text().split()] for file in tmp_path.glob(f"{name}[01]")]
    (one,), (first, second) = said["one"], said["two"]
    assert first == second == pytest.approx(one, rel=1e-12)
    assert one[2] == 90
    first, second = (ca_weights(tmp_path / name) for name in runs)
    for name, weight in first.items():
        assert weight.dtype == torch.float64
        assert float((weight - second[name]).abs().max() / weight.std()) < 1e-9


def refused(*arguments, **settings) -> str:
    with pytest.raises(TrainingError) as error:
        fit(*arguments, **settings)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_loss_that_is_no_number(tmp_path):
    parts = toy_splits()
    parts.train.photos[17] = float("nan")
    said = refused(toy_net(), parts, dataclasses.replace(RECIPE, distort=0.0), tmp_path)
    found = re.fullmatch(r"the loss is nan at step (\d+) of epoch 1, photos ([\d, ]+), \.\.\. of toys; (.+)", said)
    assert found
    if int(found[1]) > 3:
        assert found[3] == f"the last good checkpoint is {max(tmp_path.glob('*.pt'))}"
        assert checkpoints.load_latest(tmp_path, lambda path, content: None)
    else:
        assert found[3] == "no checkpoint has been written yet"


def test_weights_that_are_no_numbers_are_never_kept(tmp_path):
    net = toy_net()
    run = fit.steps(net, toy_splits(), RECIPE, tmp_path, device="cpu")
    for _ in range(5):
        next(run)
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(TrainingError, match=r"the loss is nan|not finite .* the last good checkpoint is"):
        list(run)
    kept = checkpoints.load_latest(tmp_path, lambda path, content: None)[1]
    assert all(value.isfinite().all() for value in kept["net"].values())


@pytest.mark.parametrize("room", [0, 2, 5])
def test_a_full_disk(whole, tmp_path, monkeypatch, room):
    """The disk is full after `room` files: the error is one line, checkpoints stay whole, the run can be resumed."""
    genuine, left = run_folder.write_bytes, [room]

    def write_bytes(path, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        left[0] -= 1
        genuine(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_bytes", write_bytes)
        said = refused(toy_net(), toy_splits(), RECIPE, tmp_path, device="cpu")
    assert "cannot be written (No space left on device)" in said
    assert trained(tmp_path, resume=True).sha256 == whole[1].sha256


def test_a_checkpoint_that_was_damaged_gives_way_to_the_one_before(whole, tmp_path):
    run = fit.steps(toy_net(), toy_splits(), RECIPE, tmp_path, device="cpu")
    for _ in range(14):
        next(run)
    run.close()
    _, newest = sorted(tmp_path.glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    assert trained(tmp_path, resume=True).sha256 == whole[1].sha256
    for path in tmp_path.glob("*.pt"):
        path.write_bytes(b"nothing")
    (tmp_path / "result.json").unlink()
    assert "can be read" in refused(toy_net(), toy_splits(), RECIPE, tmp_path, resume=True)


def test_labels_out_of_range(tmp_path):
    photos, labels = toy_photos(20)
    labels[7] = CLASSES
    parts = dataclasses.replace(toy_splits(), train=InMemoryDataset(photos, labels, RECIPE))
    said = refused(toy_net(), parts, RECIPE, tmp_path)
    assert said == "training photo 7 is of class 4, but the net has 4 classes, 0 to 3 (1 such photos)"
    empty = dataclasses.replace(toy_splits(), test=InMemoryDataset(photos[:0], labels[:0], RECIPE))
    assert refused(toy_net(), empty, RECIPE, tmp_path) == "the data set has no test photos"


def test_another_run_s_folder(whole, tmp_path):
    folder, _ = whole
    assert "holds a run already" in refused(toy_net(), toy_splits(), RECIPE, folder)
    faster = dataclasses.replace(RECIPE, lr=0.1)
    assert "its lr is 0.003, not 0.1" in refused(toy_net(), toy_splits(), faster, folder, resume=True)
    assert "its start is" in refused(toy_net(seed=1), toy_splits(), RECIPE, folder, resume=True)
    more = toy_splits(RECIPE, 180)
    assert "its data is 'toys 170', not 'toys 180'" in refused(toy_net(), more, RECIPE, folder, resume=True)
    parts = dataclasses.replace(RECIPE, val_split=0.0)
    run = fit.steps(toy_net(), toy_splits(), RECIPE, tmp_path, device="cpu")
    for _ in range(4):
        next(run)
    assert "another run is at work in" in refused(toy_net(), toy_splits(), RECIPE, tmp_path, resume=True)
    run.close()
    assert "its val_split is 0.2, not 0.0" in refused(toy_net(), toy_splits(parts), parts, tmp_path, resume=True)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    said = refused(toy_net(), toy_splits(), RECIPE, tmp_path / "file")
    assert "cannot be written" in said


def test_settings_that_need_something(tmp_path):
    plain = dataclasses.replace(RECIPE, val_split=0.0, patience=2)
    assert "hold photos out with val_split" in refused(toy_net(), toy_splits(plain), plain, tmp_path)
    half = dataclasses.replace(RECIPE, amp="float16")
    assert "float16 needs cuda" in refused(toy_net(), toy_splits(), half, tmp_path, device="cpu")


def test_it_stops_early(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=20, lr=1e-9, patience=2, model_ema=0.0)
    result = trained(tmp_path, recipe)
    assert result.epochs == 4 - 1
    assert result.epoch == 1


SETTINGS = {
    "mixup": {"mixup": 0.4, "smoothing": 0.1},
    "cutmix": {"cutmix": 1.0, "class_weights": "balanced"},
    "bfloat16": {"amp": "bfloat16", "clip_grad": 1.0},
    "one cycle": {"sched": "onecycle", "opt": "nesterov", "lr": 0.1, "warmup_epochs": 0.0},
    "frozen": {"freeze": ("0", "1"), "model_ema": 0.0, "layer_decay": 0.7},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_trains_and_resumes(tmp_path, name):
    recipe = dataclasses.replace(RECIPE, epochs=2, **SETTINGS[name])
    once = trained(tmp_path / "once", recipe)
    run = fit.steps(toy_net(), toy_splits(recipe), recipe, tmp_path / "twice", device="cpu")
    for _ in range(8):
        next(run)
    run.close()
    assert trained(tmp_path / "twice", recipe, resume=True).sha256 == once.sha256
    assert once.loss < 1.6
    if name == "frozen":
        start, found = toy_net().state_dict(), ca_weights(tmp_path / "once")
        changed = {name for name, value in start.items() if not torch.equal(value, found[name])}
        assert changed == {"5.weight", "5.bias"}


def test_a_net_of_the_atlas_resumes(tmp_path):
    """Resuming with channels last, ReLUs in place, batch norms and a moving average."""
    recipe = dataclasses.replace(RECIPE, epochs=1, opt="adamw")
    nets = [ca.build("resnet18", classes=CLASSES, channels=1, size=32, seed=1) for _ in range(3)]
    once = trained(tmp_path / "once", recipe, net=nets[0])
    run = fit.steps(nets[1], toy_splits(recipe), recipe, tmp_path / "twice", device="cpu")
    for _ in range(4):
        next(run)
    assert nets[1].stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert nets[1].stem.act.inplace
    run.close()
    assert not nets[1].stem.act.inplace
    assert trained(tmp_path / "twice", recipe, resume=True, net=nets[2]).sha256 == once.sha256


def test_a_folder_that_somebody_damaged(tmp_path):
    once = trained(tmp_path)
    (tmp_path / "run.json").write_text("[1]\n")
    with pytest.raises(TrainingError, match=r"run\.json, which identifies the run, is damaged"):
        trained(tmp_path, resume=True)
    (tmp_path / "result.json").unlink()
    for file in (tmp_path / "best").iterdir():
        file.unlink()
    with pytest.raises(TrainingError, match=r"the best checkpoint is missing from .*best"):
        trained(tmp_path, resume=True)
    assert once.validation_top1 is not None


def test_how_many_processes_is_a_number(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "x")
    with pytest.raises(TrainingError, match="WORLD_SIZE is the number of processes, set by torchrun; got 'x'"):
        trained(tmp_path)


def test_compiled(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1, torchcompile=True)
    torch._dynamo.reset()
    compiled = torch.compile
    loop.torch.compile = lambda module: compiled(module, backend="eager")  # needs no C++ compiler
    try:
        found = trained(tmp_path / "compiled", recipe)
    finally:
        loop.torch.compile = compiled
    plain = trained(tmp_path / "plain", dataclasses.replace(recipe, torchcompile=False))
    assert found.loss == pytest.approx(plain.loss, rel=1e-4)


def test_a_net_of_the_atlas_comes_out_as_a_lineage(tmp_path):
    recipe = Recipe(epochs=1, batch_size=10)
    photos, labels = torch.rand(30, 1, 28, 28), torch.arange(30) % 10
    preprocessing = dataclasses.replace(toy_splits().preprocessing, size=(28, 28), resize=28)
    examples = InMemoryDataset(photos, labels, recipe)
    parts = Splits("toys", examples, None, examples, tuple("0123456789"), preprocessing, "")
    net = ca.build("mlp_300")
    result = fit(net, parts, recipe, tmp_path, device="cpu")
    loaded = ca.load(tmp_path / "weights.safetensors")
    assert loaded.lineage.name == "own/toys"
    assert loaded.lineage.class_names == parts.classes
    assert loaded.lineage.top1 == f"{result.test_top1:.2f}"
    assert torch.equal(loaded(photos), net(photos))


LONGER = dataclasses.replace(RECIPE, epochs=4)


def test_a_finished_run_is_resumed_for_more_epochs(tmp_path):
    """With a schedule that does not depend on their number, it ends as one of so many epochs from the start."""
    short, long = (dataclasses.replace(recipe, sched="constant") for recipe in (RECIPE, LONGER))
    whole = trained(tmp_path / "whole", long)
    first = trained(tmp_path / "run", short)
    before = read_lines(tmp_path / "run" / "metrics.jsonl")
    run = fit.steps(toy_net(), toy_splits(long), long, tmp_path / "run", resume=True, device="cpu")
    for _ in range(4):
        next(run)
    run.close()
    # Until it is finished, the folder holds the result of the shorter run.
    assert json.loads((tmp_path / "run" / "result.json").read_text())["sha256"] == first.sha256
    assert trained(tmp_path / "run", long, resume=True).sha256 == whole.sha256
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert lines[:3] == before
    assert len(lines) == 4
    assert trained(tmp_path / "run", long, resume=True).sha256 == whole.sha256
    for fewer, said in ((short, "its epochs is 4, not 3"), (dataclasses.replace(long, lr=1.0), "its lr is 0.003")):
        with pytest.raises(TrainingError, match=said):
            trained(tmp_path / "run", fewer, resume=True)


def test_added_epochs_follow_the_longer_schedule(tmp_path):
    trained(tmp_path)
    before = read_lines(tmp_path / "metrics.jsonl")
    trained(tmp_path, LONGER, resume=True)
    lines = read_lines(tmp_path / "metrics.jsonl")
    assert lines[:3] == before
    steps = -(-140 // 16)
    # The rate of the last step of an epoch, on a cosine over all four epochs after the warm-up of half an epoch.
    share = (4 * steps - 1 - 0.5 * steps) / (4 * steps - 0.5 * steps)
    assert lines[3]["lr"] == pytest.approx(LONGER.lr * (1 + math.cos(math.pi * share)) / 2)


def test_runs_that_cannot_become_longer(tmp_path):
    run = fit.steps(toy_net(), toy_splits(), RECIPE, tmp_path / "half", device="cpu")
    for _ in range(12):
        next(run)
    run.close()
    with pytest.raises(TrainingError, match="its epochs is 3, not 4"):
        trained(tmp_path / "half", LONGER, resume=True)
    trained(tmp_path / "bare")
    for path in (tmp_path / "bare").glob("checkpoint-*.pt"):
        path.unlink()
    with pytest.raises(TrainingError, match="has no checkpoint, from which a finished run could be continued"):
        trained(tmp_path / "bare", LONGER, resume=True)
