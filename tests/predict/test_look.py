"""A photo in front of a net: what the net gets, and what one looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.anatomy.pictures import check_words

from convatlas.base.errors import ConvAtlasError, StoreError, WeightsError
from convatlas.images.decoding import read
from convatlas.images.samples import sample
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import Text, flat
from convatlas.predict.inputs import net_input
from convatlas.predict.look import look


def test_weights_bring_their_own_preparation() -> None:
    found = net_input("efficientnet_lite0", sample("chelsea"))
    assert found.caption == "Weights: lite."
    prepared = found.net.lineage.prepare(sample("chelsea"))
    assert np.array_equal(found.x[0].numpy(), prepared)
    assert np.array_equal(found.pixels, np.rint(prepared.transpose(1, 2, 0) * 128 + 127).clip(0, 255))


def test_without_weights_the_photo_is_resized() -> None:
    found = net_input("lenet4_dense", sample("coffee"))
    assert found.caption.startswith("Weights: random, seed 0. The photo was resized")
    assert found.x.shape == (1, 1, 32, 32)
    assert 0 <= float(found.x.min()) < float(found.x.max()) <= 1
    grey = Image.fromarray(read(sample("coffee"))).resize((32, 32), Image.Resampling.BICUBIC).convert("L")
    assert np.array_equal(found.pixels[..., 1], np.asarray(grey))
    assert net_input("resnet18", sample("coffee"), weights="none", size=64).x.shape == (1, 3, 64, 64)


def test_a_lineage_that_is_asked_for_must_be_there() -> None:
    with pytest.raises(WeightsError):
        net_input("lenet5", sample("coffee"), weights="lite")


def test_a_net_of_ones_own() -> None:
    found = net_input("torchvision.models:squeezenet1_0", sample("coffee"), size=64)
    assert found.caption.startswith("Weights: its own. The photo was resized")
    assert found.x.shape == (1, 3, 64, 64)
    with pytest.raises(ConvAtlasError, match="1 or 3 channels"):
        net_input(f"{__name__}:five_channels", sample("coffee"))


def five_channels() -> torch.nn.Module:
    return torch.nn.Conv2d(5, 2, 3)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"field": "stage4,3,4"}, "Unit 3,4 of 80 maps"),
        ({"field": "stage4"}, "Unit 7,7 of 80 maps"),
        ({"maps": "stem"}, "32 maps of 112×112"),
        ({"filters": True}, "32 kernels of 3×3×3"),
        ({"pixel": "stem.conv,3,40,40"}, "stem.conv: map 3, row 40, column 40"),
    ],
)
def test_pictures(wish: dict[str, object], said: str) -> None:
    picture = look("efficientnet_lite0", sample("chelsea"), **wish)
    check_words(picture)
    text = words(picture)
    assert said in text
    assert ("Strides and preprocessing of the lite weights." if "field" in wish else "Weights: lite.") in text


def words(picture: Picture) -> str:
    return " ".join(shape.text for shape in flat(picture.shapes) if isinstance(shape, Text))


def test_a_field_needs_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched: of a lineage its strides and its preparation alone are asked."""
    monkeypatch.setattr("convatlas.predict.inputs.load", None)
    keras = words(look("resnet50", sample("chelsea"), field="conv3.block1.branch.conv1.act"))
    torchs = words(look("resnet50", sample("chelsea"), field="conv3.block1.branch.conv1.act", weights="torchvision"))
    # The stride stands in the first convolution of a block, or in the second.
    assert "maps of 28×28" in keras
    assert "maps of 56×56" in torchs
    assert "Strides and preprocessing of the torchvision/IMAGENET1K_V2 weights." in torchs
    assert "resized to the net's input" in words(look("vgg16", sample("chelsea"), field="block1", size=64))
    assert "maps of 5×5" in words(look("lenet5", sample("chelsea"), field="s4"))
    with pytest.raises(WeightsError):
        look("lenet5", sample("chelsea"), field="s4", weights="lite")


def test_the_shape_alone_is_prepared_as_the_weights_are() -> None:
    whole, shape = (net_input("efficientnet_lite0", sample("chelsea"), shape_only=alone) for alone in (False, True))
    assert torch.equal(whole.x, shape.x)
    assert np.array_equal(whole.pixels, shape.pixels)
    assert next(shape.net.parameters()).is_meta


def test_another_size_than_the_weights_have_is_told_of() -> None:
    with pytest.raises(ConvAtlasError, match="photos for the lite weights have 224 x 224 pixels, not 128 x 128"):
        look("efficientnet_lite0", sample("chelsea"), maps="stem", size=128)
    assert "32 maps of 64×64" in words(
        look("efficientnet_lite0", sample("chelsea"), maps="stem", size=128, weights="none")
    )
    assert "32 maps of 112×112" in words(look("efficientnet_lite0", sample("chelsea"), maps="stem", size=224))


def test_genes_are_looked_at_too() -> None:
    signed = words(look("lenet5", sample("chelsea"), maps="c1"))
    assert "blue below 0" in signed
    assert "black at 0" in words(look("lenet5", sample("chelsea"), maps="c1", genes={"activation": "relu"}))
    with pytest.raises(ConvAtlasError, match="nets of the atlas"):
        look("torchvision.models:resnet18", sample("chelsea"), filters=True, genes={"activation": "relu"})


def test_kernels_are_no_matter_of_the_photo() -> None:
    said = words(look("lenet5", sample("chelsea"), filters=True))
    assert said == "Kernels of c1.conv 0 1 2 3 4 5 6 kernels of 5×5: blue below 0, red above. Weights: own/mnist."


def test_weights_that_are_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path))
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    with pytest.raises(StoreError, match="or choose 'none' as weights"):
        look("resnet18", sample("chelsea"), maps="stem")


@pytest.mark.parametrize(
    "wish", [{"field": "stem,1"}, {"field": ",1,1"}, {"pixel": "stem"}, {"pixel": "stem,1,2,x"}, {}]
)
def test_wishes_that_are_none(wish: dict[str, str]) -> None:
    with pytest.raises(ConvAtlasError, match=r"LAYER|choose one"):
        look("efficientnet_lite0", sample("chelsea"), **wish)


def test_the_number_is_that_of_the_layer(tmp_path: Path) -> None:
    """In float64, whatever the photo."""
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 40, 3), np.uint8)).save(tmp_path / "x.png")
    picture = look("lenet5", tmp_path / "x.png", pixel="c3,15,4,4")
    said = [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]
    at = said.index("sum, in float64")
    assert said[at + 1] == said[said.index("the layer gives") + 1]
