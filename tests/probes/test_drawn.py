"""Explanations as they are drawn: in the command line, with an opacity, on the layer's own grid, with what to know."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.cli.app import app
from convatlas.images.samples import sample
from convatlas.probes.picture import overlay, sheet
from convatlas.probes.report import write
from tests.probes.nets import Functional

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
LENET = ["explain", str(sample("rocket")), "--net", "lenet5"]


def small() -> nn.Module:
    torch.manual_seed(0)
    return Functional().eval()


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def drawn(path: Path) -> list[NDArray[np.uint8]]:
    """The maps over their photos in a report."""
    images = re.findall(r"data:image/png;base64,([^\"]*)", path.read_text("utf-8"))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB")) for each in images]


def test_layers_of_the_command_line(tmp_path: Path) -> None:
    rows = json.loads(run(*LENET, "--probe", "grad_cam,hires_cam", "--target", "7", "--layer", "c1,c3", "--json"))
    assert [(row["probe"], row["layer"]) for row in rows] == [
        (probe, layer) for probe in ("grad_cam", "hires_cam") for layer in ("c1", "c3")
    ]
    with pytest.raises(ConvAtlasError, match="got 2"):
        run(*LENET, "--layer", "c1,c3", "-o", str(tmp_path / "maps.npz"))


def test_all_layers_of_the_command_line(tmp_path: Path) -> None:
    report = tmp_path / "all.html"
    rows = json.loads(run(*LENET, "--layer", "all", "-o", str(report), "--json"))
    assert len(drawn(report)) == len(rows) > 3
    assert report.read_text("utf-8").count("<section") == 1


def test_native_cells_and_opacity_of_the_command_line(tmp_path: Path) -> None:
    report = tmp_path / "map.html"
    run(*LENET, "--layer", "c3", "--native", "--opacity", "1", "-o", str(report))
    result = ca.explain("lenet5", sample("rocket"), "grad_cam", layer="c3")
    assert np.array_equal(drawn(report)[0], overlay(result, 1, native=True))
    run(*LENET, "--layer", "c3", "-o", str(report))
    assert np.array_equal(drawn(report)[0], overlay(result))
    with pytest.raises(ConvAtlasError, match=r"from 0 to 1; got 1\.5"):
        run(*LENET, "--opacity", "1.5")


@pytest.mark.parametrize("opacity", [-0.1, 1.01, float("nan"), "half", True])
def test_an_opacity_is_a_number_from_0_to_1(opacity: object) -> None:
    result = ca.explain(small(), X, "sobel", 1)
    with pytest.raises(ConvAtlasError, match="an opacity is a number from 0 to 1"):
        result.picture(opacity)


def test_opacity_goes_from_the_photo_to_the_map() -> None:
    result = ca.explain(small(), X, "grad_cam", 1)
    assert result.shown is not None
    clear, half, full = (overlay(result, opacity).astype(int) for opacity in (0, 0.5, 1))
    grey = np.rint(result.shown.mean(2, keepdims=True)).astype(int)
    assert np.abs(clear - grey).max() <= 1
    assert np.abs(half - (clear + full) / 2).max() <= 1
    strongest = np.unravel_index(np.abs(result.on_input()).argmax(), result.size)
    # The full colour hides the photo: it is the colour of the scale's end.
    red, _, blue = full[strongest]
    assert (red > blue) == (result.on_input()[strongest] > 0)


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_the_scale_is_the_same_at_any_opacity(opacity: float) -> None:
    result = ca.explain(small(), X, "grad_cam", 1)
    scales = [re.findall(r">(-?[\d.e-]+)<", result.picture(each).svg()) for each in (opacity, 0.65)]
    assert scales[0] == scales[1]
    # The scale's own colours do not depend on it: all that differs are the pixels of the photo.
    images = [re.findall(r"data:image/png;base64,([^\"]*)", result.picture(each).svg()) for each in (opacity, 0.65)]
    assert images[0][1] == images[1][1]
    assert images[0][0] != images[1][0]


def test_a_native_picture_has_the_layer_s_grid() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).eval()
    torch.manual_seed(0)
    result = ca.explain(net, X * 0 + 0.5, "hires_cam", 1)
    pixels = overlay(result, 1, native=True)
    assert result.values.shape == (4, 4)
    cells = pixels.reshape(4, 4, 4, 4, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    assert len(np.unique(cells[:, 0, :, 0].reshape(-1, 3), axis=0)) > 4
    smooth = overlay(result, 1).reshape(4, 4, 4, 4, 3)
    assert not (smooth == smooth[:, :1, :, :1]).all()


def test_recovery_of_the_image_is_said_in_picture_and_report(tmp_path: Path) -> None:
    result, other = ca.explain(small(), X, ["guided_backprop", "saliency"], 1)
    said = "recovers the image rather than explains the net"
    assert said in _words(result.picture().svg())
    assert said not in _words(other.picture().svg())
    assert said in _words(sheet([other, result]).svg())
    page = write([result], tmp_path / "a.html").read_text("utf-8")
    assert "ecovers the image rather than explains the net" in page
    assert "ecovers the image" not in write([other], tmp_path / "b.html").read_text("utf-8")


def _words(svg: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", svg).split())


def test_a_map_without_positive_values_is_announced() -> None:
    class Against(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -self.conv(x).square().mean((2, 3))

    result = ca.explain(Against().eval(), X, "hires_cam", 1, layer="conv")
    assert result.values.max() <= 0
    note = "no value is positive: nothing speaks for the target"
    assert note in result.notes
    assert note in _words(result.picture().svg())
