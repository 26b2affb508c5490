"""What the package knows of Keras by heart, against live Keras: order of layers, addresses, hashes, preprocessing."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from unittest import mock

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils
from keras.utils import img_to_array, load_img
from tests.parity.test_keras import KERAS
from tests.weights import keras_live

import convatlas as ca
from convatlas.catalogue.cards import cards
from convatlas.catalogue.lineages import Weights, all_weights, weights_of
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.build import skeleton
from convatlas.weights.formats.keras_order import layers
from convatlas.weights.lineage import lineage

ROWS = [row for row in all_weights() if row.origin == "keras"]
QUICK = ("xception", "resnet50", "resnet50_v2", "inception_v3", "mobilenet", "convnext_tiny")

# The sections "License" of the documentation of Keras 2.3 (keras-team/keras, docs/templates/applications.md), which
# says nothing of EfficientNet; ConvNeXt's weights are of facebookresearch/ConvNeXt, whose README says MIT.
LICENCES = {
    "xception": "MIT",
    "vgg": "CC-BY-4.0",
    "resnet": "MIT",
    "resnet_v2": "BSD-3-Clause",
    "inception": "Apache-2.0",
    "inception_resnet": "Apache-2.0",
    "mobilenet": "Apache-2.0",
    "mobilenet_v2": "Apache-2.0",
    "densenet": "BSD-3-Clause",
    "nasnet": "Apache-2.0",
    "efficientnet": "",
    "convnext": "MIT",
}


def each(names: Iterable[str], *, sweep: bool = False) -> list[object]:
    return [pytest.param(name, marks=[pytest.mark.sweep] if sweep else []) for name in names]


def snake(name: str) -> str:
    """Spell a class as a `.weights.h5` does: BatchNormalization as batch_normalization, Conv2D as conv2d."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def same_order(name: str) -> None:
    order, kinds, shapes = keras_live.order(cards()[name].published_name)
    ours = layers(skeleton(name))
    assert [layer.kind for layer in ours] == [snake(kind) for kind in kinds]
    assert [[array.stored for array in layer.arrays] for layer in ours] == shapes
    paths = [layer.arrays[0].name for layer in ours]
    state = list(skeleton(name).state_dict())
    called = sorted(paths, key=state.index)
    assert [called.index(path) for path in paths] == order


@pytest.mark.parametrize("name", each(QUICK))
def test_the_order_of_the_layers(name: str) -> None:
    same_order(name)


@pytest.mark.parametrize("name", each([name for name in KERAS if name not in QUICK], sweep=True))
def test_the_order_of_the_layers_of_all_other_nets(name: str) -> None:
    same_order(name)


class Asked(Exception):
    """Keras asked for its published file."""


def same_file(row: Weights) -> None:
    def ask(name: str, address: str, *, file_hash: str | None = None, **_: object) -> None:
        raise Asked(address, file_hash or "")

    with mock.patch.object(file_utils, "get_file", ask), keras_live.any_backend(), pytest.raises(Asked) as asked:
        getattr(keras.applications, row.model)(include_top=row.outputs > 0)
    keras.backend.clear_session()
    assert asked.value.args == (row.address, row.hash)


@pytest.mark.parametrize("row", [row for row in ROWS if row.net in ("mobilenet", "mobilenet_v2")], ids=str)
def test_the_published_files(row: Weights) -> None:
    same_file(row)


@pytest.mark.sweep
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.net}-{row.name}") for row in ROWS])
def test_all_published_files(row: Weights) -> None:
    same_file(row)


def module(row: Weights) -> object:
    return importlib.import_module(getattr(keras.applications, row.model).__module__)


@pytest.mark.parametrize("name", KERAS)
def test_the_rest_of_the_catalogue(name: str) -> None:
    card = cards()[name]
    rows = [row for row in weights_of(name) if row.origin == "keras"]
    assert [row.name for row in rows] == ["keras", "keras/notop"]
    assert rows[0] == weights_of(name)[0], "Keras' are the default where Lite has none"
    source = "".join(map(inspect.getsource, (module(rows[0]), keras.src.applications.resnet)))
    for row in rows:
        assert row.hash in source, "hashes stand in Keras' own code"
        assert bool(row.hash) == (card.family not in ("mobilenet", "mobilenet_v2"))
        assert row.file == row.address.rpartition("/")[2]
        assert row.model == card.published_name
        assert row.licence == LICENCES["resnet_v2" if name.endswith("_v2") and card.family == "resnet" else card.family]
        assert (row.size, row.size, 3) == card.input
        assert (row.geometry, row.resize, row.interpolation) == ("squash", row.size, "nearest")
    printed = [card.figures[top].printed.rstrip("%") if top in card.figures else "" for top in ("top1", "top5")]
    assert [(row.outputs, row.top1, row.top5) for row in rows] == [(1000, *printed), (0, "", "")]


@pytest.mark.parametrize("name", KERAS)
def test_photos_are_prepared_as_keras_does(name: str) -> None:
    """Bit for bit, after Keras' own loader."""
    row = weights_of(name)[0]
    net = skeleton(name)
    net.lineage = lineage(row)
    for photo in SAMPLES if row.size == 224 else SAMPLES[:1]:
        pixels = img_to_array(load_img(sample(photo), target_size=(row.size, row.size)))
        theirs = module(row).preprocess_input(pixels)
        ours = net.preprocess(sample(photo)).numpy()
        assert ours.dtype == theirs.dtype == np.float32
        assert np.array_equal(ours, theirs.transpose(2, 0, 1))


def test_all_nets_of_keras_are_there() -> None:
    assert len(KERAS) == 38
    assert {row.net for row in ROWS} == {card.name for card in ca.list_nets(lineage="keras")} == set(KERAS)
