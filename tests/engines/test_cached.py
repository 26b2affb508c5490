"""Classify without PyTorch: from cached files, with the answers of eager mode; never from invalid files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, UnknownName, WeightsError
from convatlas.base.store.remote import home
from convatlas.base.store.sealed import read_sealed_json, write_sealed_json
from convatlas.engines import accelerate as accelerating
from convatlas.engines.cached import cached_net
from convatlas.images.samples import SAMPLES, sample
from convatlas.weights.resolve import NamedNet, find_net

# One process builds what these tests share.
pytestmark = pytest.mark.xdist_group("cached")


@pytest.fixture(scope="module")
def cached() -> Path:
    """Store of the test session, in which both engines have files of the default net."""
    for engine in ("onnxruntime", "openvino"):
        ca.accelerate("efficientnet_lite0", engine)
    return home()


CLASSIFY = """
import sys
sys.argv = ["convatlas", "classify", *{words!r}]
from convatlas.cli.entry import main
try:
    main()
finally:
    print("torch" in sys.modules, "onnxruntime" in sys.modules, "openvino" in sys.modules, file=sys.stderr)
"""


def classify(store: Path, *words: str) -> tuple[list[dict], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", CLASSIFY.format(words=[*words, "--json"])],
        env=os.environ | {"CONVATLAS_HOME": str(store)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.split()[-3:]


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_cached_engine_needs_no_torch(engine: str, cached: Path) -> None:
    results, (torch_there, *_) = classify(cached, str(sample("coffee")), str(sample("rocket")), "--engine", engine)
    assert torch_there == "False"
    right = ca.classify([sample("coffee"), sample("rocket")], engine="eager")
    for result, other in zip(results, right, strict=True):
        assert (result["net"], result["weights"], result["photo"]) == (other.net, other.weights, other.photo)
        assert [answer["label"] for answer in result["answers"]] == [answer.label for answer in other.answers]
        assert [answer["index"] for answer in result["answers"]] == [answer.index for answer in other.answers]
        shares = [answer["probability"] for answer in result["answers"]]
        assert shares == pytest.approx([answer.probability for answer in other.answers], abs=2e-6)


def test_eager_mode_needs_torch(cached: Path) -> None:
    assert classify(cached, str(sample("coffee")), "--engine", "eager")[1][0] == "True"


def test_classify_uses_the_cached_engine(cached: Path, monkeypatch) -> None:
    monkeypatch.setattr("convatlas.weights.load.load", None)
    results = ca.classify([str(sample(name)) for name in SAMPLES], top=2)
    assert [result.answers[0].label for result in results][2] == "espresso"
    assert len(results[0].answers) == 2
    array = np.zeros((50, 70, 3), np.uint8)
    assert ca.classify(array).photo == "ndarray"
    with pytest.raises(ImageError, match="nowhere"):
        ca.classify("nowhere.png")
    mixed = ca.classify(["nowhere.png", str(sample("coffee"))])
    assert (mixed[0].answers, mixed[1].error) == ((), None)
    for top in (0, 1001, True, "5"):
        with pytest.raises(ConvAtlasError, match="from 1 to 1000"):
            ca.classify(array, top=top)


def test_invalid_files_are_not_used(cached: Path, tmp_path: Path, monkeypatch) -> None:
    import shutil

    store = tmp_path / "store"
    shutil.copytree(cached / "engines", store / "engines")
    monkeypatch.setenv("CONVATLAS_HOME", str(store))
    lite, resnet = find_net("efficientnet_lite0"), find_net("resnet50")
    assert lite is not None
    assert resnet is not None
    assert cached_net(lite) is not None
    assert cached_net(resnet) is None
    assert cached_net(NamedNet(lite.card, "none")) is None
    with pytest.raises(WeightsError, match="no keras weights"):
        find_net("efficientnet_lite0", "keras")
    with pytest.raises(UnknownName, match="nothing"):
        find_net("nothing")
    assert find_net("mine.safetensors") is None
    first, second = sorted(store.glob("engines/cached/efficientnet_lite0/*.json"))
    kept = first.read_bytes()
    for damage in (b"", b"[]", b'{"folder": 1}', kept.replace(b'"machine": "', b'"machine": "0')):
        first.write_bytes(damage)
        assert cached_net(lite, "onnxruntime") is None
        assert cached_net(lite) is not None  # the other engine
    first.write_bytes(kept)
    changed = read_sealed_json(first)
    write_sealed_json(first, changed | {"machine": "0"})
    assert cached_net(lite, "onnxruntime") is None
    lineage = json.loads(changed["metadata"]["lineage"])
    changed["metadata"]["lineage"] = json.dumps(lineage | {"hash": "0" * 64})
    write_sealed_json(first, changed)
    assert cached_net(lite, "onnxruntime") is None
    first.write_bytes(kept)
    (graph,) = store.glob("engines/efficientnet_lite0-*/net.onnx")
    graph.write_bytes(graph.read_bytes()[:-1])
    assert cached_net(lite) is None
    assert ca.classify(sample("coffee")).answers[0].label == "espresso"
    assert second.is_file()


def test_wrong_arguments(cached: Path, monkeypatch) -> None:
    photo = sample("coffee")
    with pytest.raises(UnknownName, match="openvino"):
        ca.classify(photo, engine="openvin")
    with pytest.raises(UnknownName, match="resnet50"):
        ca.classify(photo, "resnet5")
    # Raised before any file is written.
    monkeypatch.setattr(accelerating, "accelerate", None)
    with pytest.raises(UnknownName, match="auto, eager, onnxruntime, openvino"):
        ca.classify(photo, engine="compiled")
    with pytest.raises(UnknownName, match="resnet50"):
        ca.classify(photo, "resnet5", engine="onnxruntime")
    for name in ("yolo_v3_tiny", "mlp_300", "mine.safetensors", "mine:net"):
        with pytest.raises(ConvAtlasError, match="by the name of a net and published weights of classes"):
            ca.classify(photo, name, engine="openvino")
    net = ca.load("efficientnet_lite0")
    with pytest.raises(ConvAtlasError, match="by the name of a net"):
        ca.classify(photo, net, engine="onnxruntime")
    assert ca.classify(photo, net).answers[0].label == "espresso"
