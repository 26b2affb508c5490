"""The verb: targets, layers, backgrounds, records, files, pictures, and what it refuses."""

from __future__ import annotations

import copy
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn

import convatlas as ca
from convatlas import probes
from convatlas.base.errors import ConvAtlasError
from convatlas.probes import Attribution, Contrast, Logit, Probability, certificate, placement
from convatlas.probes import subject as subjects
from convatlas.probes.cam.fem import Fem
from convatlas.probes.certificate import certificates
from convatlas.probes.coverage import coverage
from convatlas.probes.perturbation.occlusion import Occlusion
from convatlas.probes.picture import overlay, sheet
from convatlas.probes.registry import all_probes
from convatlas.probes.report import check_path, write
from tests.probes.nets import Functional, ThroughNumpy

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))


def small() -> nn.Module:
    torch.manual_seed(0)
    return Functional().eval()


@pytest.fixture(scope="module")
def cat() -> Attribution:
    result = ca.explain("efficientnet_lite0", data.chelsea(), "grad_cam")
    assert isinstance(result, Attribution)
    return result


def test_the_map_lies_on_the_photo(cat: Attribution) -> None:
    assert cat.target == "output of tiger cat"
    assert cat.layer == "conv_head"
    assert cat.values.shape == (7, 7)
    photo = cat.on_photo()
    assert photo.shape == (300, 451)
    # The net sees a centre crop of 224/256 of the shorter side.
    visible = ~np.isnan(photo)
    assert (visible.any(1).sum(), visible.any(0).sum()) == (262, 262)
    assert visible[150, 225]
    assert cat.derivative is not None
    assert cat.derivative < 1e-5


def test_a_map_is_placed_by_the_receptive_field_of_its_layer(cat: Attribution) -> None:
    # SAME padding of even sides pads one pixel less at the top: centres lie half a pixel before 16 + 16.
    assert (cat.grid[0].start, cat.grid[0].stride) == (31.5, 32.0)
    native = cat.on_input(native=True)
    assert np.unique(native).size == 49


def test_what_the_net_does_not_look_at_stays_grey(cat: Attribution) -> None:
    pixels = overlay(cat)
    assert pixels.shape == (300, 451, 3)
    assert (np.ptp(pixels[:, :50].astype(int), axis=2) == 0).all()
    assert (np.ptp(pixels[150, 225:300].astype(int), axis=1) > 0).any()


def test_saved_and_loaded(cat: Attribution, tmp_path) -> None:
    again = Attribution.load(cat.save(tmp_path / "cat.npz"))
    assert again == cat
    assert np.array_equal(again.values, cat.values)
    assert np.array_equal(again.on_photo(), cat.on_photo(), equal_nan=True)
    assert json.loads(cat.to_json())["target"] == cat.target
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes((tmp_path / "cat.npz").read_bytes()[:-100])
    swelling = tmp_path / "swelling.npz"
    np.savez_compressed(swelling, record=np.zeros(2**24, np.uint8))
    os.mkfifo(tmp_path / "pipe.npz")
    unclosed = tmp_path / "unclosed.npz"
    with zipfile.ZipFile(unclosed, "w") as archive:
        archive.writestr("record.npy", b"\x93NUMPY\1\0" + (9000).to_bytes(2, "little") + b"(" * 8999 + b"\n")
    for path in (damaged, swelling, unclosed, tmp_path / "pipe.npz", tmp_path / "none.npz"):
        with pytest.raises(ca.ConvAtlasError):
            Attribution.load(path)
    with pytest.raises(ca.ConvAtlasError, match=r"\.npz"):
        cat.save(tmp_path / "cat.txt")


@pytest.mark.parametrize(
    "change",
    [
        {"values": np.zeros(5)},
        {"values": np.zeros((3, 3))},
        {"values": np.array([["x"]])},
        {"photo": np.zeros((5, 5))},
        {"score": None},
        {"size": [1, 2, 3]},
        {"grid": [{"cells": "a", "start": 0, "stride": 0}] * 2},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_when_it_is_read(cat: Attribution, tmp_path, change: dict[str, object]) -> None:
    with np.load(cat.save(tmp_path / "cat.npz")) as file:
        arrays = dict(file)
    name, value = next(iter(change.items()))
    if isinstance(value, np.ndarray):
        arrays[name] = value
    else:
        record = json.loads(arrays["record"].tobytes()) | change
        arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez(tmp_path / "damaged.npz", **arrays)
    with pytest.raises(ConvAtlasError, match="or it is damaged"):
        Attribution.load(tmp_path / "damaged.npz")


def test_reports_and_pictures(cat: Attribution, tmp_path) -> None:
    page = write([cat], tmp_path / "cat.html").read_text("utf-8")
    assert "Grad-CAM" in page
    assert "<title>What efficientnet_lite0 saw</title>" in page
    named = write([cat], tmp_path / "cat.html", "my <cat>.png").read_text("utf-8")
    assert "<title>What efficientnet_lite0 saw in my &lt;cat&gt;.png</title>" in named
    assert "data:image/png" in page
    assert "http" not in page.replace("https://", "")
    assert write([cat, cat], tmp_path / "cats.png").read_bytes().startswith(b"\x89PNG")
    assert sheet([cat, cat]).width > cat.picture().width
    assert sheet([cat, replace(cat, target="dog")]).title == f"grad_cam: {cat.target}, dog"
    with pytest.raises(ca.ConvAtlasError, match=r"\.html"):
        write([cat], tmp_path / "cat.gif")


def test_targets() -> None:
    net = small()
    with torch.no_grad():
        scores = net(X[None])[0].double()
    top = int(scores.argmax())
    expected = {
        None: scores[top],
        "top": scores[top],
        3: scores[3],
        "3": scores[3],
        "probability:3": scores.softmax(0)[3],
        "contrast:3/1": scores[3] - scores[1],
        "contrast:3": scores[3] - scores[[0, 1, 2, 4]].logsumexp(0),
    }
    for target, score in expected.items():
        assert ca.explain(net, X, "sobel", target).score == pytest.approx(float(score), abs=1e-6), target
    objects = [Logit(3), Probability(3), Contrast(3, (1,)), lambda output: output[:, 3] ** 2]
    results = ca.explain(net, X, "sobel", objects)
    assert [result.score for result in results] == pytest.approx(
        [float(each) for each in (scores[3], scores.softmax(0)[3], scores[3] - scores[1], scores[3] ** 2)], abs=1e-6
    )


def test_a_class_named_by_a_number_is_meant_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.probes.targets._names", lambda net: ["1", "10", "2", "3", "4"])
    asked = ["1", "logit:1", "probability:1", "contrast:1/10", "contrast:2/1", 1]
    assert [result.index for result in ca.explain(small(), X, "sobel", asked)] == [0, 0, 0, 0, 2, 1]
    assert ca.explain(small(), X, "sobel", "contrast:2/1").target == "2 against 1"


def test_numbers_of_numpy_are_numbers() -> None:
    net = small()
    assert ca.explain(net, X, "grad_cam", np.int64(3), layer=np.int64(1), seed=np.int64(1)).index == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nets_below_float32_are_explained_in_float32(dtype: torch.dtype) -> None:
    net = small().to(dtype)
    result, exact = ca.explain(net, X, "saliency", 3), ca.explain(copy.deepcopy(net).float(), X, "saliency", 3)
    assert result.map.dtype == np.float32
    assert np.allclose(result.map, exact.map, rtol=1e-5)
    assert next(net.parameters()).dtype == dtype


def test_several_probes_and_targets_share_perturbations() -> None:
    results = ca.explain(small(), X, ["occlusion", "sobel"], [0, 1, 2])
    assert [[result.target for result in group] for group in results] == [[f"output of {k}" for k in range(3)]] * 2
    assert results[0][0].forwards == ca.explain(small(), X, "occlusion", 0).forwards


def test_backgrounds_are_named_in_pixels() -> None:
    net = ca.load("efficientnet_lite0")
    black = net.preprocess(np.zeros((300, 451, 3), np.uint8))
    for background, score in {"black": black, "mean": None, "blur": None, "noise": None}.items():
        result = ca.explain(net, data.chelsea(), "deep_lift", background=background)
        assert result.residual <= 1e-5
        if score is not None:
            with torch.no_grad():
                assert result.background_score == pytest.approx(float(net(score[None])[0, result.index]), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": 5}, "classes 0 to 4"),
        ({"target": -1}, "classes 0 to 4"),
        ({"target": "cat"}, "no names"),
        ({"target": []}, "no target"),
        ({"target": lambda output: output}, "one score for each photo"),
        ({"target": "contrast:1/1"}, "against itself"),
        ({"target": "--3"}, "no names"),
        ({"probe": "gradcam"}, "grad_cam"),
        ({"probe": 3}, "settings object"),
        ({"probe": []}, "no probe"),
        ({"layer": "secnd"}, "second"),
        ({"layer": "head"}, "does not output maps"),
        ({"layer": 99}, "numbers from 1"),
        ({"layer": 1.5}, "a name or a number"),
        ({"layer": True}, "a name or a number"),
        ({"layer": ["first", "secnd"]}, "second"),
        ({"layer": [["first"]]}, "a name or a number"),
        ({"layer": []}, "no layer"),
        ({"layer": ""}, "no layer is called ''"),
        ({"layer": "--3"}, "no layer is called '--3'"),
        ({"layer": "secnd", "probe": "saliency"}, "saliency explains at no layer: leave out layer="),
        ({"layer": "all", "probe": ["grad_cam", "saliency"]}, "saliency explains at no layer"),
        ({"layer": ["first"], "probe": "occlusion"}, "occlusion explains at no layer"),
        ({"target": Logit(True)}, "a number or a name"),
        ({"target": Probability(2.5)}, "a number or a name"),
        ({"target": Contrast(1, 2)}, "are a tuple"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": "a"}, "seed is a whole number"),
        ({"memory": 0}, "memory is a whole number"),
        ({"background": "blak"}, "black"),
        ({"background": torch.zeros(3, 2, 2)}, "shape"),
        ({"background": torch.full((3, 16, 16), float("nan"))}, "tensor of finite floats"),
        ({"background": torch.zeros(3, 16, 16, dtype=torch.uint8)}, "tensor of finite floats"),
        ({"background": np.zeros((16, 16, 3), np.uint8)}, "as an input of the net"),
        ({"background": "other.png"}, "as an input of the net"),
        ({"precision": "int8"}, "int8"),
        ({"precision": "float16"}, "float32"),
        ({"device": "tpu"}, "device"),
        ({"engine": "eagr"}, "engine"),
        ({"image": torch.full((3, 16, 16), float("nan"))}, "not finite"),
        ({"image": torch.zeros(16, 16)}, r"\(C, h, w\)"),
        ({"image": "photo.jpg"}, "no preprocessing"),
    ],
)
def test_refused_in_one_line(options, text) -> None:
    arguments = {"image": X, "probe": "grad_cam"} | options
    with pytest.raises(ca.ConvAtlasError, match=text) as error:
        ca.explain(small(), **arguments)
    assert "\n" not in str(error.value)


def test_a_contrast_with_the_most_probable_class() -> None:
    top = ca.explain(small(), X, "saliency").index
    other = (top + 1) % 5
    named, meant = (ca.explain(small(), X, "saliency", f"contrast:{other}/{each}") for each in (top, "top"))
    assert (named.target, named.score) == (meant.target, meant.score)


def test_a_net_that_returns_a_dictionary_needs_a_target() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": self.net(x)}

    with pytest.raises(ca.ConvAtlasError, match="pass target="):
        ca.explain(Both().eval(), X)
    result = ca.explain(Both().eval(), X, "grad_cam", lambda output: output["out"][:, 2])
    assert np.allclose(result.values, ca.explain(small(), X, "grad_cam", 2).values)


def test_black_box_probes_explain_what_gradients_cannot() -> None:
    torch.manual_seed(0)
    net = ThroughNumpy().eval()
    assert ca.explain(net, X, "occlusion", 1).values.any()
    with pytest.raises(ca.ConvAtlasError, match="occlusion"):
        ca.explain(net, X, "saliency", 1)


def test_a_product_says_which_factor_is_blank() -> None:
    class Against(nn.Module):
        """The more of anything the photo holds, the lower the score."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3, 2)
            self.head = nn.Linear(2, 1, bias=False)
            for weight in (self.first.weight, self.second.weight):
                nn.init.constant_(weight, 0.1)
            nn.init.constant_(self.head.weight, -1.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(x).relu()).relu().mean((2, 3)))

    guided, refined = (ca.explain(Against().eval(), X, probe, 0) for probe in ("guided_grad_cam", "refine_cam"))
    assert not guided.values.any()
    assert not refined.values.any()
    assert "guided backprop is blank" in guided.notes
    assert any(
        note.startswith("Grad-CAM at relu") and note.endswith("nowhere positive: it is blank") for note in guided.notes
    )
    assert sum(note.startswith("Grad-CAM++ at ") for note in refined.notes) == 2


def test_a_blank_map_is_announced() -> None:
    result = ca.explain(small(), X, "saliency", lambda output: output[:, 0] * 0)
    assert "blank" in result.notes[0]


def test_fem_says_that_a_map_has_too_few_places() -> None:
    net = ca.build("resnet18", size=(64, 64)).eval()
    x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    blank, seen = (ca.explain(net, x, Fem(deviations), 0) for deviations in (1.8, 1.7))
    assert blank.notes[0] == "none of 4 places lies more than 1.73 deviations above the mean: ask for fewer"
    assert not blank.values.any()
    assert not seen.notes


def test_coverage() -> None:
    rows = {row.probe: row.reason for row in coverage(ca.build("lenet5"), (1, 32, 32), "lenet5")}
    assert set(rows) == set(all_probes())
    assert rows["grad_cam"] == rows["lrp"] == rows["occlusion"] == ""
    assert rows["guided_backprop"] == "this net has no ReLU to change: use saliency, which is its plain gradient"

    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sort(1).values

    rows = {row.probe: row.reason for row in coverage(Sorted(), (3, 8, 8), "sorted")}
    assert rows["lrp"] == "LRP has no rule for sort: use integrated_gradients"
    assert rows["deep_lift"] == "DeepLIFT has no rule for sort: use integrated_gradients"
    assert rows["saliency"] == ""


def test_an_engine_computes_the_scores_of_black_box_probes() -> None:
    net = ca.load("efficientnet_lite0")
    photo = data.chelsea()[60:-60, 100:-100]
    settings = Occlusion(window=112, stride=112)
    eager, fast = (ca.explain(net, photo, [settings, "saliency"], engine=engine) for engine in ("eager", "onnxruntime"))
    assert [each.engine.split()[0] for each in (*eager, *fast)] == ["eager", "eager", "onnxruntime", "eager"]
    assert np.allclose(eager[0].values, fast[0].values, atol=1e-3)
    assert eager[0].forwards == fast[0].forwards == 4
    opened = ca.accelerate(net, "onnxruntime")
    again = ca.explain(opened, photo, [settings, "saliency"])
    assert [each.engine for each in again] == [str(opened.record.options), "eager"]
    assert np.array_equal(again[0].values, fast[0].values)
    assert np.array_equal(again[1].values, fast[1].values)
    with pytest.raises(ConvAtlasError, match="runs in onnxruntime float32, 1 a run already"):
        ca.explain(opened, photo, settings, engine="eager")


def test_probes_of_one_call_share_the_tape_and_count_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    net = ca.build("resnet18", size=(64, 64))
    x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    alone = [ca.explain(net, x, probe) for probe in ("saliency", "grad_cam", "occlusion")]
    recorded: list[torch.Tensor] = []
    record = subjects.record
    monkeypatch.setattr(subjects, "record", lambda net, x, score: recorded.append(x) or record(net, x, score))
    together = ca.explain(net, x, ["saliency", "grad_cam", "occlusion"])
    assert len(recorded) == 1
    for each, other in zip(alone, together, strict=True):
        assert np.array_equal(each.values, other.values)
        assert (each.forwards, each.backwards, each.derivative) == (other.forwards, other.backwards, other.derivative)
    assert together[2].derivative is None


def test_several_layers_share_one_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    net, layers = small(), ["first", 2, -1]
    alone = [ca.explain(net, X, "hires_cam", 3, layer=layer) for layer in layers]
    recorded: list[torch.Tensor] = []
    traces: list[int] = []
    record, trace = subjects.record, placement.trace_inputs
    monkeypatch.setattr(subjects, "record", lambda net, x, score: recorded.append(x) or record(net, x, score))
    monkeypatch.setattr(placement, "trace_inputs", lambda *args: traces.append(1) or trace(*args))
    net = small()
    swept = ca.explain(net, X, "hires_cam", 3, layer=layers)
    assert len(recorded) == len(traces) == 1
    for each, other in zip(swept, alone, strict=True):
        assert np.array_equal(each.values, other.values)
        assert (each.layer, each.grid, each.forwards) == (other.layer, other.grid, other.forwards)
    nested = ca.explain(net, X, ["hires_cam", "grad_cam"], [3, 1], layer=layers)
    assert [[[each.index for each in targets] for targets in places] for places in nested] == [[[3, 1]] * 3] * 2
    assert [[places[0].layer for places in each] for each in nested] == [[each.layer for each in alone]] * 2
    assert np.array_equal(nested[0][1][0].values, alone[1].values)


def test_all_layers_are_explained_each_once() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    net = nn.Sequential(block, nn.Conv2d(4, 4, 3, 2), nn.Flatten(), nn.Linear(4 * 7 * 7, 5)).eval()
    results = ca.explain(net, X, "grad_cam", 1, layer="all")
    assert [result.layer for result in results] == ["0.0", "0", "1"]
    assert [result.values.shape for result in results] == [(16, 16), (16, 16), (7, 7)]


def test_several_layers_stand_side_by_side(tmp_path) -> None:
    results = ca.explain(small(), X, "grad_cam", 1, layer="all")
    page = write(results, tmp_path / "layers.html").read_text("utf-8")
    assert page.count("<section") == page.count('<section class="layers">') == 1
    assert page.count("<img") == len(results) > 1
    assert [page.count(f"<h3>{result.layer}</h3>") for result in results] == [1] * len(results)
    assert page.count("Shows:") == 1
    assert sheet(results).width > results[0].picture().width


class Cancelling(nn.Module):
    """A sum of large numbers of both signs, which float32 cannot hold to its last digits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.down = nn.Conv2d(3, 64, 3), nn.Conv2d(3, 64, 3)
        self.down.load_state_dict(self.up.state_dict())
        with torch.no_grad():
            self.down.weight.mul_(1 + 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.relu(self.up(x)) - torch.relu(self.down(x))).sum((2, 3))


def test_what_float32_cannot_add_up_is_added_up_in_float64() -> None:
    result = ca.explain(Cancelling().eval(), X, "lrp", 1)
    assert result.precision == "float64"
    assert result.residual <= 1e-9
    assert ca.explain(small(), X, "lrp", 1).precision == "float32"


class Writing(nn.Module):
    """Changes its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2).flatten(1)


def test_a_net_that_writes_into_its_input_changes_neither_photo_nor_background() -> None:
    photo, background = X.clone(), X.flip(1).clone()
    result = ca.explain(Writing(), photo, "occlusion", 0, background=background)
    assert torch.equal(photo, X)
    assert torch.equal(background, X.flip(1))
    assert result.score == pytest.approx(2 * float(X.flatten()[0]))


def test_functions_of_the_same_name_are_certified_apart() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 4)).eval()
    for _ in range(2):
        for index in (0, 1):
            ca.explain(net, X, "saliency", FUNCTIONS[index])
    assert len(certificates(net)) == 2
    ca.explain(net, X, "saliency", [0, 1])
    assert len(certificates(net)) == 3


FUNCTIONS = [lambda output: output[:, 0], lambda output: output[:, 1]]


def test_a_module_named_by_a_number_is_meant_by_its_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    assert ca.explain(net, X, "grad_cam", layer="1").layer == "1"
    assert ca.explain(net, X, "grad_cam", layer=1).layer == "0"
    assert ca.explain(net, X, "grad_cam", layer="-1").layer == "1"
    with pytest.raises(ConvAtlasError, match="2 does not output maps"):
        ca.explain(net, X, "grad_cam", layer="2")


def test_settings_are_at_the_front_door_of_the_room() -> None:
    for probe in all_probes().values():
        assert getattr(probes, type(probe).__name__) is type(probe)
    with pytest.raises(AttributeError, match="Rize"):
        probes.Rize


def test_cells_that_are_spread_evenly_are_told() -> None:
    class Rolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
            self.rolled = nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rolled(self.conv(x).roll(3, -1)).mean((2, 3)))

    net = Rolled()
    followed, lost = (ca.explain(net, X, "grad_cam", 1, layer=layer) for layer in ("conv", "rolled"))
    assert followed.notes == ()
    assert lost.notes == ("where rolled looks cannot be followed: its cells are spread evenly",)


def test_maps_of_functions_that_a_net_calls_itself_lie_where_those_of_modules_do() -> None:
    class Called(nn.Module):
        def __init__(self, by_module: bool) -> None:
            super().__init__()
            self.first, self.last, self.head = nn.Conv2d(3, 4, 5), nn.Conv2d(4, 4, 3, 2), nn.Linear(4, 5)
            self.act = nn.ReLU() if by_module else None

        def forward(self, x: Tensor) -> Tensor:
            x = self.last(torch.relu(self.first(x)))
            return self.head((self.act or torch.relu)(x).mean((2, 3)))

    torch.manual_seed(0)
    named, nameless = Called(True).eval(), Called(False).eval()
    nameless.load_state_dict(named.state_dict())
    expected, result = (ca.explain(net, X, "grad_cam", 1) for net in (named, nameless))
    assert (expected.layer, result.layer) == ("act", "relu")
    assert result.notes == expected.notes
    assert result.grid == expected.grid


def test_progress_never_goes_back() -> None:
    chosen = [probes.IntegratedGradients(tolerance=1e-12, steps=100), "grad_cam"]
    steps = [done / total for done, total, _ in ca.explain.steps(Functional().eval(), X, chosen, [0, 1])]
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_files_that_cannot_hold_what_is_asked_are_refused_before_anything_is_computed() -> None:
    for name, chosen, targets in (("maps.npz", ["grad_cam", "lrp"], 1), ("map.npz", ["lrp"], 2)):
        with pytest.raises(ConvAtlasError, match="holds a single attribution; got 2"):
            check_path(name, chosen, targets)
    for name, layers, text in (
        ("map.npz", ["a", "b"], "got 2"),
        ("map.npz", "all", "got those of all layers"),
        ("all.png", "all", "one at a time"),
    ):
        with pytest.raises(ConvAtlasError, match=text):
            check_path(name, ["activation_maximisation"], 1, layers)
    with pytest.raises(
        ConvAtlasError, match=r"one at a time, or in a report \(.html\); activation_maximisation is one"
    ):
        check_path("all.png", ["activation_maximisation", "grad_cam"])
    for name, chosen in (("all.html", ["activation_maximisation", "lrp"]), ("one.png", ["activation_maximisation"])):
        check_path(name, chosen)


def test_the_field_of_a_unit_takes_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = []
    trace = placement.trace_inputs
    monkeypatch.setattr(placement, "trace_inputs", lambda *args: traces.append(1) or trace(*args))
    net = nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.ReLU())
    field = placement.UnitField(net, (3, 16, 16), "0", (7, 7))
    assert field(1, 2) == ((2, 4), (4, 6))
    assert len(traces) == 1


class Counting(nn.Module):
    """A net that counts its calls in a buffer, which its score may follow."""

    def __init__(self, follows: bool, replaces: bool) -> None:
        super().__init__()
        self.net, self.follows, self.replaces = small(), follows, replaces
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.replaces:
            self.calls = self.calls + 1
        else:
            self.calls += 1
        return self.net(x) + self.follows * self.calls


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("probe", ["occlusion", "saliency", "grad_cam"])
def test_buffers_that_a_net_writes_to_come_back(probe: str, replaces: bool) -> None:
    net = Counting(False, replaces).eval()
    expected = ca.explain(net.net, X, probe, 1)
    np.testing.assert_allclose(ca.explain(net, X, probe, 1).values, expected.values, atol=1e-6)
    assert float(net.calls) == 0


@pytest.mark.parametrize("probe", ["occlusion", "saliency"])
def test_a_score_that_changes_from_call_to_call_is_refused(probe: str) -> None:
    net = Counting(True, False).eval()
    with pytest.raises(ca.ConvAtlasError, match="changes from one call to the next"):
        ca.explain(net, X, probe, 1)
    assert float(net.calls) == 0


class Single(nn.Module):
    """A net that runs in float32 only."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.float())


def test_a_sum_that_a_net_of_float32_cannot_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "RESIDUAL", {torch.float32: 0.0})
    with pytest.raises(ca.ConvAtlasError, match="does not sum to the score"):
        ca.explain(Single().eval(), X, "deep_lift", 1)


def test_a_single_output_is_held_against_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)).eval()
    with pytest.raises(ca.ConvAtlasError, match="a single output, which cannot be held against others"):
        ca.explain(net, X, "contrastive_lrp")
    with pytest.raises(ca.ConvAtlasError, match="probability of a single output is always 1"):
        ca.explain(net, X, "saliency", "probability:0")


def test_photos_that_a_net_takes_out_of_the_batch_keep_their_grid() -> None:
    class Each(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.net(photo[None])[0] for photo in x])

    net = Each().eval()
    np.testing.assert_array_equal(
        ca.explain(net, X, "grad_cam", 1).values, ca.explain(net.net, X, "grad_cam", 1).values
    )
