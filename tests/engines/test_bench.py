"""Times: what is measured, beside whom, where it is kept, and how it is shown."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.anatomy.pictures import check_words
from torch import nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.anatomy.report.net_table import net_table
from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.base.store import timings
from convatlas.base.store.sealed import read_sealed_json
from convatlas.base.store.timings import best_times
from convatlas.cli.app import app
from convatlas.engines import backend
from convatlas.engines.bench import bench as benching
from convatlas.engines.bench import peers
from convatlas.engines.bench.footprint import measure_footprint
from convatlas.engines.bench.profile import slowest_layers
from convatlas.engines.bench.records import Bench
from convatlas.engines.bench.roofline import Roofline, measure_roofline
from convatlas.engines.bench.rounds import rounds
from convatlas.engines.bench.times import Time
from convatlas.engines.options import Options
from convatlas.engines.sample_inputs import NetInput
from convatlas.pictures.shapes import Box, Group

# One process builds what these tests share.
pytestmark = pytest.mark.xdist_group("bench")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Bench of a small net in two engines, with a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVATLAS_HOME", str(tmp_path_factory.mktemp("store")))
        return ca.bench("LeNet-5", engines=["eager", "onnxruntime"], batches=[1, 4])


def test_every_cell_is_there(bench) -> None:
    cells = [(cell.net, cell.batch, cell.engine) for cell in bench.times]
    assert cells == [("lenet5", batch, engine) for batch in (1, 4) for engine in ("eager", "onnxruntime")]
    for cell in bench.times:
        assert 0 < cell.low <= cell.call <= cell.high
        assert cell.milliseconds == pytest.approx(cell.call / cell.batch)
        assert cell.photos_per_second == pytest.approx(1e3 / cell.milliseconds)
        assert 0 < cell.share < 1
        assert cell.load > 0
    # A process that runs ONNX Runtime has no PyTorch in it.
    memory = {cell.engine: cell.memory for cell in bench.times}
    assert 20 < memory["onnxruntime"] < memory["eager"] / 2
    assert set(bench.costly) == {"lenet5"}
    assert bench.costly["lenet5"][0][0].split(".")[0] in ("c1", "s2", "c3", "s4", "c5", "f6", "head")


def test_it_prints_and_goes_to_json(bench) -> None:
    rows = json.loads(bench.to_json())["times"]
    assert len(rows) == 4
    table = bench.table()
    assert sum(row["best"] for row in table.rows) == 2
    assert "lenet5, 4 at a time, onnxruntime float32: " in str(bench)
    assert "GMAC/s" in table.title
    assert any("most time goes to" in note for note in table.notes)


def test_the_chart(bench) -> None:
    picture = bench.draw()
    check_words(picture)
    groups = [shape.shapes[0] for shape in picture.shapes if isinstance(shape, Group)]
    lengths = [bar.width for bar in groups if isinstance(bar, Box)]
    assert len(lengths) == 4
    assert max(lengths[:2]) == pytest.approx(620)
    short, long = sorted(time.milliseconds for time in bench.times[:2])
    assert lengths[0] / lengths[1] == pytest.approx(short / long)


def test_less_than_float32_has_no_share_of_the_limit() -> None:
    assert row().share == 0.25
    reduced = row(precision="int8", call=5.0)
    assert reduced.share is None
    bench = Bench((row(), reduced), {}, (), 1.0, 1.0, "a CPU", 1)
    assert "25%" in bench.table().csv() or "0.25" in bench.table().csv()
    assert bench.draw().svg().startswith("<svg")


def row(**changes: object) -> Time:
    values = {"net": "resnet50", "size": 224, "batch": 1, "engine": "eager", "precision": "float32"}
    return Time(**values | {"call": 40.0, "low": 39.0, "high": 41.0, "limit": 10.0} | changes)


def test_times_are_kept_for_list_and_choose(store: Path, monkeypatch) -> None:
    assert "time" not in [column.key for column in net_table(family="resnet").columns]
    timings.add_times([row().row(), row(engine="openvino", call=20.0).row(), row(batch=16, call=160.0).row()])
    later = row(engine="openvino", call=25.0), row(engine="openvino", precision="int8", call=5.0)
    timings.add_times([time.row() for time in later])
    # One photo at a time, in float32; the later time of the same counts.
    assert best_times() == {"resnet50": {224: 25.0}}
    assert ca.choose(max_ms=30).front[0].time == 25.0
    timings.add_times([row(engine="timm", call=1.0).row()])  # no engine of ours
    table = net_table(family="resnet")
    assert {row["name"]: row["time"] for row in table.rows}["resnet50"] == 25.0
    assert len(read_sealed_json(store / "bench.json")) == 5
    monkeypatch.setattr(timings, "cpu", lambda: "another")
    timings.add_times([row(call=50.0).row()])
    assert best_times() == {"resnet50": {224: 50.0}}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"net": 1}'])
def test_a_damaged_record_is_replaced(damage: bytes, store: Path) -> None:
    store.mkdir()
    (store / "bench.json").write_bytes(damage)
    timings.add_times([row().row()])
    assert best_times() == {"resnet50": {224: 40.0}}


def test_rounds_are_interleaved() -> None:
    order: list[str] = []

    def session(name: str, pause: float):
        def run(x: np.ndarray) -> np.ndarray:
            order.append(name)
            time.sleep(pause)
            return x

        return run

    x = np.zeros((1, 1), np.float32)
    taken = rounds({"a": session("a", 0.06), "b": session("b", 0.07)}, x, most=4)
    assert order[:2] == ["a", "b"]
    assert order[2:] == ["a", "b"] * 4
    assert 60 <= min(taken["a"]) < 90
    assert len(taken["a"]) == len(taken["b"]) == 4


def test_roofline() -> None:
    assert Roofline(1e9, 1e9).milliseconds(2e6, 1e6) == 2.0
    assert Roofline(1e9, 1e9).milliseconds(1e6, 3e6) == 3.0
    roofline = measure_roofline()
    assert 1e9 < roofline.macs < 1e14
    assert 1e8 < roofline.bandwidth < 1e13


def test_the_slowest_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 7, padding=3), nn.ReLU(), nn.Conv2d(64, 3, 1))
    (first, share), *rest = slowest_layers(net.train(), torch.rand(1, 3, 128, 128), count=3)
    assert (first, net.training) == ("0", True)
    assert share > 0.5
    assert math.isclose(share + sum(share_of_layer for _, share_of_layer in rest), 1)
    assert not net[0]._forward_hooks


def test_peers_are_their_own_nets() -> None:
    x = np.zeros((2, 3, 64, 64), np.float32)
    for name in ("timm", "torchvision"):
        session = peers.peer(name, "resnet18", x)
        assert session(x).shape == (2, 1000)
        assert type(session.net).__module__.startswith(name)
        assert peers.peer(name, "lenet1", x) is None
        with pytest.raises(ConvAtlasError, match=rf"^resnet18 in {name}: RuntimeError: .*"):
            peers.peer(name, "resnet18", x[:, :1])


def test_an_engine_whose_footprint_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ConvAtlasError, match=r"could not be measured: .*refuses"):
        measure_footprint(
            Options("onnxruntime", "float32", 1), tmp_path, ("lenet1", "none", None), NetInput((1, 28, 28)), 1
        )


def test_wrong_arguments(store: Path, monkeypatch) -> None:
    for arguments, message in (
        ({"nets": "resnet"}, "resnet50"),
        ({"engines": ["tensorrt"]}, "no engine"),
        ({"engines": ["auto"]}, "no engine to measure is called 'auto'; known: compiled, eager"),
        ({"precisions": ["float16"]}, "no precision"),
        ({"vs": ["keras"]}, "no peer"),
    ):
        with pytest.raises(UnknownName, match=message):
            ca.bench(**{"nets": "lenet1"} | arguments)
    for batches in ([0], 0, "16", None):
        with pytest.raises(ConvAtlasError, match="from 1 to 4096"):
            ca.bench("lenet1", batches=batches)
    for wish in ({"nets": 3}, {"nets": ["lenet1", 3]}, {"engines": 3}, {"precisions": 3}, {"vs": 1.5}):
        kind = "peers" if "vs" in wish else next(iter(wish))
        with pytest.raises(ConvAtlasError, match=f"^{kind} are given by name, one or several of them; got"):
            ca.bench(**{"nets": "lenet1"} | wish)
    with pytest.raises(ConvAtlasError, match="weights are given by a name or a path; got 3"):
        ca.bench("lenet1", weights=3)
    with pytest.raises(ConvAtlasError, match="nothing to measure"):
        ca.bench([])
    monkeypatch.setattr(peers, "installed", lambda name: False)
    with pytest.raises(ConvAtlasError, match="timm is not installed: pip install timm"):
        ca.bench("lenet1", vs=["timm"])
    monkeypatch.setattr(backend, "installed", lambda name: False)
    with pytest.raises(ConvAtlasError, match=r"pip install 'convatlas\[engines\]'"):
        ca.bench("lenet1", engines=["openvino"])
    assert not (store / "bench.json").exists()


def test_the_command(store: Path, tmp_path: Path, monkeypatch) -> None:
    words = ["bench", "linear", "--engines", "onnxruntime", "--batches", "2", "-o", str(tmp_path / "a.svg"), "--csv"]
    done = CliRunner().invoke(app, [*words, "--batches", "2"], catch_exceptions=False)
    assert len(done.output.splitlines()) == 2
    assert done.output.splitlines()[1].startswith("linear,2,onnxruntime,float32,")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    with pytest.raises(ConvAtlasError, match="none of these engines computes in int8"):
        CliRunner().invoke(app, [*words, "--precisions", "int8"], catch_exceptions=False)
    with pytest.raises(ConvAtlasError, match="use either --batches or --sweep"):
        CliRunner().invoke(app, [*words, "--sweep"], catch_exceptions=False)
    # Before minutes are spent.
    monkeypatch.setattr(benching.bench, "steps", None)
    with pytest.raises(ConvAtlasError, match=r"\.svg or \.png"):
        CliRunner().invoke(app, [*words[:-3], "-o", "a.txt"], catch_exceptions=False)


def test_one_may_be_given_alone(store: Path) -> None:
    bench = ca.bench("linear", engines="eager", precisions="float32", batches=2, vs="timm")
    assert [(time.engine, time.precision, time.batch) for time in bench.times] == [("eager", "float32", 2)]


def test_nets_of_the_user(store: Path) -> None:
    bench = ca.bench(["tests.engines.nets:digits", "tests.engines.nets:dense"], engines=["eager"], batches=[2])
    assert [(time.net, time.size) for time in bench.times] == [
        ("tests.engines.nets:digits", 32),
        ("tests.engines.nets:dense", 0),
    ]
    assert all(time.load > 0 and time.limit > 0 for time in bench.times)
    assert not bench.refused


def test_filters_are_those_of_list(store: Path, monkeypatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(benching, "resolve", lambda name, weights: names.append(name))
    monkeypatch.setattr(benching, "net_input", lambda net, **wish: None)
    monkeypatch.setattr(benching, "measure_roofline", lambda: None)

    class Stop(Exception):
        pass

    def timer(net, name, *rest):
        if len(names) == 3:
            raise Stop
        return Silent()

    class Silent:
        net = twin = shape = input = None

        def times(self, *cells):
            return []

    monkeypatch.setattr(benching, "NetTimer", timer)
    monkeypatch.setattr(benching, "slowest_layers", lambda *parts: [])
    monkeypatch.setattr(benching, "sample_inputs", lambda *parts: None)
    with pytest.raises(Stop):
        ca.bench(family="resnet", year=(2015, 2015), max_parameters="50M", batches=[1])
    expected = ca.list_nets(family="resnet", year=2015, max_parameters="50M", sort="family")
    assert names == [card.name for card in expected][:3]
    with pytest.raises(ConvAtlasError, match="name the nets, or choose them by family"):
        ca.bench("resnet50", family="resnet")
    with pytest.raises(ConvAtlasError, match="no net passes all filters"):
        ca.bench(family="lenet", min_top1=90)
    with pytest.raises(ConvAtlasError, match="a year is written as 2016"):
        CliRunner().invoke(app, ["bench", "--year", "old"], catch_exceptions=False)
