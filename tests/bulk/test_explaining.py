"""Maps are those of explain; their boxes lie where the net looked; a photo that a probe refuses has its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from tests.bulk.photos import NET, answers, check_once, photos
from tests.predict.detectors import quiet_detector
from torch import Tensor, nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.bulk import explaining
from convatlas.bulk.explaining import ExplainTask, box_of
from convatlas.bulk.job import Job
from convatlas.cli.app import app
from convatlas.images.preprocessing import Preprocessing
from convatlas.images.samples import SAMPLES, sample
from convatlas.probes.attribution import Grid
from convatlas.weights.user_weights import UserLineage, adopt


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("photos"), 5)


@pytest.mark.parametrize("settings", [{}, {"probe": "deep_lift", "target": "contrast:3/5"}, {"probe": "occlusion"}])
def test_maps_are_those_of_explain(folder: Path, tmp_path: Path, settings: Mapping[str, str]) -> None:
    result = ca.batch("explain", folder, tmp_path, **NET, **settings, shard=2)
    assert (result.photos, result.shards, result.answered, result.unread) == (5, 3, 5, ())
    check_once(tmp_path, folder)
    table, net = answers(tmp_path), ca.load("lenet5")
    assert table.schema.field("map").type == pa.list_(pa.list_(pa.float32()))
    assert table.schema.field("index").type == pa.int32()
    for row in table.to_pylist():
        right = ca.explain(net, net.preprocess(folder / row["path"]), **{"probe": "grad_cam"} | dict(settings))
        assert np.array_equal(np.array(row["map"], np.float32), right.map.astype(np.float32))
        assert (row["label"], row["index"], row["error"]) == (right.target, right.index, None)
        assert row["score"] == np.float32(right.score)
        assert row["residual"] == (None if right.residual is None else np.float32(right.residual))
    assert (table["residual"].null_count == 0) == (settings.get("probe") == "deep_lift")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = quiet_detector(tmp_path_factory.mktemp("weights"), -2)
    return {"net": "yolo_v3_tiny", "weights": str(path)}


def test_detectors_are_explained_for_their_best_box(detector: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(str(sample(name)) for name in list(SAMPLES)[:2]))
    how = {"task": "explain", "photos": tmp_path / "list.txt", "threshold": 0.06, **detector}
    ca.batch(output=tmp_path / "out", **how)
    net = ca.load(detector["net"], weights=detector["weights"])
    for row in answers(tmp_path / "out").to_pylist():
        right = ca.explain(net, row["path"], "grad_cam", "box:0")
        assert (row["label"], row["index"], row["error"]) == (right.target, right.index, None)
        assert row["score"] == pytest.approx(right.score, abs=1e-5)
        assert np.array(row["map"]) == pytest.approx(right.map, abs=1e-4 * np.abs(right.map).max())
    ca.batch(output=tmp_path / "none", **how | {"threshold": 0.99})
    for row in answers(tmp_path / "none").to_pylist():
        assert row["map"] is row["score"] is None
        assert "nothing is detected" in row["error"]
    with pytest.raises(ConvAtlasError, match="detectors run in eager mode"):
        ca.batch(output=tmp_path / "fast", **how | {"probe": "occlusion", "engine": "openvino"})


def test_the_box_of_a_cropped_photo() -> None:
    """Of 300 x 400 pixels, 256 x 341 remain, of which the central 224 x 224 are shown."""
    view = Preprocessing(resize=256, size=(224, 224)).view(300, 400)
    seven = Grid(7, 16, 32), Grid(7, 16, 32)
    rows, columns = 300 / 256, 400 / 341
    assert box_of(seven, view) == pytest.approx([58 * columns, 16 * rows, (58 + 224) * columns, (16 + 224) * rows])
    # Cells whose centres are not in the middle of the input: from 4 to 28 down, from -3 to 29 across.
    other = Grid(3, 8, 8), Grid(4, 1, 8)
    assert box_of(other, view) == pytest.approx([55 * columns, 20 * rows, (58 + 29) * columns, (16 + 28) * rows])


@pytest.mark.parametrize("probe", ["grad_cam", "saliency"])
def test_cells_of_a_map_lie_where_explain_places_them(tmp_path: Path, probe: str) -> None:
    """Pixels of the photo have the value of the cell of the box that they lie in."""
    Image.effect_noise((90, 61), 80).save(tmp_path / "wide.png")
    (tmp_path / "list.txt").write_text("wide.png\n")
    ca.batch("explain", tmp_path / "list.txt", tmp_path / "out", **NET, probe=probe)
    (row,) = answers(tmp_path / "out").to_pylist()
    cells, (left, top, right, bottom) = np.array(row["map"]), row["box"]
    y = (np.arange(61) + 0.5 - top) / (bottom - top) * cells.shape[0]
    x = (np.arange(90) + 0.5 - left) / (right - left) * cells.shape[1]
    # Beyond the outermost cells explain continues the map; on the edge of two cells either is right.
    rows, columns = (np.flatnonzero((at > 0) & (at < n) & (np.abs(at - np.rint(at)) > 1e-3)) for at, n in
                     ((y, cells.shape[0]), (x, cells.shape[1])))  # fmt: skip
    assert min(len(rows), len(columns)) > 20
    expected = ca.explain("lenet5", tmp_path / "wide.png", probe).on_photo(native=True)[np.ix_(rows, columns)]
    seen_by_net = np.isfinite(expected)
    assert seen_by_net.sum() > 400
    values = cells[np.ix_(y[rows].astype(int), x[columns].astype(int))]
    assert values[seen_by_net] == pytest.approx(expected[seen_by_net], rel=1e-6)


def test_an_interrupted_run_goes_on_with_the_same_maps(folder: Path, tmp_path: Path) -> None:
    how = {"photos": folder, "output": tmp_path, "probe": "rise", "target": "7", "shard": 2} | NET
    ca.batch("explain", **how)
    before = answers(tmp_path)
    (tmp_path / "shard-000001.parquet").unlink()
    assert ca.batch("explain", **how).answered == 2
    assert answers(tmp_path).equals(before)
    assert ca.batch("explain", **how | {"probe": "RISE"}).answered == 0
    with pytest.raises(ConvAtlasError, match="probe is 'rise' and not 'grad_cam'"):
        ca.batch("explain", **how | {"probe": None})
    with pytest.raises(ConvAtlasError, match="target is '7' and not 'top'"):
        ca.batch("explain", **how | {"target": None})
    written = json.loads(before.schema.metadata[b"convatlas"])
    assert (written["task"], written["probe"], written["target"]) == ("explain", "rise", "7")
    assert "top" not in written


def test_refused_and_unreadable_photos_have_a_row_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, genuine = photos(tmp_path / "photos", 4), explaining.explain
    (folder / "000" / "00001.png").write_bytes(b"")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "000" / "00002.png")
    blank = ca.load("lenet5").preprocess(folder / "000" / "00002.png")

    def refusing(net: Any, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        if torch.equal(x, blank):
            raise ConvAtlasError("this map is ill-conditioned")
        return genuine(net, x, *rest, **more)

    monkeypatch.setattr(explaining, "explain", refusing)
    result = ca.batch("explain", folder, tmp_path / "out", **NET, shard=3)
    rows = answers(tmp_path / "out").to_pylist()
    assert [row["error"] is None for row in rows] == [True, False, False, True]
    assert rows[2]["error"] == f"{str(folder / '000' / '00002.png')!r}: this map is ill-conditioned"
    assert all(rows[2][name] is None for name in ExplainTask.column_types)
    assert [photo.reason for photo in result.unread] == [rows[1]["error"], rows[2]["error"]]
    assert str(result).endswith("2 could not be read or explained")


def test_an_engine_out_of_memory_stops_the_job(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise MemoryError("bad allocation")

    monkeypatch.setattr(explaining, "explain", fails)
    with pytest.raises(ConvAtlasError, match=r"^eager float32 fails \(bad allocation\); finished shards are whole"):
        ca.batch("explain", folder, tmp_path, **NET)
    assert not list(tmp_path.glob("shard-*"))


def test_the_engine_of_the_job_computes_scores(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine itself is tried in the sweep; eager mode stands for it here."""
    requested = []

    def eager(net: Any, engine: str, precision: str, *, batch: int, size: tuple[int, int]) -> Any:
        requested.append((engine, precision, batch, size))
        return ca.accelerate(net, "eager", batch=batch)

    monkeypatch.setattr(explaining, "accelerate", eager)
    for probe, calls in (("saliency", []), ("occlusion", [("auto", "float32", 16, (32, 32))])):
        result = ca.batch("explain", folder, tmp_path / probe, net="lenet5", probe=probe)
        assert result.engines[0].startswith("eager float32")
        assert requested == calls


def test_black_boxes_run_in_engines(folder: Path, tmp_path: Path) -> None:
    engine = {"net": "lenet5", "engine": "onnxruntime", "probe": "occlusion"}
    result = ca.batch("explain", folder, tmp_path / "fast", **engine)
    assert result.engines[0].startswith("onnxruntime")
    ca.batch("explain", folder, tmp_path / "eager", **engine | {"engine": "eager"})
    fast, eager = (np.array(answers(tmp_path / name)["map"].to_pylist()) for name in ("fast", "eager"))
    assert np.abs(fast - eager).max() <= 1e-4 * np.abs(eager).max()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"probe": "grad_cem"}, "did you mean grad_cam"),
        ({"probe": 3}, "the probe of a job is a text"),
        ({"probe": "deep_dream"}, "makes pictures and no map"),
        ({"probe": "tcav"}, "makes pictures and no map"),
        ({"probe": "d_rise"}, "this net detects none"),
        ({"probe": "guided_backprop"}, "has no ReLU to change"),
        ({"probe": "grad_cam", "engine": "openvino"}, "runs in eager mode in float32, not in openvino"),
        ({"probe": "occlusion", "engine": "auto", "precision": "int8"}, "not computed in int8"),
        ({"target": "ten"}, "no class is called 'ten'"),
        ({"target": "10"}, "classes 0 to 9"),
        ({"target": 3}, "the target of a job is a text"),
        ({"target": "box:0"}, "detects no boxes"),
        ({"top": 3}, "leave out top"),
        ({"task": "classify", "probe": "grad_cam"}, "settings of the task explain, not of classify"),
        ({"task": "embed", "target": "3"}, "settings of the task explain, not of embed"),
    ],
    ids=str,
)
def test_wrong_settings(folder: Path, tmp_path: Path, change: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(ConvAtlasError, match=expected) as error:
        ca.batch(**{"task": "explain", "photos": folder, "output": tmp_path / "out"} | NET | dict(change))
    assert str(error.value).isprintable()
    assert not list(tmp_path.glob("out/shard-*"))


def test_the_command(folder: Path, tmp_path: Path) -> None:
    words = ["batch", "explain", str(folder), "-o", str(tmp_path), "--net", "lenet5", "--engine", "eager", "--json"]
    done = CliRunner().invoke(app, [*words, "--probe", "saliency", "--target", "probability:4"], catch_exceptions=False)
    assert (done.exit_code, json.loads(done.stdout)["task"]) == (0, "explain")
    assert set(answers(tmp_path)["label"].to_pylist()) == {"probability of 4"}


def test_the_default_net() -> None:
    assert Job("explain").source == ("efficientnet_lite0", None)
    assert Job("explain").explanation == ("grad_cam", "top")


class Corners(nn.Module):
    """A detector of one's own: two boxes, in two corners of the photo, as a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        bright = self.gain * x
        return {"objects": torch.stack([bright[:, 0, :8, :8].mean((1, 2)), bright[:, 0, 8:, 8:].mean((1, 2))], 1)}

    def decode_boxes(self, output: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        objects = output["objects"]
        corners = objects.new_tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 16.0, 16.0]]).expand(len(objects), -1, -1)
        return corners, objects, objects.new_ones(len(objects), 2, 1)


def corners() -> nn.Module:
    net = Corners()
    preprocessing = Preprocessing((16, 16), resize=16, mean=(0.0,), std=(1.0,))
    adopt(net, UserLineage("own", "tests.bulk.test_explaining:corners", "-", "", "", preprocessing, ("thing",)))
    return net


def test_a_detector_of_one_s_own_is_explained_for_its_best_box(tmp_path: Path) -> None:
    for name, brightness in (("bright", 255), ("dark", 20)):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[8:, 8:] = brightness
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    how = {"net": "tests.bulk.test_explaining:corners", "probe": "saliency"}
    ca.batch("explain", tmp_path / "photos", tmp_path / "out", **how)
    bright, dark = answers(tmp_path / "out").to_pylist()
    assert (bright["label"], bright["index"], bright["error"]) == ("box 0: thing", 0, None)
    assert bright["score"] == pytest.approx(1)
    values = np.array(bright["map"])
    assert values[8:, 8:] == pytest.approx(1 / 64)
    assert not values[:8].any()
    assert dark["map"] is None
    assert "nothing is detected" in dark["error"]
