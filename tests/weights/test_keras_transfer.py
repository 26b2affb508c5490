"""Models of transfer learning, as Keras' guides build them, answer as in live Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.nets.net import Net

SIZE = 64


def base(net: str = "MobileNet", **options: object) -> keras.Model:
    """A net of `keras.applications` without its top, with random weights and statistics."""
    draw = np.random.default_rng(0)
    model = getattr(keras.applications, net)(
        **{"include_top": False, "weights": None, "input_shape": (SIZE, SIZE, 3), **options}
    )
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            variable.assign(draw.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape))
        elif shape:
            positive = any(word in variable.path for word in ("variance", "gamma"))
            variable.assign(draw.uniform(0.5, 1.5, shape) if positive else draw.normal(0, 0.1, shape))
    return model


def trainable(model: keras.Model) -> None:
    model.trainable = True


def frozen(model: keras.Model) -> None:
    model.trainable = False


def half_frozen(model: keras.Model) -> None:
    model.trainable = True
    for layer in model.layers[: len(model.layers) // 2]:
        layer.trainable = False


FREEZING: dict[str, Callable[[keras.Model], None]] = {"all": trainable, "none": frozen, "half": half_frozen}


def sequential(net: keras.Model) -> keras.Model:
    return keras.Sequential([net, layers.GlobalAveragePooling2D(), layers.Dense(3)])


def functional(net: keras.Model) -> keras.Model:
    photo = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D()(net(layers.RandomFlip()(photo), training=False))
    return keras.Model(photo, layers.Dense(3)(layers.Dropout(0.2)(x)))


def flat(net: keras.Model) -> keras.Model:
    return keras.Model(net.input, layers.Dense(3)(layers.GlobalAveragePooling2D()(net.output)))


FORMS = {"sequential": sequential, "functional": functional, "flat": flat}


def written(model: keras.Model, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def distance(net: Net, model: keras.Model) -> float:
    x = np.random.default_rng(1).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype("float32")
    theirs = keras.ops.convert_to_numpy(model(x, training=False))
    with torch.no_grad():
        ours = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert theirs.std() > 1e-3
    return float(np.abs(ours - theirs).max() / theirs.std())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("learning", FREEZING)
def test_models_of_mobilenet(form: str, learning: str, tmp_path: Path) -> None:
    net = base()
    model = FORMS[form](net)
    FREEZING[learning](net)
    for ending in (".keras", ".h5", ".weights.h5", ".hdf5"):
        loaded = ca.load("mobilenet", weights=written(model, tmp_path / f"pets{ending}"))
        assert loaded.classes == 3
        assert distance(loaded, model) < 1e-4, ending


@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny", "Xception", "DenseNet121", "InceptionV3"])
def test_models_of_other_nets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.weights.test_keras_transfer.SIZE", 96)
    ours = {"EfficientNetB0": "efficientnet_b0", "ConvNeXtTiny": "convnext_tiny", "InceptionV3": "inception_v3"}
    net = base(name, input_shape=(96, 96, 3), pooling="avg")
    net.trainable = False
    model = keras.Sequential([net, layers.Dense(3)])
    for ending in (".keras", ".h5", ".weights.h5"):
        loaded = ca.load(ours.get(name, name.lower()), weights=written(model, tmp_path / f"pets{ending}"))
        assert distance(loaded, model) < 1e-3, ending


def test_a_list_of_weights_of_a_partly_frozen_net_is_ambiguous(tmp_path: Path) -> None:
    """Keras lists what is trainable first; only the description of the whole model gives the order of the layers."""
    net = base()
    model = sequential(net)
    for freeze in (trainable, frozen, half_frozen):
        freeze(net)
        path = tmp_path / f"{freeze.__name__}.h5"
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
        if freeze is half_frozen:
            with pytest.raises(WeightsError, match="was saved with a part of the net frozen"):
                ca.load("mobilenet", weights=path)
        else:
            assert distance(ca.load("mobilenet", weights=path), model) < 1e-4


HEADS: dict[str, tuple[Callable[[keras.Model], keras.Model], str]] = {
    "two dense layers": (
        lambda net: keras.Sequential([net, layers.GlobalAveragePooling2D(), layers.Dense(8), layers.Dense(3)]),
        r"after the base, one layer has weights in ours, and here dense\w*, dense",
    ),
    "a maximum": (
        lambda net: keras.Sequential([net, layers.GlobalMaxPooling2D(), layers.Dense(3)]),
        r"it has a layer global_max_pooling2d, which ours lacks",
    ),
    "all pixels": (
        lambda net: keras.Sequential([net, layers.Flatten(), layers.Dense(3)]),
        r"layers/dense/vars/0 is \(4096, 3\) for \(1024, 3\)",
    ),
    "no bias": (
        lambda net: keras.Sequential([net, layers.GlobalAveragePooling2D(), layers.Dense(3, use_bias=False)]),
        r"holds another net: 1 arrays in layers/dense, not 2",
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_other_heads_are_refused_by_the_names_in_the_file(head: str, tmp_path: Path) -> None:
    make, words = HEADS[head]
    with pytest.raises(WeightsError, match=words):
        ca.load("mobilenet", weights=written(make(base()), tmp_path / "pets.weights.h5"))


def ends(model: keras.Model, *last: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([model, layers.GlobalAveragePooling2D(), *last])


ACTIVATIONS: dict[str, Callable[[keras.Model], keras.Model]] = {
    "sigmoid": lambda net: ends(net, layers.Dense(3, activation="sigmoid")),
    "tanh": lambda net: ends(net, layers.Activation("tanh"), layers.Dense(3)),
    "relu": lambda net: keras.Model(
        net.input, layers.Activation("relu")(layers.Dense(3)(layers.GlobalAveragePooling2D()(net.output)))
    ),
}


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_other_activations_are_refused_where_the_file_names_them(activation: str, ending: str, tmp_path: Path) -> None:
    path = written(ACTIVATIONS[activation](base()), tmp_path / f"pets{ending}")
    with pytest.raises(WeightsError, match=rf"its last layers have an activation {activation}, ours none"):
        ca.load("mobilenet", weights=path)


def test_a_softmax_and_one_sigmoid_are_left_out(tmp_path: Path) -> None:
    for classes, activation in ((3, "softmax"), (1, "sigmoid")):
        model = ends(base(), layers.Dropout(0.2), layers.Dense(classes, activation=activation))
        assert ca.load("mobilenet", weights=written(model, tmp_path / "pets.keras")).classes == classes


@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_net_that_pools_by_the_maximum(flat: bool, ending: str, tmp_path: Path) -> None:
    """It has the same weights as one that averages, and other outputs."""
    net = base(pooling="max")
    model = keras.Model(net.input, layers.Dense(3)(net.output)) if flat else keras.Sequential([net, layers.Dense(3)])
    with pytest.raises(WeightsError, match=r"(?i)it has a layer global_?max_?pooling2d"):
        ca.load("mobilenet", weights=written(model, tmp_path / f"pets{ending}"))


def test_augmentation_as_a_model_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = keras.Input((SIZE, SIZE, 3))
    augmented = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1), layers.Rescaling(1 / 127.5, -1)])
    pooled = layers.GlobalAveragePooling2D()(base()(augmented(photo), training=False))
    model = keras.Model(photo, layers.Dense(3)(pooled))
    for ending in (".keras", ".h5", ".weights.h5"):
        assert ca.load("mobilenet", weights=written(model, tmp_path / f"pets{ending}")).classes == 3
        assert ("its own preparation of photos (rescaling) is left out" in capsys.readouterr().err) is (ending != ".h5")


def test_preparation_inside_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = base()
    model = keras.Sequential([layers.Rescaling(1 / 127.5, -1), net, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    model.build((None, SIZE, SIZE, 3))
    ca.load("mobilenet", weights=written(model, tmp_path / "pets.weights.h5"))
    assert "pets.weights.h5: its own preparation of photos (rescaling) is left out" in capsys.readouterr().err


def test_keras_nets_without_their_preprocessing(tmp_path: Path) -> None:
    """No weights say whether a net divides its photos by 255, but the names of the layers do."""
    for inside in (True, False):
        model = keras.applications.EfficientNetV2B0(
            weights=None, include_preprocessing=inside, classifier_activation=None, classes=3, input_shape=(64, 64, 3)
        )
        for ending in (".keras", ".h5", ".weights.h5"):
            net = ca.load("efficientnetv2_b0", weights=written(model, tmp_path / f"{inside}{ending}"))
            assert net.follows == ("keras" if inside else "keras/include_preprocessing=False")
        assert distance(net, model) < 1e-3
