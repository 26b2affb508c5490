"""Find the parts of a Keras model of transfer learning: a net of `keras.applications`, a pooling, and a dense layer.

In its files the net is one layer that contains layers. Around it may stand layers without weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from convatlas.base.errors import WeightsError
from convatlas.base.store.progress import notify
from convatlas.weights.formats.safe_hdf5 import read_text

PASSED = re.compile(
    r"input(_layer)?|(\w+_)?dropout2?d?|gaussian_noise|global_average_pooling2d|flatten|activation|softmax|random_\w+"
    r"|(data_)?augmentation|sequential|functional|model|dense|reshape"
)
"""Classes of layers that change nothing in evaluation, or that our nets have too, as Keras' files spell them."""

PREPARING = re.compile(r"rescaling|true_divide|divide|subtract|multiply|add|get_item|stack|normalization|resizing|cast")
"""Classes of layers that prepare photos inside the model."""

UNCHANGING = ("linear", "softmax")
"""Activations that outputs may pass through: our nets give what is before the softmax."""

MAXIMUM = re.compile(r"global_?max_?pooling2d(_\d+)?", re.IGNORECASE)
"""A pooling that none of our nets has; a net of Keras has it where it is built with pooling="max"."""

MANY = 8
"""Most arrays of a layer of a legacy file that is no net."""


def check_around(names: Iterable[str], path: Path) -> None:
    """Refuse layers around the net that our net lacks, and say which of them prepare photos.

    Raises:
        WeightsError: There is such a layer; the text starts with a verb.
    """
    classes = [re.sub(r"(_\d+)+$", "", name) for name in names]
    if unknown := [kind for kind in classes if not PASSED.fullmatch(kind) and not PREPARING.fullmatch(kind)]:
        raise WeightsError(f"holds another net: it has a layer {unknown[0]}, which ours lacks")
    if preparing := [kind for kind in dict.fromkeys(classes) if PREPARING.fullmatch(kind)]:
        notify(
            f"{path.name}: its own preparation of photos ({', '.join(preparing)}) is left out; "
            "they are prepared as by keras.applications for this net"
        )


def check_pooling(names: Iterable[str]) -> None:
    """Refuse a net that takes the maximum of its maps; it has the same weights as one that averages them.

    Args:
        names: Names or classes of all layers, also those of a net inside.

    Raises:
        WeightsError: There is such a layer; the text starts with a verb.
    """
    for name in names:
        if MAXIMUM.fullmatch(name):
            raise WeightsError(f"holds another net: it has a layer {name}, which ours lacks")


def check_description(description: Any) -> None:
    """Refuse a described model whose layers without weights compute something else than ours.

    Raises:
        WeightsError: It pools otherwise, or has another activation around its net or at its end; the text starts with a
            verb.
    """
    layers = list(_configs(description))
    check_pooling(kind for kind, _, _ in layers)
    inside = any(kind in ("Functional", "Model") and depth for kind, _, depth in layers)
    around = [(kind, config) for kind, config, depth in layers if depth == 1 or not inside]
    last = max((place for place, (kind, _) in enumerate(around) if kind == "Dense"), default=len(around))
    for place, (kind, config) in enumerate(around):
        if (kind, place) != ("Dense", last) and (kind != "Activation" or (place < last and not inside)):
            continue
        activation = config.get("activation")
        # A net with one output gives no probabilities here.
        allowed = (*UNCHANGING, "sigmoid") if config.get("units") == 1 else UNCHANGING
        if activation is not None and activation not in allowed:
            raise WeightsError(f"holds another net: its last layers have an activation {activation!s:.40}, ours none")


def is_net(names: Sequence[str]) -> bool:
    """Whether the arrays of one layer of a legacy file, by their names, are those of a net."""
    return len(names) > MANY


def in_order(names: Sequence[str], listed: Sequence[str]) -> list[str]:
    """Sort the names of a net's arrays by layer, and within a layer as Keras saves a layer.

    A legacy file lists what is trainable first, so that a layer's arrays are apart, and all of it again in the order of
    the layers where the net was frozen.

    Args:
        names: Names of the arrays, such as "conv1/kernel:0", in the file's order.
        listed: Names of all layers in their order, from the model's description; empty if the file has none.

    Raises:
        WeightsError: Only a part of the net was frozen, and the file does not say which; the text starts with a verb.
    """
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(_layer(name), []).append(name)
    places = {name: place for place, name in enumerate(listed)}
    if layers.keys() <= places.keys():
        return [name for layer in sorted(layers, key=places.__getitem__) for name in layers[layer]]
    if _is_partly_frozen(names):
        raise WeightsError("was saved with a part of the net frozen: save the whole model, as .keras")
    # Statistics that were learned before training (Keras' Normalization) belong to the first layer.
    first = [layer for layer, arrays in layers.items() if {_array(name) for name in arrays} <= {*STATISTICS}]
    return [name for layer in dict.fromkeys((*first, *layers)) for name in layers[layer]]


STATISTICS = ("mean", "variance", "count")
MOVING = ("moving_mean", "moving_variance", *STATISTICS)


def _is_partly_frozen(names: Sequence[str]) -> bool:
    layers = [_layer(name) for name in names]
    together = all(
        layers.index(layer) + layers.count(layer) == len(layers) - layers[::-1].index(layer) for layer in {*layers}
    )
    moving = [_array(name) in MOVING for name in names]
    return not together and True in moving and False in moving[moving.index(True) :]


def _layer(name: str) -> str:
    return name.split("/")[-2] if "/" in name else name


def _array(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _configs(description: Any, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    """Class, configuration and depth of a described model and of all layers in it, from its input on."""
    if not isinstance(description, Mapping) or not isinstance(description.get("config"), Mapping | list):
        return
    config = description["config"]
    yield str(description.get("class_name")), config if isinstance(config, Mapping) else {}, depth
    layers = config.get("layers") if isinstance(config, Mapping) else config
    for layer in layers if isinstance(layers, list) else ():
        yield from _configs(layer, depth + 1)


def described_layers(root: h5py.Group) -> list[str]:
    """Names of all layers, also those inside others, in the description of a whole model; empty without one."""
    text = read_text(root, "model_config")
    if not text:
        return []
    return list(_names(json.loads(text)))


def _names(description: Any) -> Iterable[str]:
    config = description.get("config") if isinstance(description, Mapping) else None
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if isinstance(layers, list):
        for layer in layers:
            yield from _names(layer)
    elif isinstance(config, Mapping):
        yield str(config.get("name"))
