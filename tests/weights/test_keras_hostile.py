"""Files of Keras' kinds that are damaged or mean harm: refused in one line, and nothing changes."""

from __future__ import annotations

import collections
import io
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from keras.src.legacy.saving import legacy_h5_format

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.weights.formats.keras_files import read
from convatlas.weights.formats.keras_order import Array, Layer
from convatlas.weights.formats.safe_hdf5 import MEMBER
from convatlas.weights.registry import origin

KERNEL, TRANSPOSED = (2, 3, 1, 0), (2, 3, 1, 0)


def vector(name: str, place: int, size: int) -> Array:
    return Array(name, f"vars/{place}", (size,), (size,), (0,), False)


LAYERS = [
    Layer(
        "conv2d",
        (Array("conv.weight", "vars/0", (4, 3, 3, 3), (4, 3, 3, 3), KERNEL, False), vector("conv.bias", 1, 4)),
        False,
    ),
    Layer("batch_normalization", tuple(vector(f"norm.{n}", n, 4) for n in range(4)), False),
    Layer(
        "dense",
        (Array("head.dense.weight", "vars/0", (2, 4), (2, 4, 1, 1), KERNEL, True), vector("head.dense.bias", 1, 2)),
        True,
    ),
]
"""What the tiny net of these tests looks like to the reader."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Genuine files of a tiny net, by their endings."""
    folder = tmp_path_factory.mktemp("tiny")
    # Keras numbers the names of layers over all models that were made before.
    keras.utils.clear_session()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    with h5py.File(folder / "a.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    model.save_weights(folder / "a.weights.h5")
    model.save(folder / "a.keras")
    return {ending: (folder / f"a{ending}").read_bytes() for ending in (".h5", ".weights.h5", ".keras")}


ENDINGS = (".h5", ".weights.h5", ".keras")


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as raised:
        read(path, LAYERS)
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith(f"{path.name} ")
    return text


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_whole_is_read(tmp_path: Path, tiny: dict[str, bytes], ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(tiny[ending])
    tensors = read(path, LAYERS).tensors
    assert list(tensors) == [array.name for layer in LAYERS for array in layer.arrays]
    assert all(tensors[array.name].shape == array.shape for layer in LAYERS for array in layer.arrays)


def test_groups_of_tensorflow_2_13(tmp_path: Path, tiny: dict[str, bytes]) -> None:
    """There the layers are counted twice over, and their group has another name."""
    path = tmp_path / "a.weights.h5"
    path.write_bytes(tiny[".weights.h5"])
    whole = read(path, LAYERS).tensors
    with h5py.File(path, "a") as root:
        root.move("layers", "_layer_checkpoint_dependencies")
        root.move("_layer_checkpoint_dependencies/dense", "_layer_checkpoint_dependencies/dense_2")
    tensors = read(path, LAYERS).tensors
    assert all(torch.equal(tensors[name], whole[name]) for name in whole)


def test_a_shard(tmp_path: Path, tiny: dict[str, bytes]) -> None:
    path = tmp_path / "a_00001.weights.h5"
    path.write_bytes(tiny[".weights.h5"])
    with h5py.File(path, "a") as root:
        del root["layers/conv2d"], root["layers/dense"]
    assert "one shard of several" in refused(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_end_too_early(tmp_path: Path, tiny: dict[str, bytes], ending: str) -> None:
    data, path = tiny[ending], tmp_path / f"a{ending}"
    for length in {0, 1, 8, 100, *range(0, len(data), len(data) // 40), len(data) - 1}:
        path.write_bytes(data[:length])
        assert "damaged" in refused(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_with_wrong_bytes_are_read_or_refused(tmp_path: Path, tiny: dict[str, bytes], ending: str) -> None:
    data, draw, path = tiny[ending], random.Random(5), tmp_path / f"a{ending}"
    outcomes = collections.Counter[str]()
    for _ in range(200):
        wrong = bytearray(data)
        for _ in range(draw.choice([1, 3, 30])):
            wrong[draw.randrange(len(wrong))] = draw.randrange(256)
        path.write_bytes(wrong)
        try:
            tensors = read(path, LAYERS).tensors
        except WeightsError as error:
            outcomes["refused" if "\n" not in str(error) else "refused in many lines"] += 1
        else:
            assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
            outcomes["read"] += 1
    assert outcomes["refused"]
    assert set(outcomes) <= {"refused", "read"}
    assert min(outcomes.values()) > 10


def replaced(group: h5py.Group, name: str, **options: Any) -> h5py.Dataset:
    shape = group[name].shape
    del group[name]
    return group.create_dataset(name, **{"shape": shape, "dtype": "f4", **options})


def external_link(root: h5py.Group, path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))  # whoever opens it waits for ever
    del root["layers/conv2d/vars/0"]
    root["layers/conv2d/vars/0"] = h5py.ExternalLink(str(path.with_name("pipe")), "/x")


def external_group(root: h5py.Group, path: Path) -> None:
    shutil.copy(path, path.with_name("other.h5"))
    del root["layers/conv2d"]
    root["layers/conv2d"] = h5py.ExternalLink("other.h5", "layers/conv2d")


def external_container(root: h5py.Group, path: Path) -> None:
    shutil.copy(path, path.with_name("other.h5"))
    del root["layers"]
    root["layers"] = h5py.ExternalLink("other.h5", "layers")


def soft_link(root: h5py.Group, path: Path) -> None:
    del root["layers/conv2d/vars/1"]
    root["layers/conv2d/vars/1"] = h5py.SoftLink("/layers/batch_normalization/vars/0")


def external_storage(root: h5py.Group, path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(range(16)))
    replaced(root["layers/conv2d/vars"], "1", external=[(str(secret), 0, 16)])


def virtual(root: h5py.Group, path: Path) -> None:
    shutil.copy(path, path.with_name("other.h5"))
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "layers/conv2d/vars/1", (4,))
    del root["layers/conv2d/vars/1"]
    root["layers/conv2d/vars"].create_virtual_dataset("1", layout)


HARM: dict[str, tuple[Callable[[h5py.Group, Path], object], str]] = {
    "a link into another file": (external_link, "has a link in place of"),
    "a layer in another file": (external_group, "has a link in place of"),
    "all layers in another file": (external_container, "has a link in place of"),
    "a link to another array": (soft_link, "has a link in place of"),
    "numbers in another file": (external_storage, r"has \S*vars/1 outside of itself"),
    "numbers pieced together from another file": (virtual, r"has \S*vars/1 outside of itself"),
    "a shape without end": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "0", shape=(2**20, 2**20, 2**10), chunks=(1, 1, 1)),
        r"vars/0 is \(1048576, 1048576, 1024\) for \(3, 3, 3, 4\)",
    ),
    "compressed": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "0", data=np.zeros((3, 3, 3, 4), "f4"), compression=9),
        r"has \S*vars/0 in compressed or chunked pieces",
    ),
    "pieces larger than all of it": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "1", chunks=(2**24,), maxshape=(None,)),
        r"has \S*vars/1 in compressed or chunked pieces",
    ),
    "nothing behind the header": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "0"),
        r"declares 432 bytes for \S*vars/0 and holds fewer",
    ),
    "another shape": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "0", data=np.zeros((3, 3, 4, 3), "f4"), shape=None),
        r"holds another net: \S*vars/0",
    ),
    "no shape": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "1", data=h5py.Empty("f4"), shape=None, dtype=None),
        r"holds another net: \S*vars/1",
    ),
    "words": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "1", data=np.array([b"a"] * 4), dtype=None),
        r"holds no numbers for \S*vars/1",
    ),
    "complex numbers": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "1", data=np.ones(4, "c8"), dtype=None),
        r"holds no numbers for \S*vars/1",
    ),
    "quadruple precision": (
        lambda root, path: replaced(root["layers/conv2d/vars"], "1", data=np.ones(4, "f16"), dtype=None),
        r"holds no numbers for \S*vars/1",
    ),
    "an array too many": (
        lambda root, path: root["layers/conv2d/vars"].create_dataset("2", data=np.ones(4)),
        r"holds another net: 3 arrays in \S*conv2d, not 2",
    ),
    "an array too few": (
        lambda root, path: root.__delitem__("layers/conv2d/vars/1"),
        r"holds another net: 1 arrays in \S*conv2d, not 2",
    ),
    "a layer too many": (
        lambda root, path: root.create_dataset("layers/dense_1/vars/0", data=np.ones(4)),
        r"holds 4 layers with weights, not 3 \(2 without the top\)",
    ),
    "another class of layer": (
        lambda root, path: root.move("layers/conv2d", "layers/conv1d"),
        r"holds another net: (0 conv2d, not 1|1 conv1d, not 0)",
    ),
    "a number in place of a layer": (
        lambda root, path: root.create_dataset("layers/dense_1", data=1),
        "has no group dense_1",
    ),
    "a loop": (lambda root, path: root.__setitem__("layers/loop", root["/"]), "holds 4 layers with weights"),
}


@pytest.mark.parametrize("case", HARM)
def test_harm_is_refused(tmp_path: Path, tiny: dict[str, bytes], case: str) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(tiny[".weights.h5"])
    change, words = HARM[case]
    with h5py.File(path, "a") as root:
        change(root, path)
    with pytest.raises(WeightsError, match=words) as error:
        read(path, LAYERS)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("a.weights.h5 ")


LISTS: dict[str, tuple[Any, str]] = {
    "a number": (3, "strange list of names"),
    "numbers": (np.arange(3.0), "strange list of names"),
    "a table": (np.array([[b"conv2d"], [b"dense"]]), "strange list of names"),
    "too many": (np.zeros(20_000, "S1"), "strange list of names"),
    "nothing": (np.zeros(0), r"holds 0 layers with weights, not 3"),
    "a layer that is missing": (np.array([b"conv2d", b"other"]), "has no group other"),
    "a path upwards": (np.array([b"../conv2d"]), r"has no group \.\./conv2d"),
    "a path to nowhere": (np.array([b"conv2d//x"]), "has no group conv2d//x"),
    "no name": (np.array([b"conv2d", b""]), "has no group"),
    "a name that would be obeyed": (np.array([b"\x1b[31m\nred"]), r"has no group \\u001b\[31m\\nred$"),
    "no text": (np.array([b"\xff\xfe"]), "is damaged"),
    "a name without end": (np.array([b"conv2d", b"x" * 2**22], object), "has names that are too long"),
    "one layer twice": (
        np.array([b"conv2d", b"conv2d", b"dense"]),
        "holds another net: 2 arrays in dense/sequential/dense, not 4",
    ),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_of_layers_that_lie(tmp_path: Path, tiny: dict[str, bytes], case: str) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(tiny[".h5"])
    names, words = LISTS[case]
    with h5py.File(path, "a") as root:
        root.attrs["layer_names"] = names
    with pytest.raises(WeightsError, match=words) as error:
        read(path, LAYERS)
    assert "\n" not in str(error.value)


def test_lists_that_crash_hdf5(tmp_path: Path, tiny: dict[str, bytes]) -> None:
    """Lists of lists end in a segmentation fault, a heap with an object of no size never ends (HDF5 2.0)."""
    path = tmp_path / "a.h5"
    path.write_bytes(tiny[".h5"])
    with h5py.File(path, "a") as root:
        lists = np.empty(4, object)
        lists[:] = [np.arange(3)] * 4
        root.attrs.create("layer_names", lists, dtype=h5py.vlen_dtype("i4"))
    assert "strange list of names" in refused(path)
    endless = bytearray(tiny[".h5"])
    heap = endless.index(b"GCOL")
    endless[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(endless)
    assert "damaged list of names" in refused(path)


def test_a_list_of_names_in_pieces(tmp_path: Path, tiny: dict[str, bytes]) -> None:
    """Above 64 kB Keras writes layer_names0, layer_names1, ... (its own code, with a lower limit)."""
    path = tmp_path / "a.h5"
    path.write_bytes(tiny[".h5"])
    whole = read(path, LAYERS).tensors
    with h5py.File(path, "a") as root, pytest.MonkeyPatch.context() as patch:
        names = [name.encode() for name in root.attrs["layer_names"]]
        del root.attrs["layer_names"]
        patch.setattr(legacy_h5_format, "HDF5_OBJECT_HEADER_LIMIT", 40)
        legacy_h5_format.save_attributes_to_hdf5_group(root, "layer_names", names)
        assert "layer_names1" in root.attrs
    parts = read(path, LAYERS).tensors
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return file.getvalue()


def empty() -> bytes:
    file = io.BytesIO()
    h5py.File(file, "w").close()
    return file.getvalue()


def lying(data: bytes) -> bytes:
    """The directory says that the member is four thousand million bytes long."""
    result = bytearray(archive({MEMBER: data}))
    entry = result.rindex(b"PK\x01\x02")
    result[entry + 20 : entry + 28] = b"\xf0\xff\xff\xff" * 2
    return bytes(result)


ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a bomb": (lambda h5: archive({MEMBER: bytes(10**7)}, zipfile.ZIP_DEFLATED), "is compressed"),
    "a compressed neighbour": (lambda h5: archive({MEMBER: h5, "b": bytes(10**6)}, zipfile.ZIP_BZIP2), "is compressed"),
    "a path that climbs out": (lambda h5: archive({MEMBER: h5, "../../b": h5}), "outside of the archive"),
    "an absolute path": (lambda h5: archive({MEMBER: h5, "/tmp/b": h5}), "outside of the archive"),
    "a path of Windows": (lambda h5: archive({MEMBER: h5, "..\\b": h5}), "outside of the archive"),
    "weights of another kind": (lambda h5: archive({"model.weights.npz": h5}), "holds no model.weights.h5"),
    "no h5": (lambda h5: archive({MEMBER: b"PK" * 1000}), "is damaged"),
    "nothing": (lambda h5: archive({}), "holds no model.weights.h5"),
    "a length that lies": (lying, "is damaged"),
    "no archive": (lambda h5: h5, "is damaged"),
    "an h5 of old": (lambda h5: archive({MEMBER: empty()}), "holds no layers"),
    "wrong bytes": (lambda h5: archive({MEMBER: h5}).replace(h5[100:200], bytes(100)), "is damaged"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_lie(tmp_path: Path, tiny: dict[str, bytes], case: str) -> None:
    make, words = ARCHIVES[case]
    path = tmp_path / "a.keras"
    path.write_bytes(make(tiny[".weights.h5"]))
    assert words in refused(path)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mobilenet") / "mobilenet.weights.h5"
    return ca.export(ca.build("mobilenet"), path)


def spoil(value: float, dtype: str = "f4") -> Callable[[h5py.File], None]:
    def change(root: h5py.File) -> None:
        numbers = root["layers/conv2d_5/vars/0"][()].astype(dtype)
        numbers[0, 0, 1, 1] = value
        replaced(root["layers/conv2d_5/vars"], "0", data=numbers, dtype=dtype)

    return change


SPOILT: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "nan": (spoil(np.nan), "not finite, in layers/conv2d_5/vars/0"),
    "infinite": (spoil(-np.inf), "not finite, in layers/conv2d_5/vars/0"),
    "too large for float32": (spoil(1e300, "f8"), "not finite, in layers/conv2d_5/vars/0"),
    "a layer too few": (
        lambda root: root.__delitem__("layers/conv2d_3"),
        "holds another net: layers/conv2d_4/vars/0 is",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
@pytest.mark.parametrize("named", [False, True], ids=["by path", "by name"])
def test_nothing_is_loaded_or_kept(
    tmp_path: Path, mobilenet: Path, monkeypatch: pytest.MonkeyPatch, case: str, named: bool
) -> None:
    path = tmp_path / "a.weights.h5"
    shutil.copy(mobilenet, path)
    change, words = SPOILT[case]
    with h5py.File(path, "a") as root:
        change(root)
    home = tmp_path / "home"
    monkeypatch.setenv("CONVATLAS_HOME", str(home))
    monkeypatch.setattr(origin("keras"), "file", lambda weights: path)
    with pytest.raises(WeightsError, match=words) as error:
        ca.load("mobilenet", weights="keras" if named else str(path))
    assert "\n" not in str(error.value)
    assert not [kept for kept in home.rglob("*") if kept.suffix == ".safetensors"]


def test_files_of_other_nets_by_their_path(mobilenet: Path) -> None:
    with pytest.raises(WeightsError, match=r"^mobilenet\.weights\.h5 holds 55 layers with weights, not 16"):
        ca.load("vgg16", weights=str(mobilenet))


@pytest.mark.parametrize("name", ["net.h5", "net.keras", "net.weights.h5"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"\x89HDF\r\n\x1a\n" if name.endswith(".h5") else b"PK\x03\x04")
        file.truncate(6 * 10**9)  # of which nothing is on the disk
    with pytest.raises(WeightsError, match="it has 6,000,000,000 bytes, of which 4,294,967,296 are allowed"):
        ca.load("mobilenet", weights=str(path))
