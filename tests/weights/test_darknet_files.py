"""Darknet's files to the byte: every header, files of the first layers, and files that are not what they seem."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.weights.darknet_cfg import CLASSES, NAMES, narrow
from torch import nn

import convatlas as ca
from convatlas.anatomy.measure.parameters import parameters
from convatlas.base.errors import StoreError, WeightsError
from convatlas.catalogue.lineages import all_weights
from convatlas.genes.genome import Genome
from convatlas.nets.build import build, skeleton
from convatlas.nets.families.yolo import YOLO
from convatlas.weights.formats import darknet_files
from convatlas.weights.formats.darknet_files import Header

HEADERS = [
    (Header(0, 1, 0, 123456), 16),
    (Header(0, 2, 0, 32013312), 20),
    (Header(0, 2, 5, 2**40), 20),
    (Header(1, 0, 0, 7), 20),
    (Header(0, 1001, 0, 5), 16),
    (Header(1001, 0, 0, 5), 16),
    (Header(0, 0, 0, 0), 16),
]

PUBLISHED = {row.net: row for row in all_weights() if row.origin == "darknet"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("header", "length"), HEADERS)
def test_a_round_trip_is_the_same_to_the_byte(name, header, length, tmp_path):
    size = (64, 64)
    first, second = narrow(name, size), narrow(name, size)
    count = parameters(first)[0]
    data = struct.pack("<3i", header.major, header.minor, header.revision)
    data += struct.pack("<Q" if length == 20 else "<i", header.photos)
    numbers = np.random.default_rng(0).random(count, np.float32) + np.float32(0.1)
    (tmp_path / "one.weights").write_bytes(data + numbers.astype("<f4").tobytes())
    filled = darknet_files.read(tmp_path / "one.weights", first)
    assert filled == header
    assert filled.layers == len(darknet_files.layers(first))
    darknet_files.write(first, tmp_path / "two.weights", filled)
    assert (tmp_path / "two.weights").read_bytes() == (tmp_path / "one.weights").read_bytes()
    darknet_files.read(tmp_path / "two.weights", second)
    for (key, ours), theirs in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(ours, theirs), key


def test_the_order_of_a_convolution_and_a_dense_layer(tmp_path):
    """beta, gamma, mean, variance, weights; a dense layer's weights come before its normalization's numbers."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3)
    )
    plain, turned = tmp_path / "a.weights", tmp_path / "b.weights"
    plain.write_bytes(struct.pack("<3iQ", 0, 2, 0, 9) + np.arange(28, dtype="<f4").tobytes())
    assert darknet_files.read(plain, net) == Header(0, 2, 0, 9)
    conv, norm, _, dense, last = net
    assert [norm.bias.tolist(), norm.weight.tolist()] == [[0, 1], [2, 3]]
    assert [norm.running_mean.tolist(), norm.running_var.tolist()] == [[4, 5], [6, 7]]
    assert conv.weight.flatten().tolist() == [8, 9]
    assert last.bias.tolist() == [10, 11, 12]
    assert dense.weight.tolist() == [[13, 14], [15, 16], [17, 18]]
    assert [last.weight.tolist(), last.running_var.tolist()] == [[19, 20, 21], [25, 26, 27]]
    turned.write_bytes(struct.pack("<4i", 0, 2000, 0, 9) + np.arange(28, dtype="<f4").tobytes())
    darknet_files.read(turned, net)
    assert dense.weight.tolist() == [[13, 16], [14, 17], [15, 18]]
    darknet_files.write(net, tmp_path / "c.weights", Header(0, 2000, 0, 9))
    assert (tmp_path / "c.weights").read_bytes() == turned.read_bytes()


@pytest.mark.sweep
def test_the_whole_first_version_round_trips(tmp_path):
    net = build("yolo_v1")
    darknet_files.write(net, tmp_path / "one.weights", Header(0, 1, 0, 2560000))
    assert (tmp_path / "one.weights").stat().st_size == PUBLISHED["yolo_v1"].bytes
    other = build("yolo_v1", seed=1)
    darknet_files.write(other, tmp_path / "two.weights", darknet_files.read(tmp_path / "one.weights", other))
    assert (tmp_path / "two.weights").read_bytes() == (tmp_path / "one.weights").read_bytes()


def test_published_sizes_are_those_of_the_nets():
    assert set(PUBLISHED) == set(NAMES)
    for name, row in PUBLISHED.items():
        assert row.address.endswith(f"/{row.file}")
        if row.bytes is not None:
            assert row.bytes - 4 * parameters(skeleton(name))[0] in (16, 20), name
        assert len(bytes.fromhex(row.hash)) in (0, 32)
    assert sum(row.bytes is not None for row in PUBLISHED.values()) == 7


@pytest.mark.parametrize(("name", "others"), [("darknet53", ["yolo_v3", "yolo_v3_spp"])])
def test_a_file_of_the_first_layers(name, others, tmp_path):
    """darknet53.conv.74: what stands before the 74th section is all but the last convolution, 162,482,580 bytes."""
    heads = {
        layer.name: sum(map(torch.Tensor.numel, layer.arrays.values()))
        for layer in darknet_files.layers(skeleton(name))
    }
    assert 20 + 4 * (parameters(skeleton(name))[0] - heads["head.dense"]) == 162482580
    net = narrow(name, (64, 64))
    darknet_files.write(net, tmp_path / "whole.weights")
    head = sum(tensor.numel() for tensor in darknet_files.layers(net)[-1].arrays.values())
    cut = tmp_path / "darknet53.conv.74"
    cut.write_bytes((tmp_path / "whole.weights").read_bytes()[: -4 * head])
    for other in [name, *others]:
        filled = narrow(other, (64, 64))
        before = {key: tensor.clone() for key, tensor in filled.state_dict().items()}
        with torch.no_grad():
            for tensor in filled.parameters():
                tensor.zero_()
        assert darknet_files.read(cut, filled).layers == 52
        ours, theirs = darknet_files.layers(filled), darknet_files.layers(net)
        for our, their in zip(ours[:52], theirs[:52], strict=True):
            assert all(torch.equal(our.arrays[key], their.arrays[key]) for key in our.arrays)
        assert all(not ours[-1].arrays[key].any() for key in ours[-1].arrays), "the rest is left alone"
        assert before
    whole = tmp_path / "cut.weights"
    whole.write_bytes(cut.read_bytes())
    with pytest.raises(WeightsError, match=r"first 52 of 53 layers is named \*.conv.N"):
        darknet_files.read(whole, narrow(name, (64, 64)))


def _written(tmp_path: Path) -> tuple[YOLO, Path, bytes]:
    net = narrow("yolo_v3_tiny", (64, 64))
    path = tmp_path / "net.weights"
    darknet_files.write(net, path)
    return net, path, path.read_bytes()


def _number(data: bytes, place: int, value: float) -> bytes:
    return data[: 20 + 4 * place] + struct.pack("<f", value) + data[24 + 4 * place :]


HOSTILE = {
    "empty": (lambda data: b"", "does not begin as darknet's weight files do"),
    "half a header": (lambda data: data[:15], "does not begin"),
    "a header alone": (lambda data: data[:20], "holds 0 numbers"),
    "cut": (lambda data: data[:-4], "numbers, and the net has"),
    "cut within a number": (lambda data: data[:-1], r"\.75 numbers, and the net has"),
    "too long": (lambda data: data + b"\0" * 4, "numbers, and the net has"),
    "a byte too long": (lambda data: data + b"\0", "numbers, and the net has"),
    "twice": (lambda data: data * 2, "numbers, and the net has"),
    "the other header": (lambda data: struct.pack("<3i", 0, 1, 0) + data[12:], "numbers, and the net has"),
    "a later version": (lambda data: struct.pack("<3i", 5000, 0, 0) + data[12:], "numbers, and the net has"),
    "a negative version": (lambda data: struct.pack("<3i", -1, 2, 0) + data[12:], "does not begin"),
    "text": (lambda data: b"<!DOCTYPE html><html><title>404</title></html>", "fit|begin"),
    "nan": (
        lambda data: _number(data, -1 + len(data) // 4 - 5, float("nan")),
        r"weight of .* holds a number that is not finite",
    ),
    "infinite": (
        lambda data: _number(data, 0, float("inf")),
        r"the beta of stage1.conv1.conv holds a number that is not finite",
    ),
    "negative variance": (lambda data: _number(data, 12, -1.0), "the variance of stage1.conv1.conv is negative"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_does_not_fit_leaves_the_net_alone(case, tmp_path):
    net, path, data = _written(tmp_path)
    spoil, words = HOSTILE[case]
    spoiled = spoil(data)
    assert spoiled != data
    path.write_bytes(spoiled)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError, match=words) as raised:
        darknet_files.read(path, net)
    assert "\n" not in str(raised.value)
    assert "net.weights" in str(raised.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())


def test_what_is_no_file(tmp_path):
    net = narrow("yolo_v3_tiny", (64, 64))
    for path, words in [
        (tmp_path, "not an ordinary file"),
        (tmp_path / "none.weights", "No such file"),
        ("a\0b.weights", "null"),
        ("a\nb.weights", "No such file"),
        ("/dev/zero", "not an ordinary file"),
    ]:
        with pytest.raises(WeightsError, match=words) as raised:
            darknet_files.read(path, net)
        assert "\n" not in str(raised.value)
    os.mkfifo(tmp_path / "pipe.weights")
    with pytest.raises(WeightsError, match="not an ordinary file"):
        darknet_files.read(tmp_path / "pipe.weights", net)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.weights"
    with open(path, "wb") as file:
        file.write(struct.pack("<3iQ", 0, 2, 0, 0))
        file.truncate(2**40)
    with pytest.raises(WeightsError, match="numbers, and the net has"):
        darknet_files.read(path, narrow("yolo_v3_tiny", (64, 64)))


@pytest.mark.parametrize(
    ("genes", "words"),
    [
        ({"normalization": "layer"}, r"no place for stage1.conv1.norm, a LayerNorm"),
        ({"normalization": "instance"}, r"no place for .*InstanceNorm2d"),
        ({"normalization": "none"}, r"stage1.conv1.conv has neither"),
        ({"activation": "prelu"}, r"no place for .*PReLU"),
        ({"pooling": "strided_convolution"}, r"no place for .*StridedConvolution"),
    ],
)
def test_genes_that_darknet_has_no_place_for(genes, words, tmp_path):
    net = build("yolo_v3_tiny", genes=genes, size=64, classes=CLASSES)
    with pytest.raises(WeightsError, match=words):
        darknet_files.write(net, tmp_path / "a.weights")
    assert not list(tmp_path.iterdir())


def test_genes_without_weights_fit(tmp_path):
    net, path, _ = _written(tmp_path)
    genome = Genome(alignment="symmetric", pooling="average", normalization="batch", activation="silu", flattening=None)
    with torch.device("meta"):
        other = YOLO(net.config, genome, CLASSES, 3, (64, 64))
    other.to_empty(device="cpu")
    assert darknet_files.read(path, other).layers == 13


def test_headers_that_have_no_bytes(tmp_path):
    net, _, _ = _written(tmp_path)
    for header in (Header(0, 1, 0, 2**31), Header(0, 2, 0, -1), Header(2**31, 0, 0, 0)):
        with pytest.raises(WeightsError, match="cannot be written"):
            darknet_files.write(net, tmp_path / "out.weights", header)
    assert not (tmp_path / "out.weights").exists()


def test_load_by_path(tmp_path):
    net = build("yolo_v3_tiny", seed=4)
    path = tmp_path / "yolov3-tiny.weights"
    darknet_files.write(net, path)
    loaded = ca.load("YOLOv3-tiny", weights=str(path))
    assert not loaded.training
    assert torch.equal(loaded.stage1.conv1.conv.weight, net.stage1.conv1.conv.weight)
    lineage = loaded.lineage
    assert (lineage.name, lineage.net, lineage.licence) == ("darknet", "yolo_v3_tiny", "")
    assert lineage.source == path.name
    assert (len(lineage.class_names), lineage.class_names[0]) == (80, "person")
    assert (lineage.preprocessing.size, lineage.preprocessing.kind) == ((416, 416), "letterbox")
    with pytest.raises(WeightsError, match="does not fit the net"):
        ca.load("yolo_v3_tiny", weights=str(_written(tmp_path)[1]))
    with pytest.raises(WeightsError, match=r"no lineage of resnet50 has files that end in \.weights"):
        ca.load("resnet50", weights=str(path))
    back = ca.export(loaded, tmp_path / "back.weights")
    assert back.read_bytes() == path.read_bytes()


def test_the_address_is_told_where_there_is_no_network(monkeypatch):
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    with pytest.raises(StoreError, match=r"https://data.pjreddie.com/files/yolov3-tiny.weights"):
        ca.load("yolo_v3_tiny")


def test_a_start_for_training_is_not_loaded_as_a_net(tmp_path):
    net = build("darknet19")
    darknet_files.write(net, tmp_path / "whole.weights")
    layers = darknet_files.layers(net)
    last = sum(tensor.numel() for tensor in layers[-1].arrays.values())
    cut = tmp_path / "darknet19.conv.23"
    cut.write_bytes((tmp_path / "whole.weights").read_bytes()[: -4 * last])
    with pytest.raises(WeightsError, match=r"holds the first 18 of 19 layers of darknet19, from which training starts"):
        ca.load("darknet19", weights=str(cut))
    whole = ca.load("darknet19", weights=str(tmp_path / "whole.weights"))
    assert (whole.lineage.preprocessing.kind, whole.lineage.class_names[0]) == ("crop", "kit fox")
