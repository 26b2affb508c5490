"""The metadata in a file: all of it is JSON, and enough to prepare photos without this package."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from tests.engines.nets import digits
from torch import nn

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import cards
from convatlas.catalogue.lineages import Weights, weights_of
from convatlas.engines.export.metadata import Description, metadata_of
from convatlas.images.darknet import KINDS
from convatlas.images.decoding import read
from convatlas.images.preprocessing import GEOMETRIES, Preprocessing
from convatlas.images.steps import steps
from convatlas.nets.build import skeleton
from convatlas.predict.sessions import EngineSession
from convatlas.weights.lineage import lineage
from convatlas.weights.user_weights import UserLineage, adopt

SIZES = ((333, 500), (501, 500), (37, 501), (1, 7), (5, 1), (300, 2401), (2600, 130), (1, 1200))
EXAMPLE = Path(__file__).parents[2] / "examples" / "prepare_photos_yourself.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example, which knows Pillow and NumPy only."""
    specification = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def kinds() -> dict[str, Weights]:
    """Published weights of each way to prepare photos among the lineages."""
    rows = [row for name in cards() for row in weights_of(name)]
    return {f"{row.origin} {row.geometry} {row.interpolation} {row.pixels}": row for row in reversed(rows)}


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def test_all_ways_are_among_the_lineages() -> None:
    assert {row.geometry for row in kinds().values()} == {*GEOMETRIES, *KINDS}


@pytest.mark.parametrize("kind", kinds())
def test_the_example_prepares_photos_as_the_net_does(kind: str, example: ModuleType) -> None:
    row = kinds()[kind]
    net = skeleton(row.net)
    net.lineage = lineage(row)
    how = strict(metadata_of(net, (1,))["preprocessing"])
    for size in SIZES:
        pixels = photo(*size)
        x = example.prepare(Image.fromarray(pixels), how)
        right = net.preprocess(pixels).numpy()
        assert x.dtype == np.float32
        assert np.array_equal(x, right), size
    # Ink on light paper, and the other way round.
    for levels in (255 - photo(20, 30) // 4, photo(20, 30) // 4):
        levels[8:12, 10:20] = 255 - levels[8:12, 10:20]
        assert np.array_equal(example.prepare(Image.fromarray(levels), how), net.preprocess(levels).numpy())


def test_the_example_reads_an_exported_file(example: ModuleType, tmp_path: Path) -> None:
    net = digits()
    file = ca.export(net, tmp_path / "net.onnx")
    metadata = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert all(strict(text) is not None for text in metadata.values())
    pixels = photo(40, 61)
    x = example.prepare(Image.fromarray(pixels), strict(metadata["preprocessing"]))
    assert np.array_equal(x, net.preprocess(pixels).numpy())
    told = strict(metadata["preprocessing_steps"])
    assert told == list(steps(net.lineage.preprocessing))
    assert any("32 x 32" in step for step in told)
    assert strict(metadata["probabilities"]) == "softmax"
    assert strict(metadata["opset"]) == 20


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("size", [(320, 320), (260, 300)])
def test_a_graph_of_another_size_says_how_photos_get_that_size(
    kind: str, size: tuple[int, int], example: ModuleType
) -> None:
    row = kinds()[kind]
    net = skeleton(row.net)
    net.lineage = lineage(row)
    metadata = metadata_of(net, (net.channels, *size))
    x = example.prepare(Image.fromarray(photo(400, 500)), strict(metadata["preprocessing"]))
    assert x.shape == (net.channels, *size)
    described = Description.from_metadata(metadata, "net").lineage
    assert np.array_equal(x, described.prepare(photo(400, 500)))
    assert strict(metadata["preprocessing_steps"]) == list(steps(described.preprocessing))
    if row.geometry in GEOMETRIES:
        # On the longer side, the input shows as many pixels of the photo as before.
        before, after = (each.preprocessing.view(4000, 4000).columns for each in (net.lineage, described))
        shown = [axis.input / axis.resized * axis.length for axis in (before, after)]
        assert shown[1] == pytest.approx(shown[0], rel=0.02)


def own(size: int) -> nn.Module:
    """A net of somebody's own for photos of any size, whose weights prepare photos of `size`."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    adopt(net, UserLineage("own", "mine:make", "-", "", "", Preprocessing((size, size), resize=size), ("a", "b", "c")))
    return net


def test_an_engine_prepares_photos_of_the_size_that_it_takes(store: Path) -> None:
    net, pixels = own(24), photo(60, 80)
    fast = ca.accelerate(net, "eager", size=(40, 32))
    x = fast.preprocess(pixels)
    assert x.shape == (3, 40, 32)
    assert fast(x[None]).shape == (1, 3)
    assert ca.explain(fast, pixels, "occlusion").size == (40, 32)
    assert net.lineage.preprocessing.size == (24, 24)


def test_an_engine_takes_the_photos_that_a_job_prepares(store: Path) -> None:
    """A net that was loaded for another size is fed as its weights prepare photos."""
    net = ca.build("mobilenet_v2", size=64, classes=3).eval()
    net.lineage = own(32).lineage.plain()
    x = net.lineage.prepare(photo(60, 80))[None]
    assert EngineSession(net, "eager", "float32", "auto", 1)(x).shape == (1, 3)


def test_only_running_the_graph_needs_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("onnxruntime", "convatlas", "torch"):
        monkeypatch.setitem(sys.modules, missing, None)
    assert callable(runpy.run_path(str(EXAMPLE))["prepare"])
    monkeypatch.setattr(sys, "argv", ["prepare_photos_yourself.py", "net.onnx", "cat.jpg"])
    with pytest.raises(SystemExit, match=r"^the net runs in ONNX Runtime: pip install onnxruntime$"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example_decodes_files_as_the_net_does(example: ModuleType, tmp_path: Path) -> None:
    colours, grey = photo(40, 61), photo(61, 40)[:, :, 0]
    upright = Image.Exif()
    upright[0x0112] = 6
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgba.png": (Image.fromarray(np.dstack([colours, colours[::-1, :, 0]])), {}),
        "grey_and_alpha.png": (Image.fromarray(np.dstack([grey, grey[::-1]])), {}),
        "palette.png": (Image.fromarray(colours).quantize(20), {"transparency": 3}),
        "grey16.png": (Image.fromarray(grey.astype(np.uint16) * 256 + grey[::-1]), {}),
        "bits.png": (Image.fromarray(grey > 99), {}),
        "turned.jpg": (Image.fromarray(colours), {"exif": upright}),
        "four_inks.jpg": (Image.fromarray(colours).convert("CMYK"), {}),
    }
    for name, (image, options) in files.items():
        image.save(tmp_path / name, **options)
        assert np.array_equal(np.asarray(example.decode(tmp_path / name)), read(tmp_path / name)), name


@pytest.mark.parametrize("kind", [kind for kind in kinds() if "resize_crop" in kind or "crop_resize" in kind])
def test_the_arithmetic_in_the_steps_is_that_of_the_view(kind: str) -> None:
    preprocessing = lineage(kinds()[kind]).preprocessing
    text = " ".join(steps(preprocessing))

    def value(pattern: str, **values: int) -> int:
        found = re.search(pattern, text)
        assert found is not None, pattern
        return int(eval(found[1], {"round": round, "int": int, "min": min, "max": max} | values))

    for height, width in SIZES:
        view = preprocessing.view(height, width)
        short = min(height, width)
        if "crop_resize" in kind:
            s = value(r"square of s = (max\(.*?\)) pixels a", H=height, W=width)
            assert view.rows.length == view.columns.length == s
            assert value(r"from row (.*? // 2)", H=height, s=s) == view.rows.start
            assert value(r"column (.*? // 2)", W=width, s=s) == view.columns.start
            continue
        limit = value(r"If (.*?) > \d+, keep", H=height, W=width, s=short)
        central = value(r"only the central (\d+ \* s)", s=short)
        longest = central if limit > value(r" > (\d+), keep") else max(height, width)
        for axis, length, letter, name in (
            (view.rows, height, "H", "rows"),
            (view.columns, width, "W", "columns"),
        ):
            kept = min(length, longest)
            assert axis.length == kept
            assert axis.start == (value(r"from (\(side - .*?\) // 2)", side=length, s=short) if kept < length else 0)
            resized = value(rf"(int\(\d+ \* {letter} / s\)) {name}", **{letter: kept, "s": short})
            assert axis.resized == resized
            side = letter.lower()
            assert value(rf"{name} from (round\(\({side} - \d+\) / 2\))", **{side: resized}) == axis.offset


@pytest.mark.parametrize("name", cards())
def test_all_metadata_is_json(name: str) -> None:
    net = skeleton(name)
    rows = [row for row in weights_of(name) if row.outputs]
    net.lineage = lineage(rows[0]) if rows else None
    metadata = metadata_of(net, (3, 8, 8))
    values = {key: strict(text) for key, text in metadata.items()}
    assert values["net"] == values["card"]["name"] == name
    assert values["shape"] == [3, 8, 8]
    if rows:
        assert values["labels"] == list(net.lineage.class_names)
        assert len(values["preprocessing_steps"]) >= 4
    description = Description.from_metadata(metadata, "net")
    assert description.metadata().items() <= metadata.items()
    assert description.lineage == (net.lineage.for_shape((3, 8, 8)) if rows else None)
    with pytest.raises(WeightsError, match="net is of format '1'; this version of convatlas reads 2"):
        Description.from_metadata(metadata | {"convatlas": "1"}, "net")
