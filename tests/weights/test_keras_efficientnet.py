"""EfficientNet's two steps of normalization, by name and by path, against Keras' own path of weights="imagenet"."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity import subjects
from tests.parity.test_keras import BOUND, answer, arrays, distance
from tests.weights import keras_live
from tests.weights.test_keras import loaded, same

import convatlas as ca
from convatlas.nets.families.efficientnet import DEVIATION, MEAN
from convatlas.weights.lineages.keras import VARIANCE
from convatlas.weights.registry import origin


@dataclass(frozen=True)
class Published:
    """Files like the published ones: one rescaling, and deviations in place of variances; photos; Keras' answers."""

    folder: Path
    x: torch.Tensor
    answers: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def published() -> Iterator[Published]:
    draw = torch.Generator().manual_seed(0)
    net = ca.build("efficientnet_b0").eval()
    subjects.fill(net, draw)
    net.stem.standardize.mean.copy_(torch.tensor(MEAN))
    net.stem.standardize.variance.copy_(torch.tensor(DEVIATION))
    subjects.calibrate(net, subjects.photos(net, 16, 64, draw).float())
    x = subjects.photos(net, 2, 64, draw)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("CONVATLAS_HOME", str(folder / "home"))
        patch.setattr(origin("keras"), "file", lambda weights: folder / "weights.h5")
        yield Published(folder, x, keras_live.meet("EfficientNetB0", arrays(net, x.float()), x.numpy(), folder))


def test_published_statistics(published: Published) -> None:
    theirs = published.answers["published"]
    assert distance(published.answers["given"], theirs) > 0.1, "without the second step the answers are others"
    named = loaded("efficientnet_b0", weights="keras")
    same(named, published.x, theirs)
    # Given these files by their path, Keras computes `given`, which is wrong for published weights.
    for file in keras_live.FILES:
        net = loaded("efficientnet_b0", weights=str(published.folder / file))
        assert net.follows == "keras"
        same(net, published.x, theirs)
    own = ca.export(named, published.folder / "own.safetensors")
    same(loaded(str(own)), published.x, theirs)


def test_the_way_back_is_into_a_net_of_one_step(published: Published) -> None:
    named = loaded("efficientnet_b0", weights="keras")
    back = ca.export(named.float(), published.folder / "back.weights.h5")
    theirs = keras_live.answer("EfficientNetB0", back, published.x.numpy())
    assert distance(theirs, published.answers["published"]) <= BOUND
    # Read again it is what it says: a net of one step, whose variances are variances, and rounded to float32.
    again = ca.load("efficientnet_b0", weights=str(back))
    assert again.follows == ""
    exact = named.state_dict()[VARIANCE].double() * torch.tensor(DEVIATION, dtype=torch.float64)
    for name, tensor in named.state_dict().items():
        assert torch.equal(again.state_dict()[name], exact.float() if name == VARIANCE else tensor)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(tmp_path: Path, channels: int) -> None:
    file = ca.export(ca.build("efficientnet_b0"), tmp_path / "b0.weights.h5")
    assert ca.load("efficientnet_b0", weights=str(file)).follows == ""
    net = ca.load("efficientnet_b0", weights=str(file), convention="keras", channels=channels)
    assert net.follows == "keras"
    y = answer(net, torch.rand(2, channels, 64, 64) * 255, torch.float32)
    assert y.shape == (2, 1000)
    assert np.isfinite(y).all()
