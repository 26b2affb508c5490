"""Answers are those of classify, of embeddings and of detect; files say where they come from; jobs are not mixed."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from tests.bulk.photos import NET, answers, check_once, photos
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base import extras
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.verbs import Steps
from convatlas.bulk.batch import run_job
from convatlas.bulk.job import Job
from convatlas.bulk.tasks import ClassifyTask
from convatlas.cli import terminal
from convatlas.cli.app import app
from convatlas.engines.backends.onnxruntime import OnnxRuntime
from convatlas.engines.backends.openvino import OpenVINO
from convatlas.engines.search.remembered import Remembered
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.build import build
from convatlas.predict import sessions
from convatlas.predict.sessions import EagerSession
from convatlas.weights.formats import darknet_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("photos"), 50)


def test_classes_are_those_of_classify(folder: Path, tmp_path: Path) -> None:
    found = ca.batch("classify", folder, tmp_path / "out", **NET, top=3, shard=16)
    assert (found.photos, found.shards, found.answered, found.unread) == (50, 4, 50, ())
    check_once(tmp_path / "out", folder)
    right = ca.classify(folder, "lenet5", top=3, engine="eager")
    for row, one in zip(answers(tmp_path / "out").to_pylist(), right, strict=True):
        assert str(folder / row["path"]) == one.photo
        assert (row["raw_path"], row["error"]) == (None, None)
        # Classes of probability 0 have no order among each other.
        real = [answer for answer in one.answers if answer.probability > 1e-5]
        assert real
        assert row["labels"][: len(real)] == [answer.label for answer in real]
        assert row["indices"][: len(real)] == [answer.index for answer in real]
        # The other layout may differ in the last bits.
        assert row["probabilities"] == pytest.approx([answer.probability for answer in one.answers], abs=1e-5)
    assert "50 photos in 4 shards" in str(found)
    assert "eager float32" in str(found)


def test_embeddings_are_those_of_a_net_without_its_head(folder: Path, tmp_path: Path) -> None:
    ca.batch("embed", folder, tmp_path / "out", net="lenet1", engine="eager", shard=32)
    table = answers(tmp_path / "out")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 192)
    net = ca.load("lenet1", head=False)
    with torch.inference_mode():
        x = torch.stack([net.preprocess(folder / name) for name in table["path"].to_pylist()[:16]])
        assert np.stack(table["embedding"].to_pylist()[:16]) == pytest.approx(net(x).numpy(), abs=1e-5)


def test_objects_are_those_of_detect(tmp_path: Path) -> None:
    net = build("yolo_v3_tiny", seed=2)
    with torch.no_grad():
        for boxes in (net.boxes1, net.boxes2):
            boxes.boxes1.conv.bias.view(3, 85)[:, 4] = -2
    darknet_files.write(net, tmp_path / "tiny.weights")
    (tmp_path / "list.txt").write_text("\n".join(str(sample(name)) for name in SAMPLES) + "\nnowhere.png\n")
    how = {"net": "yolo_v3_tiny", "weights": str(tmp_path / "tiny.weights"), "threshold": 0.06, "top": 20}
    ca.batch("detect", tmp_path / "list.txt", tmp_path / "out", **how)
    rows = answers(tmp_path / "out").to_pylist()
    assert rows.pop()["boxes"] is None
    right = ca.detect([sample(name) for name in SAMPLES], **how)
    assert sum(len(one.objects) for one in right) >= 20
    for row, one in zip(rows, right, strict=True):
        assert row["labels"] == [thing.label for thing in one.objects]
        assert row["indices"] == [thing.index for thing in one.objects]
        # Convolutions of several photos at once may differ in the last bits.
        assert row["scores"] == pytest.approx([thing.score for thing in one.objects], abs=1e-5)
        boxes = np.array([thing.box for thing in one.objects]).reshape(-1, 4)
        assert np.array(row["boxes"]).reshape(-1, 4) == pytest.approx(boxes, abs=1e-2)
    nothing = ca.batch("detect", tmp_path / "list.txt", tmp_path / "none", **how | {"threshold": 0.99})
    assert answers(tmp_path / "none")["boxes"].to_pylist() == [[]] * 4 + [None]
    assert "nowhere.png' does not exist" in nothing.unread[0].reason


def test_files_say_where_they_come_from(folder: Path, tmp_path: Path) -> None:
    ca.batch("classify", folder, tmp_path / "out", **NET, shard=40)
    told = json.loads(answers(tmp_path / "out").schema.metadata[b"convatlas"])
    assert (told["task"], told["net"], told["weights"], told["top"]) == ("classify", "lenet5", "own/mnist", 5)
    assert told["engine"].startswith("eager float32")
    assert told["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(told["sha256"]) == 64
    # Any reader of folders leaves out what is no answer; files of another engine beside them are no matter.
    file = tmp_path / "out" / "shard-000000.parquet"
    other = pq.read_table(file).replace_schema_metadata({"convatlas": json.dumps(told | {"engine": "another"})})
    pq.write_table(other, file)
    assert pa.dataset.dataset(tmp_path / "out").count_rows() == len(answers(tmp_path / "out")) == 50


def test_only_what_is_missing_is_answered(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ca.batch("classify", folder, out, **NET, shard=16)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*")}
    (out / "shard-000001.parquet").unlink()
    (out / ".shard-000002.parquet.0123456789abcdef").write_bytes(b"half")
    again = ca.batch("classify", folder, out, **NET, shard=16)
    assert again.answered == 16
    assert Job("classify", engine="openvino").settings() == Job("classify").settings()  # any may go on
    check_once(out, folder)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*")}
    assert {name for name in after if after[name] != before[name]} == {"shard-000001.parquet"}
    last = ca.batch("classify", folder, out, **NET, shard=16)
    assert (last.answered, last.engines) == (0, ())
    assert str(last).endswith("0 of them in this run; 0 could not be read")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shard": 17}, "shard is 16 and not 17"),
        ({"top": 4}, "top is 5 and not 4"),
        ({"net": "lenet1"}, "net is 'lenet5' and not 'lenet1'"),
        ({"task": "embed", "net": "lenet1"}, "task is 'classify' and not 'embed'"),
    ],
    ids=str,
)
def test_another_job_is_refused(folder: Path, tmp_path: Path, change: dict, named: str) -> None:
    wish = {"task": "classify", "photos": folder, "output": tmp_path / "out", "shard": 16} | NET
    ca.batch(**wish)
    with pytest.raises(ConvAtlasError, match=named) as error:
        ca.batch(**wish | change)
    assert str(error.value).isprintable()


def test_other_photos_or_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    here, out = tmp_path / "here", tmp_path / "out"
    shutil.copytree(folder, here)
    ca.batch("classify", here, out, **NET)
    shutil.copy(here / "000" / "00000.png", here / "more.png")
    with pytest.raises(ConvAtlasError, match="photos is 50 and not 51"):
        ca.batch("classify", here, out, **NET)
    (here / "000" / "00000.png").unlink()
    with pytest.raises(ConvAtlasError, match="names is"):
        ca.batch("classify", here, out, **NET)
    with pytest.raises(ConvAtlasError, match="root is"):
        ca.batch("classify", folder, out, **NET)
    net = ca.load("lenet5")
    with torch.no_grad():
        next(net.parameters()).mul_(1.0001)
    ca.export(net, tmp_path / "mine.safetensors")
    ca.batch("classify", folder, tmp_path / "second", **NET)
    with pytest.raises(ConvAtlasError, match="sha256 is"):
        ca.batch("classify", folder, tmp_path / "second", net=str(tmp_path / "mine.safetensors"), engine="eager")


def test_a_folder_that_is_not_ours(folder: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    turned = tmp_path / "turned.txt"
    turned.write_text("\n".join(map(str, sorted(folder.rglob("*.png"), reverse=True))))
    with pytest.raises(ConvAtlasError, match="no _job"):
        ca.batch("classify", folder, tmp_path, **NET)
    out = tmp_path / "out"
    ca.batch("classify", folder, out, **NET)
    job = (out / "_job.json").read_bytes()
    for damage in (b"", b"[]", b"{}", job[:-20]):
        (out / "_job.json").write_bytes(damage)
        with pytest.raises(ConvAtlasError, match="is damaged"):
            ca.batch("classify", folder, out, **NET)
    (out / "_job.json").write_bytes(job)
    (out / "shard-000000.parquet").write_bytes(b"")
    with pytest.raises(ConvAtlasError, match=r"shard-000000\.parquet' is damaged: remove it"):
        ca.batch("classify", folder, out, **NET)
    (out / "shard-000000.parquet").unlink()
    ca.batch("classify", folder, out, **NET)
    shutil.copytree(out, tmp_path / "two")
    for change in ({"top": 4, "output": tmp_path / "top"}, {"photos": turned, "output": tmp_path / "turned"}):
        wish = {"task": "classify", "photos": folder, "output": out} | NET | change
        ca.batch(**wish)
        shutil.copy(wish["output"] / "shard-000000.parquet", tmp_path / "two")
        with pytest.raises(ConvAtlasError, match=r"shard-000000\.parquet' belongs to another shard or job: remove it"):
            ca.batch("classify", folder, tmp_path / "two", **NET)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConvAtlasError, match="cannot be written"):
        ca.batch("classify", folder, tmp_path / "file", **NET)


def test_bad_photos_have_a_row_each(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "photos"
    shutil.copytree(folder, here)
    (here / "000" / "00003.png").write_bytes(b"")
    for number in range(10, 30):  # a batch of which nothing is left
        (here / "bad").mkdir(exist_ok=True)
        (here / "bad" / f"{number}.jpg").write_bytes(b"no photo")
    words = ["batch", "classify", str(here), "-o", str(tmp_path / "out"), "--net", "lenet5", "--engine", "eager"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3, done.output
    assert done.stderr.count("\n") == 21
    assert "00003.png' is empty" in done.stderr
    rows = answers(tmp_path / "out").to_pylist()
    bad = [row for row in rows if row["error"] is not None]
    assert len(rows) == 70
    assert len(bad) == 21
    assert all(row["labels"] is None and row["probabilities"] is None for row in bad)
    assert all(len(row["labels"]) == 5 for row in rows if row["error"] is None)
    assert "is empty" in rows[3]["error"]


def test_a_damaged_shard_is_told_before_the_work(folder: Path, tmp_path: Path) -> None:
    ca.batch("classify", folder, tmp_path, **NET, shard=25)
    whole = (tmp_path / "shard-000001.parquet").read_bytes()
    (tmp_path / "shard-000001.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "shard-000000.parquet").unlink()
    with pytest.raises(ConvAtlasError, match=r"shard-000001\.parquet' is damaged"):
        ca.batch("classify", folder, tmp_path, **NET, shard=25)
    assert not (tmp_path / "shard-000000.parquet").exists()


def test_answers_in_the_folder_of_the_photos(tmp_path: Path) -> None:
    photos(tmp_path, 12)
    for out in (tmp_path, tmp_path / "000"):
        for _ in range(2):
            assert ca.batch("classify", tmp_path, out, **NET, shard=5).photos == 12


def test_memory_is_flat(tmp_path: Path) -> None:
    """What Python and numpy hold after a shard is the same after the last one as after the first ones."""
    folder = photos(tmp_path / "photos", 400)
    held, files = [], 0
    tracemalloc.start()
    try:
        for _ in run_job(Job("classify", "lenet5", engine="eager"), folder, tmp_path / "out", 20):
            now = len(list((tmp_path / "out").glob("shard-*")))
            if now > files:
                files = now
                held.append(tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert len(held) == 20
    current, peak = np.array(held).T
    batch = 16 * 32 * 32 * 4
    assert abs(current[-5:].mean() - current[5:10].mean()) < 2 * batch
    assert peak[-1] - peak[9] < 2 * batch


def test_progress_begins_with_what_is_there(folder: Path, tmp_path: Path) -> None:
    wish = Job("classify", "lenet5", engine="eager")
    steps = list(run_job(wish, folder, tmp_path / "out", 20))
    assert steps[0] == (0, 50, None)
    assert [done for done, *_ in steps] == sorted(done for done, *_ in steps)
    assert {total for _, total, _ in steps} == {50}
    os.remove(tmp_path / "out" / "shard-000002.parquet")
    assert next(iter(run_job(wish, folder, tmp_path / "out", 20)))[:2] == (40, 50)


def test_shards_that_take_minutes_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = [0.0], io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, get_time=lambda: clock[0])
    monkeypatch.setattr(terminal, "Console", lambda stderr: console)

    def shards() -> Steps[str]:
        for done in range(0, 5000, 1000):
            yield done, 9000, None
            clock[0] += 100
        yield 5000, 9000, "done"

    terminal.run_steps(shards(), "classify")
    assert "10.0/s" in screen.getvalue()


def test_the_command_in_json(folder: Path, tmp_path: Path) -> None:
    words = ["batch", "embed", str(folder), "-o", str(tmp_path / "out"), "--net", "lenet1", "--engine", "eager"]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert (found["task"], found["photos"], found["shards"], found["unread"]) == ("embed", 50, 1, [])
    assert found["seconds"] > 0


def test_photos_of_the_job_give_int8_its_ranges(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search itself is tried elsewhere."""
    asked = []

    def fake(net, engine, precision, *, batch, size, photos):
        asked.append((engine, precision, batch, size, len(photos)))
        return ca.accelerate(net, "eager", batch=batch)

    monkeypatch.setattr(sessions, "accelerate", fake)
    ca.batch("classify", folder, tmp_path / "out", net="lenet5", precision="int8")
    assert asked == [("auto", "int8", 16, (32, 32), 50)]
    job = json.loads((tmp_path / "out" / "_job.json").read_text())
    assert job["ranges"][0] == str(folder / "000" / "00000.png")
    assert "ranges" not in json.loads(answers(tmp_path / "out").schema.metadata[b"convatlas"])
    with pytest.raises(ConvAtlasError, match="precision is 'int8' and not 'float32'"):
        ca.batch("classify", folder, tmp_path / "out", **NET)


@pytest.mark.sweep
def test_int8_runs(folder: Path, tmp_path: Path) -> None:
    found = ca.batch("classify", folder, tmp_path / "out", net="lenet5", precision="int8", engine="openvino")
    assert found.engines[0].startswith("openvino int8")


def test_another_device_than_the_cpu() -> None:
    """No other is here: the CPU stands in for it."""
    net = ca.load("lenet5")
    x = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    with torch.inference_mode():
        assert np.array_equal(EagerSession(net, torch.device("cpu"))(x), net(torch.from_numpy(x)).numpy())


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"task": "clasify"}, "did you mean classify"),
        ({"net": "lenet55"}, "lenet5"),
        ({"engine": "openvin"}, "openvino"),
        ({"precision": "float16"}, "bfloat16"),
        ({"device": "gpu"}, "no device"),
        ({"top": 0}, "top is a number of classes"),
        ({"task": "detect", "net": "yolo_v3_tiny", "top": 0}, "top is a number of objects"),
        ({"photos": ["a.png", "b.png"]}, r"given as the path of a folder or a manifest; got \['a.png', 'b.png'\]"),
        ({"top": 11}, "up to 10; got 11"),
        ({"task": "detect", "net": "yolo_v3_tiny", "threshold": 1}, "threshold"),
        ({"task": "detect", "net": "yolo_v3_tiny", "engine": "openvino"}, "detect runs in eager mode"),
        ({"task": "detect"}, "is not a detector"),
        ({"shard": 0}, "from 1 to 1,000,000"),
        ({"shard": True}, "from 1 to 1,000,000"),
        ({"workers": 0}, "1 or more"),
        ({"workers": "2"}, "1 or more"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "has its own"),
        ({"scheduler": "tls://127.0.0.1:1"}, "takes all of tls_ca, tls_cert and tls_key"),
        (
            {"scheduler": "tcp://127.0.0.1:1", "tls_ca": "a", "tls_cert": "b", "tls_key": "c"},
            "any other takes none of them",
        ),
        ({"tls_ca": "a"}, "any other takes none of them"),
        ({"scheduler": "tls://127.0.0.1:1", "tls_ca": "a", "tls_cert": "b", "tls_key": "c"}, "file 'a' does not exist"),
    ],
    ids=str,
)
def test_wrong_wishes(folder: Path, tmp_path: Path, wish: dict, said: str) -> None:
    with pytest.raises(ConvAtlasError, match=said) as error:
        ca.batch(**{"task": "classify", "photos": folder, "output": tmp_path / "out"} | NET | wish)
    assert str(error.value).isprintable()
    assert not list(tmp_path.glob("out/shard-*"))


def test_fewer_classes_than_are_usual(folder: Path, tmp_path: Path) -> None:
    """Five, if not said; of a net that knows three, three."""
    net = ca.load("efficientnet_lite0", classes=3)
    net.lineage = replace(net.lineage, class_names=("a", "b", "c"))
    ca.export(net, tmp_path / "three.safetensors")
    ca.batch("classify", folder / "000", tmp_path / "out", net=str(tmp_path / "three.safetensors"), engine="eager")
    assert {len(row) for row in answers(tmp_path / "out")["labels"].to_pylist()} == {3}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_that_fails_in_the_middle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    kind = {"onnxruntime": OnnxRuntime, "openvino": OpenVINO}[engine]
    right, calls = kind.__call__, itertools.count()

    def fails(session, x):
        if next(calls) == 6:
            raise MemoryError("bad allocation")
        return right(session, x)

    ca.accelerate(ca.load("lenet5"), engine, batch=16)
    # The times at a start, in which an engine that fails is another matter, are not taken.
    monkeypatch.setattr(Remembered, "_contest", lambda self, session, error, record, x: (session, record))
    monkeypatch.setattr(kind, "__call__", fails)
    with pytest.raises(ConvAtlasError, match=rf"^{engine}.* fails \(bad allocation\); finished shards are whole"):
        ca.batch("classify", folder, tmp_path / "out", net="lenet5", engine=engine, shard=8)
    done = len(list((tmp_path / "out").glob("shard-*")))
    assert done < 7
    monkeypatch.setattr(kind, "__call__", right)
    ca.batch("classify", folder, tmp_path / "out", net="lenet5", engine=engine, shard=8)
    check_once(tmp_path / "out", folder)


def test_wrong_photos(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for photo, said in ((tmp_path / "no", "neither a folder nor"), (tmp_path / "empty", "holds no photo")):
        with pytest.raises(ImageError, match=said):
            ca.batch("classify", photo, tmp_path / "out", **NET)


def test_random_weights_and_headless_nets_do_not_classify(tmp_path: Path) -> None:
    ca.export(ca.load("lenet1", head=False), tmp_path / "mine.safetensors")
    with pytest.raises(ConvAtlasError, match="has no class names"):
        ClassifyTask(Job("classify", str(tmp_path / "mine.safetensors")))


def test_a_cluster_that_is_not_installed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = extras.installed
    monkeypatch.setattr(extras, "installed", lambda name: name != "distributed" and genuine(name))
    with pytest.raises(ConvAtlasError, match=r"distributed is not installed: pip install 'convatlas\[cluster\]'"):
        ca.batch("classify", folder, tmp_path / "out", **NET, cluster=True)


HIDDEN = """
import sys
for name in ("dask", "distributed", "onnx", "onnxruntime", "onnxscript", "openvino", "nncf"):
    sys.modules[name] = None
from convatlas.cli import main
main()
"""


def test_here_no_extra_is_needed(folder: Path, tmp_path: Path) -> None:
    words = ["batch", "classify", str(folder), "-o", str(tmp_path / "out"), "--engine", "eager", "--net", "lenet1"]
    done = subprocess.run([sys.executable, "-c", HIDDEN, *words, "--json"], capture_output=True, text=True)
    record = json.loads(done.stdout)
    assert record["photos"] == len(pq.read_table(tmp_path / "out"))
    assert done.returncode == (3 if record["unread"] else 0), done.stderr
