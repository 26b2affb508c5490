"""Native files hold everything about their net; the claims of a hostile one are refused in a line that names it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import weights_of
from convatlas.nets.net import Net
from convatlas.weights.formats.native import read
from convatlas.weights.listing import local_path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a net with a lineage."""
    return ca.export(ca.load("efficientnet_lite0"), tmp_path_factory.mktemp("lite") / "lite.safetensors")


def same(net: Net, other: Net) -> bool:
    here, there = net.state_dict(), other.state_dict()
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lenet5", {"classes": 4, "channels": 2, "genes": {"activation": "relu"}, "size": (32, 36)}),
        ("mlp_300", {"genes": {"feedback": [("hidden1", "hidden1"), ("output", "hidden1")]}}),
        ("shufflenet_v2_x0_5", {"genes": {"flattening": "global_max", "dropout": 0.5}}),
    ],
)
def test_all_is_in_the_file(home: Path, name: str, arguments: dict[str, Any]) -> None:
    net = ca.build(name, **arguments).eval()
    back = ca.load(ca.export(net, home / "net.safetensors"))
    assert same(net, back)
    assert (net.genome, net.classes, net.channels, net.size) == (back.genome, back.classes, back.channels, back.size)


def altered(path: Path, to: Path, change: Callable[[dict[str, Any]], object], part: str = "net") -> Path:
    """Copy a file with a changed description."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    if part == "all":
        change(metadata)
    else:
        description = json.loads(metadata[part])
        change(description)
        metadata[part] = json.dumps(description)
    save_file(tensors, to, metadata)
    return to


DEEP = "[" * 100_000

HOSTILE: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "nested without end": ("all", lambda d: d.update(net=DEEP), "its description is damaged"),
    "a lineage nested without end": ("all", lambda d: d.update(lineage=DEEP), "its description is damaged"),
    "a number": ("all", lambda d: d.update(net="7"), "its description is damaged"),
    "a list": ("all", lambda d: d.update(net="[]"), "its description is damaged"),
    "nothing": ("all", lambda d: d.pop("net"), "its description is damaged"),
    "a later format": ("all", lambda d: d.update(convatlas="2" * 999), "of format '2222"),
    "classes as text": ("net", lambda d: d.update(classes="x"), "its description is damaged"),
    "classes as a truth": ("net", lambda d: d.update(classes=True), "its description is damaged"),
    "classes below none": ("net", lambda d: d.update(classes=-1), "its description is damaged"),
    "too many classes": ("net", lambda d: d.update(classes=10**9), "its description is damaged"),
    "a size of text": ("net", lambda d: d.update(size=["a", 28]), "its description is damaged"),
    "a size of one": ("net", lambda d: d.update(size=[28]), "its description is damaged"),
    "a size without end": (
        "net",
        lambda d: d.update(size=[28, 10**12]),
        "does not describe a valid efficientnet_lite0",
    ),
    "no channels": ("net", lambda d: d.update(channels=0), "does not describe a valid efficientnet_lite0"),
    "channels of half": ("net", lambda d: d.update(channels=1.5), "its description is damaged"),
    "genes in a row": ("net", lambda d: d.update(genes=["relu"]), "its description is damaged"),
    "an unknown gene": (
        "net",
        lambda d: d.update(genes={"activation": "relo"}),
        "a valid efficientnet_lite0: no gene",
    ),
    "an unknown locus": (
        "net",
        lambda d: d.update(genes={"a\x1b[31m\nb": 1}),
        "a valid efficientnet_lite0: no locus",
    ),
    "a gene of genes": (
        "net",
        lambda d: d.update(genes={"activation": {"a": []}}),
        "does not describe a valid efficientnet_lite0",
    ),
    "an unknown lineage": (
        "net",
        lambda d: d.update(follows="kears"),
        "does not describe a valid efficientnet_lite0: no kears",
    ),
    "an unknown net": ("net", lambda d: d.update(net="lenet0"), "its description is damaged"),
    "a net of another kind": ("net", lambda d: d.update(net=["lenet5"]), "its description is damaged"),
    "another net": ("net", lambda d: d.update(net="efficientnet_lite1"), "its description is damaged"),
    "other channels": (
        "net",
        lambda d: d.update(channels=4),
        r"weights in bad.safetensors do not fit the net: stem",
    ),
    "a field too many": ("net", lambda d: d.update(seed=0), "its description is damaged"),
    "a name for each letter": ("lineage", lambda d: d.update(class_names="n" * 1000), "its description is damaged"),
    "too few names": ("lineage", lambda d: d.update(class_names=["cat"]), "its description is damaged"),
    "names that are numbers": ("lineage", lambda d: d.update(class_names=[1] * 1000), "its description is damaged"),
    "a name that is obeyed": (
        "lineage",
        lambda d: d.update(class_names=["\x1b[2J", *d["class_names"][1:]]),
        "its description is damaged",
    ),
    "a licence that is obeyed": ("lineage", lambda d: d.update(licence="\x1b[2J"), "its description is damaged"),
    "a lineage of another net": ("lineage", lambda d: d.update(net="lenet5"), "its description is damaged"),
    "preprocessing of words": ("lineage", lambda d: d.update(preprocessing="none"), "its description is damaged"),
    "letterbox without end": (
        "lineage",
        lambda d: d.update(preprocessing={"size": [1e999, 1], "kind": "letterbox"}),
        "its description is damaged",
    ),
    "a letterbox of lists": (
        "lineage",
        lambda d: d.update(preprocessing={"size": [28, 28], "kind": []}),
        "its description is damaged",
    ),
}

NUMBERS = {
    "size": [[10**9, 10**9], ["a", "b"], [224.0, 224], [math.nan, 224], [224], [True, 224]],
    "resize": ["x", 10**9, 32.5, None],
    "scale": [0, "x", math.nan, None, 10**400],
    "mean": [["a", "b", "c"], [1e999, 0, 0], 7, [[0], [0], [0]]],
    "std": [[0, 1, 1], [1, 1], None],
    "geometry": [[], 3],
    "interpolation": [{}, None],
    "order": [["rgb"]],
}
"""Of a preprocessing, what no photo can be prepared with."""

HOSTILE |= {
    f"{key} of {str(value)[:30]}": (
        "lineage",
        lambda d, key=key, value=value: d["preprocessing"].update({key: value}),
        "its description is damaged",
    )
    for key, values in NUMBERS.items()
    for value in values
}


@pytest.mark.parametrize("case", HOSTILE)
def test_descriptions_that_lie(home: Path, lite: Path, case: str) -> None:
    part, change, words = HOSTILE[case]
    path = altered(lite, home / "bad.safetensors", change, part)
    for call in (lambda: ca.load(path), lambda: ca.load("efficientnet_lite0", weights=path)):
        with pytest.raises(WeightsError, match=words) as error:
            call()
        text = str(error.value)
        assert text.isprintable()
        assert "bad.safetensors" in text
        assert len(text) < 500


@pytest.mark.parametrize("case", list(HOSTILE)[::7])
def test_a_cache_that_lies_is_made_again(home: Path, lite: Path, case: str) -> None:
    part, change, _ = HOSTILE[case]
    path = local_path(weights_of("efficientnet_lite0")[0])
    path.parent.mkdir(parents=True)
    altered(lite, path, change, part)
    assert same(ca.load("efficientnet_lite0"), ca.load(lite))
    assert read(path)[1] == read(lite)[1]


def test_a_folder_in_place_of_the_cache(home: Path) -> None:
    path = local_path(weights_of("efficientnet_lite0")[0])
    path.mkdir(parents=True)
    with pytest.raises(ca.ConvAtlasError, match="cannot be used: Is a directory; CONVATLAS_HOME says") as raised:
        ca.load("efficientnet_lite0")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(path.iterdir())


def test_weights_of_another_net_under_a_true_description(home: Path) -> None:
    path = ca.export(ca.build("mlp_300"), home / "mlp.safetensors")
    altered(path, home / "bad.safetensors", lambda description: description.update(net="mlp_1000"))
    with pytest.raises(WeightsError, match=r"^the weights in bad\.safetensors do not fit the net: head\.dense\.weight"):
        ca.load(home / "bad.safetensors")
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["\x1b[31mred\n"] = torch.zeros(1)
    save_file(tensors, home / "bad.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"they have \\u001b\[31mred, which the net lacks"):
        ca.load(home / "bad.safetensors")
    # The same with channels to adapt: nothing is looked up that is not there.
    with pytest.raises(WeightsError, match=r"they have \\u001b\[31mred, which the net lacks"):
        ca.load(home / "bad.safetensors", channels=4)


def test_photos_of_a_size_that_the_net_cannot_take(home: Path, tmp_path: Path) -> None:
    """One line when it is loaded, and no error of torch's when a photo is classified."""
    net = ca.load("lenet5")
    path = ca.export(net, tmp_path / "lenet5.safetensors")

    def bigger(data: dict[str, Any]) -> None:
        data["preprocessing"]["size"] = [40, 40]

    with pytest.raises(WeightsError, match="prepares photos of 40 x 40 pixels, which its lenet5 for 32 x 32 cannot"):
        ca.load(altered(path, tmp_path / "bigger.safetensors", bigger, "lineage"))
    lite = ca.export(ca.load("efficientnet_lite0"), tmp_path / "lite.safetensors")
    assert ca.load(altered(lite, tmp_path / "other.safetensors", bigger, "lineage")).lineage.preprocessing.size == (
        40,
        40,
    )


def test_a_convention_has_no_place_beside_a_description(home: Path, lite: Path) -> None:
    with pytest.raises(WeightsError, match=r"lite\.safetensors is a native file, .*: leave out convention="):
        ca.load(lite, convention="lite")
