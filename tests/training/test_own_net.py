"""A net of one's own that was trained here is used by every verb, with the weights that its run wrote."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.cli.app import app
from convatlas.images.decoding import read as read_photo
from convatlas.weights.user_weights import lineage_of

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.dense = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Linear(4 * 15 * 15, 2)

    def forward(self, x):
        y = self.norm(self.conv(x)).relu()
        return self.dense(y.flatten(1))

made = Net()

class Loss(Net):
    def outputs(self, x):
        return {"head": self(x)}

    def loss(self, outputs, x, labels, progress):
        return (outputs["head"].gather(1, labels[:, None]) - 1).square().mean()

class Three(Net):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4 * 15 * 15, 3)
"""

NAME = "my_trained_net_in_a_test"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / f"{NAME}.py").write_text(CODE)
    random = np.random.default_rng(0)
    for level, name in enumerate(("dark", "light")):
        for number in range(6):
            path = folder / "data" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 60, (36 + number, 40, 3)) + 190 * level
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    sys.path.insert(0, str(folder))
    recipe = {"epochs": 4, "lr": 1e-2, "batch_size": 4}
    ca.train(f"{NAME}:Net", folder / "data", recipe=recipe, size=32, output=folder / "run")
    sys.path.remove(str(folder))
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(place)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


WEIGHTS = "run/weights.safetensors"
PHOTO = "data/light/1.png"


def loaded() -> nn.Module:
    return ca.load(f"{NAME}:Net", weights=WEIGHTS)


def by_hand(net: nn.Module, photo: str) -> Tensor:
    """Probabilities by PyTorch alone, from the photo as the lineage prepares it."""
    x = lineage_of(net).preprocessing(read_photo(photo))
    with torch.no_grad():
        return torch.softmax(net(torch.from_numpy(x)[None]), 1)[0]


def test_the_file_says_what_made_it_and_imports_nothing() -> None:
    with safe_open(WEIGHTS, "pt") as file:
        metadata = file.metadata()
    assert metadata["callable"] == f"{NAME}:Net"
    before = set(sys.modules)
    with pytest.raises(WeightsError, match=f"holds weights of '{NAME}:Net', a net of your own: give that as the net"):
        ca.load(WEIGHTS)
    with pytest.raises(WeightsError, match=f"{NAME}:Net"):
        ca.load("resnet50", weights=WEIGHTS)
    assert not {name for name in set(sys.modules) - before if "test" in name}


def test_it_is_loaded_whatever_names_it() -> None:
    net = loaded()
    expected = load_file(WEIGHTS)
    lineage = lineage_of(net)
    assert not net.training
    assert lineage.class_names == ("dark", "light")
    assert (lineage.net, lineage.name, lineage.preprocessing.size) == (f"{NAME}:Net", "own/data", (32, 32))
    module = sys.modules[NAME]
    made = ca.load(f"{NAME}:made", weights=WEIGHTS)
    assert made is not module.made
    assert not torch.equal(made.dense.weight, module.made.dense.weight)
    for other in (net, made, ca.load(module.Net(), weights=WEIGHTS)):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("photo", [PHOTO, "data/dark/0.png"])
def test_classify(photo: str) -> None:
    net = loaded()
    expected = by_hand(net, photo)
    command = json.loads(run("classify", photo, "--net", f"{NAME}:Net", "--weights", WEIGHTS, "--json"))[0]
    assert (command["net"], command["weights"]) == (f"{NAME}:Net", "own/data")
    found = ca.classify(photo, net, top=2)
    for answer, shown in zip(found.answers, command["answers"], strict=True):
        assert answer.probability == shown["probability"]
        assert answer.probability == pytest.approx(float(expected[answer.index]), rel=1e-6)
    assert found.answers[0].label == Path(photo).parent.name


def test_a_net_that_was_trained_in_this_program() -> None:
    from convatlas.training.data.splits import load_splits
    from convatlas.training.loop import fit
    from convatlas.training.recipe import Recipe

    net, recipe = sys.modules[NAME].Net(), Recipe(epochs=1, batch_size=4)
    result = fit(net, load_splits("data", net, recipe, (32, 32)), recipe, "fitted", device="cpu")
    assert result.net == "Net"
    back = ca.load(f"{NAME}:Net", weights="fitted/weights.safetensors")
    assert ca.classify(PHOTO, net) == ca.classify(PHOTO, back)


def test_evaluate_and_code_that_changes() -> None:
    result = ca.evaluate(f"{NAME}:Net", "data", weights=WEIGHTS)
    net = loaded()
    photos = sorted(Path("data").rglob("*.png"))
    correct = sum(int(by_hand(net, str(photo)).argmax()) == (photo.parent.name == "light") for photo in photos)
    assert result.top1 == pytest.approx(100 * correct / len(photos))
    assert (result.net, result.published) == (f"{NAME}:Net", False)
    with pytest.raises(ConvAtlasError, match="a net of your own, without other lineages"):
        ca.evaluate(net, "data", preprocessing="keras")
    source = Path(f"{NAME}.py")
    source.write_text(CODE + "\n# another\n")
    try:
        assert ca.evaluate(net, "data").key != result.key
    finally:
        source.write_text(CODE)


def test_export() -> None:
    net = loaded()
    run("export", f"{NAME}:Net", "graph.onnx", "--weights", WEIGHTS)
    session = onnxruntime.InferenceSession("graph.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == ["dark", "light"]
    values = [json.loads(metadata[name]) for name in ("net", "probabilities", "shape")]
    assert values == [f"{NAME}:Net", "softmax", [3, 32, 32]]
    x = lineage_of(net).prepare(PHOTO)[None]
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    assert np.allclose(found, net(torch.from_numpy(x)).detach(), atol=1e-5)
    ca.export(net, "again.safetensors")
    again = ca.load(f"{NAME}:Net", weights="again.safetensors")
    assert lineage_of(again) == lineage_of(net)
    assert torch.equal(again.dense.weight, net.dense.weight)
    for file, layout in (("again.pth", None), ("again.safetensors", "timm")):
        with pytest.raises(
            ConvAtlasError, match=r"weights of your own net go to \.safetensors once it is trained here"
        ):
            ca.export(net, file, layout=layout)


def test_engines_know_its_inputs_and_answers() -> None:
    fast = ca.accelerate(f"{NAME}:Net", "onnxruntime", weights=WEIGHTS)
    assert (fast.record.net, fast.record.weights, fast.record.shape) == (f"{NAME}:Net", "own/data", (3, 32, 32))
    x = fast.preprocess(PHOTO)[None]
    assert torch.allclose(fast(x).softmax(1)[0], by_hand(loaded(), PHOTO), atol=1e-5)


def test_explain() -> None:
    for net, weights in ((f"{NAME}:Net", WEIGHTS), (loaded(), None)):
        explained = ca.explain(net, PHOTO, probe="saliency", target="dark", weights=weights)
        assert (explained.net, explained.weights, explained.index) == (f"{NAME}:Net", "own/data", 0)
        assert explained.on_photo().shape == read_photo(PHOTO).shape[:2]
    shown = json.loads(
        run("explain", PHOTO, "--net", f"{NAME}:Net", "--weights", WEIGHTS, "--target", "contrast:light/dark", "--json")
    )
    assert shown[0]["target"] == "light against dark"


def test_explain_a_probability_by_the_map_of_the_training() -> None:
    net = loaded()
    for name, expected in (("softmax", by_hand(net, PHOTO)[1]), ("identity", None), ("", by_hand(net, PHOTO)[1])):
        net.lineage = replace(lineage_of(net), probabilities=name)
        logit = ca.explain(net, PHOTO, "sobel", "light").score
        score = ca.explain(net, PHOTO, "sobel", "probability:light").score
        assert score == pytest.approx(logit if expected is None else float(expected), abs=1e-5)


def test_bench() -> None:
    result = ca.bench(f"{NAME}:Net", engines=["eager"], batches=[1], weights=WEIGHTS)
    assert {(time.net, time.size) for time in result.times} == {(f"{NAME}:Net", 32)}
    assert not result.refused


def test_batch() -> None:
    answers = ca.batch("classify", "data", "answers", net=f"{NAME}:Net", weights=WEIGHTS, engine="eager")
    assert (answers.net, answers.photos, answers.unread) == (f"{NAME}:Net", 12, ())
    table = pq.read_table("answers").to_pylist()
    assert {row["labels"][0] == row["path"].split("/")[0] for row in table} == {True}


def test_embed() -> None:
    ca.batch("embed", "data", "vectors", net=f"{NAME}:Net", weights=WEIGHTS, engine="eager")
    net = loaded()
    x = torch.from_numpy(lineage_of(net).prepare(PHOTO))[None]
    expected = net.norm(net.conv(x)).relu().flatten(1)[0].detach()
    vectors = {row["path"]: row["embedding"] for row in pq.read_table("vectors").to_pylist()}
    assert torch.allclose(torch.tensor(vectors["light/1.png"]), expected, atol=1e-5)


def test_measure_and_draw() -> None:
    net = loaded()
    assert ca.measure(net).input == (3, 32, 32)
    assert ca.measure(net).name == f"{NAME}:Net"
    picture = ca.draw(f"{NAME}:Net", maps="conv", photo=PHOTO, weights=WEIGHTS)
    assert "Weights: own/data." in picture.svg()


def test_a_run_resumes_whatever_the_module_makes_on_import(tmp_path: Path) -> None:
    """The module makes a net of its own, which draws random numbers, and which no training may change."""
    Path("importing.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
        "NET = make()\n"
    )
    for name in ("make", "NET"):
        for epochs in (1, 2):
            ca.train(
                f"importing:{name}",
                "data",
                recipe={"epochs": epochs, "batch_size": 4},
                output=tmp_path / name,
                size=32,
                resume=epochs == 2,
            )


def test_training_goes_on_from_its_weights() -> None:
    recipe = {"epochs": 1, "lr": 1e-9, "opt": "sgd", "momentum": 0.0, "batch_size": 4}
    ca.train(f"{NAME}:Net", "data", recipe=recipe, weights=WEIGHTS, output="further")
    further, before = load_file("further/weights.safetensors"), load_file(WEIGHTS)
    assert torch.allclose(further["dense.weight"], before["dense.weight"], atol=1e-6)
    with pytest.raises(ConvAtlasError, match="genes can be changed in nets of the atlas only"):
        ca.train(f"{NAME}:Net", "data", genes={"activation": "gelu"}, size=32, output="genes")


def test_plain_weights_are_loaded_too_but_say_nothing_of_photos() -> None:
    torch.save(loaded().state_dict(), "plain.pth")
    net = ca.load(f"{NAME}:Net", weights="plain.pth")
    assert torch.equal(net.dense.weight, loaded().dense.weight)
    with pytest.raises(WeightsError, match="no weights that say how photos are prepared"):
        ca.classify(PHOTO, net)


def test_a_loss_of_ones_own_has_to_say_what_outputs_are() -> None:
    recipe = {"epochs": 1, "batch_size": 4}
    ca.train(f"{NAME}:Loss", "data", recipe=recipe, size=32, output="loss")
    net = ca.load(f"{NAME}:Loss", weights="loss/weights.safetensors")
    assert ca.evaluate(net, "data").photos == 12
    with pytest.raises(ConvAtlasError, match="attribute `probabilities`, one of softmax, halved, identity"):
        ca.classify(PHOTO, net)
    ca.train(f"{NAME}:Net", "data", recipe={**recipe, "loss": "mse"}, size=32, output="squared")
    net = ca.load(f"{NAME}:Net", weights="squared/weights.safetensors")
    x = torch.from_numpy(lineage_of(net).prepare(PHOTO))[None]
    halves = ((1 + net(x)[0]) / 2).clamp(0, 1)
    answer = ca.classify(PHOTO, net).answers[0]
    assert answer.probability == pytest.approx((halves[answer.index] / halves.sum()).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ca.load(f"{NAME}:Net"), "a net of your own, without published weights: give its file as weights="),
        (lambda: ca.load(f"{NAME}:Net", weights="keras"), "no file 'keras'"),
        (lambda: ca.load(f"{NAME}:Net", weights=WEIGHTS, classes=3), "loaded as it is"),
        (lambda: ca.load(f"{NAME}:Three", weights=WEIGHTS), f"of {NAME}:Net.* do not fit the net: dense"),
        (lambda: ca.load(ca.build("lenet5"), weights=WEIGHTS), "a module of your own"),
        (lambda: ca.classify(PHOTO, f"{NAME}:Net"), "no weights that say how photos are prepared"),
        (lambda: ca.detect(PHOTO, f"{NAME}:Net"), "not a detector"),
        (lambda: ca.classify(PHOTO, f"{NAME}:Net", weights="damaged.safetensors"), "its description is damaged"),
        (lambda: ca.classify(PHOTO, f"{NAME}:Net", weights="three.safetensors"), "2 outputs .* name 3 classes"),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, said: str) -> None:
    with safe_open(WEIGHTS, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(WEIGHTS), "damaged.safetensors", {**metadata, "lineage": metadata["lineage"][:-9]})
    names = metadata["lineage"].replace('["dark", "light"]', '["dark", "light", "x"]')
    save_file(load_file(WEIGHTS), "three.safetensors", {**metadata, "lineage": names})
    with pytest.raises(ConvAtlasError, match=said) as error:
        call()
    assert str(error.value).isprintable()


BROKEN = """
from torch import nn

class Fails(nn.Linear):
    def forward(self, x):
        raise ValueError("two\\nlines")

class Lists(nn.Linear):
    def forward(self, x):
        return [super().forward(x.mean((2, 3)))]

def fails(): return Fails(3, 2)
def lists(): return Lists(3, 2)
def lazy(): return nn.LazyLinear(2)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fails", r"fails \(ValueError: two lines\) at step 1 of epoch 1; no checkpoint has been written yet"),
        ("lists", "returns a list, not one tensor"),
        ("lazy", "has lazy layers"),
    ],
)
def test_nets_that_cannot_be_trained(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "my_broken_net_in_a_test.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConvAtlasError, match=said):
        ca.train(f"my_broken_net_in_a_test:{name}", place / "data", size=32, output=tmp_path / "run")
