"""The error table: its rows are the catalogue's, its runs resume, and the parts of the boosted net are correct."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from filelock import FileLock
from tests.anatomy.pictures import check_words
from tests.images.sets import small
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import TrainingError, UnknownName
from convatlas.catalogue.cards import find_card
from convatlas.cli.app import app
from convatlas.images.download import get
from convatlas.nets.build import build
from convatlas.pictures.marks import Dots
from convatlas.studies import processes
from convatlas.studies import reproduce as reproducing
from convatlas.studies.mnist_errors import boosting, plots, runs
from convatlas.studies.mnist_errors.boosting import error_curve, find_hard_photos
from convatlas.studies.mnist_errors.rows import PROTOCOLS, ROWS
from convatlas.studies.mnist_errors.study import STUDY
from convatlas.studies.mnist_errors.table import ErrorTable, printed_error
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.recipe import Recipe

REVIEW = "8.4 3.6 3.8 3.05 2.95 1.7 1.1 0.95 0.7"


def test_rows_are_the_review_s():
    shown = [f"{printed_error(row):g}" for row in ROWS]
    assert shown == ["12", *REVIEW.split()]
    assert len({row.key for row in ROWS}) == 10
    for row in ROWS:
        assert find_card(row.net).figures[row.figure].source == "lecun_1998"
        assert row.published.deslant == row.modern.deslant == (row.figure == "error_deslanted")
        assert bool(row.published.distort) == (row.figure == "error_distorted")
        assert row.published.patience == row.modern.patience == 0  # the reported epoch is the last one
        assert row.recipe("modern", 2, True).epochs == max(1, row.modern.epochs // 10)
        assert row.recipe("modern", 2, True).seed == 2


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_recipes_go_with_their_nets(row, protocol):
    net = build("lenet4" if row.net.startswith("boosted") else row.net, genes=row.swapped_genes(protocol))
    from convatlas.training.loss import CRITERIA, NetWithLoss

    criterion = NetWithLoss(net, row.recipe(protocol, 0, False)).criterion
    if protocol == "modern":
        assert criterion is CRITERIA["cross_entropy"]
    else:
        assert criterion is CRITERIA["map" if row.net == "lenet5" else "mse"]


@pytest.fixture
def digits(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    get("mnist", tmp_path)
    monkeypatch.setattr(runs, "QUICK_HARD_PHOTOS", 12)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda jobs, context, **settings: ThreadPoolExecutor(1))
    return tmp_path / "runs"


def test_the_whole_table_in_small(digits, monkeypatch):
    words = ["reproduce", "errors", "--quick", "-o", str(digits), "--seeds", "1"]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert [row["row"] for row in found["rows"]] == [row.key for row in ROWS for _ in PROTOCOLS]
    assert found["quick"] is True
    assert (digits / "errors-quick.png").is_file()
    assert (digits / "boosted-quick.png").is_file()
    assert json.loads((digits / "errors-quick.json").read_text())["rows"] == found["rows"]
    assert not (digits / "errors.json").exists()
    boosted = found["rows"][-1]
    assert [point["requested"] for point in boosted["curve"][0]] == list(boosting.SHARES)
    whole = ca.load(digits / "boosted_lenet4-error_distorted-modern-0-quick" / "weights.safetensors")
    published = next(point for point in boosted["curve"][0] if point["requested"] == 0.375)
    assert whole.threshold == pytest.approx(published["threshold"])
    # Nothing is trained again, and finished runs are read.
    monkeypatch.setattr(runs, "fit", None)
    monkeypatch.setattr(runs, "train_boosted", None)
    again = CliRunner().invoke(app, [*words, "--markdown"], catch_exceptions=False)
    assert "| boosted_lenet4 | distorted | 0.70 |" in again.stdout
    # A single row, here from Python, leaves the file of the whole table alone.
    one = ca.reproduce("errors", digits, quick=True, rows=["lenet5-error"])
    assert [row["row"] for row in one.rows] == ["lenet5-error"] * 2
    assert len(ErrorTable.read(digits / "errors-quick.json").rows) == 20
    task = runs.list_tasks(True, 1, ["lenet5-error"])[0]
    path = task.folder(digits) / "error.json"
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 7'))
    with pytest.raises(TrainingError, match="run of another recipe"):
        runs.run(task, digits)


def test_tasks():
    assert len(runs.list_tasks(False, 3, [])) == 10 * 2 * 3
    assert runs.list_tasks(False, 1, [])[0].row.net == "boosted_lenet4"
    with pytest.raises(UnknownName, match="lenet5-error"):
        runs.list_tasks(False, 1, ["lenet5"])


def endless(task, folder):
    (folder / f"{task.protocol}.started").touch()
    time.sleep(600)


@pytest.mark.sweep
def test_ctrl_c_ends_all_runs_at_once(tmp_path, monkeypatch, capfd):
    """Running tasks are killed (they can be resumed), waiting ones are not started, and no traceback is printed."""
    study = dataclasses.replace(STUDY, prepare=lambda: None, run=endless)
    monkeypatch.setattr(reproducing, "find_study", lambda name: study)
    # In the background Ctrl-C may be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press() -> None:
        while not list(tmp_path.iterdir()):
            time.sleep(0.1)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ca.reproduce("errors", tmp_path, rows=["lenet5-error"], seeds=1, jobs=1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()
    assert "Traceback" not in capfd.readouterr().err


def refused(task, folder):
    if task.protocol == "modern":
        raise TrainingError("another run is at work")
    time.sleep(600)


@pytest.mark.sweep
def test_one_that_fails_ends_the_others_in_silence(tmp_path, monkeypatch, capfd):
    study = dataclasses.replace(STUDY, prepare=lambda: None, run=refused)
    monkeypatch.setattr(reproducing, "find_study", lambda name: study)
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    with pytest.raises(TrainingError, match="at work"):
        ca.reproduce("errors", tmp_path, seeds=3, jobs=4)
    assert not multiprocessing.active_children()
    time.sleep(1)  # the pool's own thread may raise late
    assert not told
    assert not capfd.readouterr().err


PROGRAM = """
import sys, time
from dataclasses import replace
from filelock import FileLock
from convatlas.studies import reproduce as reproducing
from convatlas.studies.mnist_errors.study import STUDY

def endless(task, folder):
    with FileLock(folder / f"{task.protocol}.lock"):
        (folder / f"{task.protocol}.started").touch()
        time.sleep(600)

if __name__ == "__main__":
    study = replace(STUDY, prepare=lambda: None, run=endless)
    reproducing.find_study = lambda name: study
    reproducing.reproduce("errors", sys.argv[1], rows=["lenet5-error"], seeds=1)
"""


@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_run_outlives_its_program(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = subprocess.Popen([sys.executable, tmp_path / "program.py", tmp_path])
    while len(list(tmp_path.glob("*.started"))) < 2:
        assert program.poll() is None
        time.sleep(0.1)
    program.send_signal(number)
    program.wait(60)
    for protocol in PROTOCOLS:
        FileLock(tmp_path / f"{protocol}.lock").acquire(timeout=60).lock.release()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"seeds": 0}, "seeds is a whole number from 1 up; got 0"),
        ({"jobs": 0}, "jobs is a whole number from 1 up; got 0"),
        ({"threads": -1}, "threads is a whole number from 1 up; got -1"),
        ({"rows": "lenet5-error"}, r"rows is a list of keys, such as \['lenet5-error'\]"),
        ({"rows": ["lenet6-error"]}, "did you mean lenet"),
        ({"study": "error"}, "did you mean errors?"),
    ],
)
def test_mistakes(tmp_path, words, said):
    with pytest.raises(ca.ConvAtlasError, match=said) as error:
        ca.reproduce(**{"study": "errors"} | words, output=tmp_path)
    assert str(error.value).isprintable()


def made_up(folder) -> ErrorTable:
    """Write and return a result with made-up figures."""
    curve = [
        {"requested": share, "threshold": 0.5, "share": share, "error": 2 - share, "cost": 1 + 2 * share, "seconds": s}
        for share, s in ((0.0, 1.0), (0.375, 2.0), (1.0, 4.0))
    ]
    rows = [
        {
            "row": row.key,
            "protocol": protocol,
            "net": row.net,
            "printed": printed_error(row),
            "mean": printed_error(row) * scale,
            "deviation": 0.05,
            "errors": [
                printed_error(row) * scale - 0.05,
                printed_error(row) * scale,
                printed_error(row) * scale + 0.05,
            ],
            "recipe": {},
            "genes": {},
            "seconds": [1200.0, 1200.0, 1200.0],
            "sha256": [["a"]] * 3,
            "why": row.why,
        }
        | ({"curve": [curve, curve, curve]} if row.net == "boosted_lenet4" else {})
        for row in ROWS
        for protocol, scale in (("published", 1.02), ("modern", 0.6))
    ]
    found = ErrorTable(rows=tuple(rows), seeds=3, quick=False, threads=1)
    (folder / "errors.json").write_text(found.to_json())
    return found


def test_the_result_is_read_again(tmp_path):
    found = made_up(tmp_path)
    again = ErrorTable.read(tmp_path / "errors.json")
    assert again == found
    assert again.made == found.made
    assert "| lenet5 | plain | 0.95 | 0.97 ± 0.05 | 0.57 ± 0.05 |" in again.table().markdown()
    assert "| as published | 37.5 | 1.62 | 1.75 | 50 |" in again.boosting().markdown()
    (tmp_path / "errors.json").write_text('{"rows": []}')
    with pytest.raises(TrainingError, match="not an error table"):
        ErrorTable.read(tmp_path / "errors.json")


def test_pictures_show_all_that_was_measured(tmp_path):
    found = made_up(tmp_path)
    (panel,) = plots.errors(found.rows).panels
    assert [text for _, text in panel.y.ticks][:2] == ["784-10", "784-10 (upright)"]
    dots = [mark for mark in panel.marks if isinstance(mark, Dots) and mark.opacity < 1]
    assert [len(mark.x) for mark in dots] == [3] * 20
    chart = plots.boosting({row["protocol"]: row["curve"] for row in found.rows if "curve" in row})
    (left, right) = chart.panels
    mean = next(curve for curve in left.marks if curve.label == "modern")
    assert list(mean.x) == pytest.approx([0, 37.5, 100])
    assert list(mean.y) == pytest.approx([2, 1.625, 1])
    assert list(right.marks[0].y) == pytest.approx([25, 50, 100])
    for picture in (plots.errors(found.rows).picture(), chart.picture()):
        check_words(picture)
    assert [path.name for path in plots.draw(tmp_path, found.rows)] == ["errors.png", "boosted.png"]


class Answering(torch.nn.Module):
    """Answers the class that a table says, by the digit's first pixel."""

    def __init__(self, answers):
        super().__init__()
        self.answers = torch.tensor(answers)

    def forward(self, x):
        return torch.nn.functional.one_hot(self.answers[x[:, 0, 0, 0].long()], 4).float()


def test_hard_photos():
    photos = torch.arange(8.0)[:, None, None, None].expand(8, 1, 2, 2)
    train = InMemoryDataset(photos, torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]), Recipe())
    first = Answering([0, 1, 2, 0, 0, 1, 1, 3])  # wrong on 3 and 6
    x, labels = find_hard_photos(train, [first], 4)
    assert x[:, 0, 0, 0].tolist() == [3, 6, 0, 1]
    assert labels.tolist() == [3, 2, 0, 1]
    second = Answering([0, 1, 2, 0, 0, 2, 2, 3])  # differs on 5 and 6
    x, _ = find_hard_photos(train, [first, second], 3)
    assert x[:, 0, 0, 0].tolist() == [5, 6, 5]
    with pytest.raises(TrainingError, match="is hard"):
        find_hard_photos(train, [first, first], 3)


def test_the_curve_of_the_boosted_net():
    net = build("boosted_lenet4", seed=3).eval()
    random = np.random.default_rng(0)
    photos = torch.from_numpy(random.normal(size=(60, 1, 32, 32)).astype("float32"))
    labels = torch.from_numpy(random.integers(0, 10, 60))
    held = InMemoryDataset(photos[:40], labels[:40], Recipe())
    points = error_curve(net, held, held)
    assert [point.share for point in points] == pytest.approx([round(40 * point.requested) / 40 for point in points])
    assert [point.cost for point in points] == pytest.approx([1 + 2 * point.share for point in points])
    with torch.no_grad():
        answers = [net.net1(held.photos), net.net1(held.photos) + net.net2(held.photos) + net.net3(held.photos)]
    for point, answer in zip((points[0], points[-1]), answers, strict=True):
        assert point.error == pytest.approx(100 * float((answer.argmax(1) != held.labels).double().mean()))


def test_nothing_held_out(tmp_path):
    from tests.training.toys import toy_splits

    parts = dataclasses.replace(toy_splits(), validation=None)
    with pytest.raises(TrainingError, match="some held out"):
        boosting.train_boosted(parts, Recipe(), {}, tmp_path)
