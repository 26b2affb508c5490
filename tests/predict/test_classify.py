"""What classifying does with every kind of photo, with batches, and with nets it cannot use."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError
from convatlas.images.decoding import read
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.net import Net
from convatlas.predict.predictors import BATCH
from convatlas.predict.results import Classification, class_table
from convatlas.weights.load import load


@pytest.fixture(scope="module")
def net() -> Net:
    return load("efficientnet_lite0")


def probabilities(found: Classification) -> np.ndarray:
    return np.array([answer.probability for answer in sorted(found.answers, key=lambda answer: answer.index)])


def test_coffee_and_a_cat(net: Net) -> None:
    coffee = ca.classify(sample("coffee"), net)
    assert coffee.answers[0].label == "espresso"
    assert coffee.answers[0].probability > 0.85
    assert ca.classify(str(sample("chelsea")), net).answers[0].label in {"tabby", "tiger cat", "Egyptian cat"}


def test_one_photo_in_every_form_has_one_answer(net: Net) -> None:
    path = sample("coffee")
    array, image = read(path), Image.open(path)
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), array, array / 255, image]
    alone = [ca.classify(form, net) for form in forms]
    assert all(isinstance(found, Classification) for found in alone)
    assert len({found.answers for found in alone}) == 1
    together = ca.classify(forms, net)
    assert [found.photo for found in together] == [
        str(path), str(path), "bytes", "bytearray", "ndarray", "ndarray", type(image).__name__
    ]  # fmt: skip
    for found in together:
        assert [answer.index for answer in found.answers] == [answer.index for answer in alone[0].answers]
        assert found.answers[0].probability == pytest.approx(alone[0].answers[0].probability, abs=1e-5)


def test_answers_are_the_softmax_of_the_logits_in_order(net: Net) -> None:
    path = sample("rocket")
    found = ca.classify(path, net, top=1000)
    with torch.no_grad():
        expected = net(torch.from_numpy(net.lineage.prepare(path))[None]).double().softmax(1)[0].numpy()
    assert np.abs(probabilities(found) - expected).max() < 1e-6
    shown = [answer.probability for answer in found.answers]
    assert shown == sorted(shown, reverse=True)
    assert sorted(answer.index for answer in found.answers) == list(range(1000))
    assert all(answer.label == net.lineage.class_names[answer.index] for answer in found.answers)
    assert ca.classify(path, net, top=3).answers == found.answers[:3]


def test_who_else_is_in_the_batch_does_not_matter(net: Net) -> None:
    """Up to the last digits of float32; and a photo that cannot be read shifts nobody's answers."""
    alone = {name: probabilities(ca.classify(sample(name), net, top=1000)) for name in SAMPLES}
    names = [SAMPLES[number % 4] for number in range(BATCH + 3)]
    many: list[Path | bytes] = [sample(name) for name in names]
    many[1] = many[BATCH] = b"no photo"
    found = ca.classify(many, net, top=1000)
    assert len(found) == BATCH + 3
    for number, (name, one) in enumerate(zip(names, found, strict=True)):
        if number in (1, BATCH):
            assert one.answers == ()
            assert "not an image" in one.error
        else:
            assert np.abs(probabilities(one) - alone[name]).max() < 1e-5
    # The bound is far below what tells two photos apart.
    assert np.abs(alone["coffee"] - alone["rocket"]).max() > 0.1


def test_a_net_in_double_precision_and_in_training(net: Net) -> None:
    double = load("efficientnet_lite0").double().train()
    found = ca.classify(sample("coffee"), double)
    assert [answer.index for answer in found.answers] == [
        answer.index for answer in ca.classify(sample("coffee"), net).answers
    ]
    assert next(double.parameters()).dtype == torch.float64


def test_a_folder_with_bad_files(net: Net, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.png").write_bytes(sample("coffee").read_bytes())
    (tmp_path / "a.jpg").write_bytes(sample("rocket").read_bytes()[:2000])
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "d.txt").write_text("no photo, and no photo's name")
    found = ca.classify(tmp_path, net, top=1)
    assert [Path(one.photo).name for one in found] == ["a.jpg", "b.png", "c.png"]
    assert [one.error is None for one in found] == [False, False, True]
    assert found[2].answers[0].label == "espresso"
    assert all("\n" not in str(one) for one in found)
    assert str(found[2]) == f"{found[2].photo}: espresso {found[2].answers[0].probability:.3f}"
    with pytest.raises(ImageError, match=r"a\.jpg"):
        ca.classify(tmp_path / "a.jpg", net)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no photo"):
        ca.classify(tmp_path / "empty", net)


def test_no_photos_have_no_answers(net: Net) -> None:
    assert ca.classify([], net) == []
    assert json.loads(class_table([]).json()) == []


def test_the_record_says_with_what_it_was_found(net: Net) -> None:
    found = ca.classify(sample("coffee"), net, top=2).to_dict()
    assert (found["net"], found["weights"], found["error"]) == ("efficientnet_lite0", "lite", None)
    assert found["answers"][0]["index"] == 967
    assert {"convatlas", "torch", "numpy", "pillow"} <= set(found["made"]["versions"])


@pytest.mark.parametrize("top", [0, -1, 1001, 1.5, "5", True, None])
def test_how_many_classes(net: Net, top: object) -> None:
    with pytest.raises(ConvAtlasError, match="top is a number of classes from 1 to 1000"):
        ca.classify(sample("coffee"), net, top=top)


def test_nets_that_cannot_classify() -> None:
    with pytest.raises(WeightsError, match="mobilenet has random weights, whose predictions mean nothing"):
        ca.classify(sample("coffee"), ca.build("mobilenet"))
    with pytest.raises(ConvAtlasError, match="Linear has no weights that say how photos are prepared"):
        ca.classify(sample("coffee"), nn.Linear(2, 2))
    with pytest.raises(WeightsError, match="has no class names: its head is new"):
        ca.classify(sample("coffee"), ca.load("efficientnet_lite0", classes=2))


def test_a_device_that_is_not_there(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConvAtlasError, match=r"^this machine has no cuda; it has cpu"):
        ca.classify(sample("coffee"), net, device="cuda")
    with pytest.raises(ConvAtlasError, match="no device is called 'gpu'"):
        ca.classify(sample("coffee"), net, device="gpu")


def test_grey_and_transparent_photos(net: Net) -> None:
    grey = Image.open(sample("coffee")).convert("L")
    clear = Image.open(sample("coffee")).convert("RGBA")
    assert ca.classify(clear, net).answers == ca.classify(sample("coffee"), net).answers
    assert ca.classify(np.asarray(grey), net).answers == ca.classify(grey, net).answers
    file = io.BytesIO()
    grey.save(file, "png")
    assert ca.classify(file.getvalue(), net).answers == ca.classify(grey, net).answers


def test_nets_of_few_classes_tell_all_of_them() -> None:
    """The default of five is no mistake of who did not name it."""
    net = ca.load("efficientnet_lite0", classes=2)
    net.lineage = replace(net.lineage, class_names=("a", "b"))
    assert len(ca.classify(sample("coffee"), net).answers) == 2
    with pytest.raises(ConvAtlasError, match="from 1 to 2; got 6"):
        ca.classify(sample("coffee"), net, top=6)


@pytest.mark.parametrize("name", ["lenet1", "lenet5"])
def test_black_ink_on_white_paper(name: str) -> None:
    """The nets saw white ink on black paper only; people photograph the other."""
    net, font = load(name), ImageFont.load_default(22)
    right = 0
    for number in range(10):
        page = Image.new("L", (28, 28), 0)
        ImageDraw.Draw(page).text((14, 14), str(number), 255, font, "mm", stroke_width=1)
        white_on_black, black_on_white = ca.classify(page, net), ca.classify(ImageOps.invert(page), net)
        assert black_on_white == replace(white_on_black, made=black_on_white.made)
        right += black_on_white.answers[0].index == number
    assert right >= 7


def test_photos_without_a_digit_are_noted() -> None:
    """A net for digits is certain of whatever it is shown."""
    net = ca.load("lenet5")

    def notes(page: Image.Image) -> str:
        return " ".join(ca.classify(page, net).notes)

    ink = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    ImageDraw.Draw(ink).text((20, 20), "3", (255, 255, 255, 255), ImageFont.load_default(32), "mm")
    for blank in (ink, Image.new("L", (28, 28), 255), Image.new("L", (28, 28), 0), Image.new("L", (30, 50), 130)):
        assert "nothing to read" in notes(blank)
    for size, width, said in ((80, 0, ""), (24, 0, "fills only"), (80, 3, "frame"), (50, 14, "frame")):
        page = Image.new("RGB", (112, 112), (255, 255, 0))
        draw = ImageDraw.Draw(page)
        draw.text((56, 56), "3", (255, 0, 0), ImageFont.load_default(size * 1.36), "mm", stroke_width=2)
        if width:
            draw.rectangle((0, 0, 111, 111), outline=(0, 0, 0), width=width)
        assert said in notes(page)
        assert bool(said) == bool(notes(page)), notes(page)
        if not said:
            assert ca.classify(page, net).answers[0].label == "3"
    assert ca.classify(sample("coffee"), "efficientnet_lite0").notes == ()


def test_genes_of_a_net_given_by_name() -> None:
    photo = sample("coffee")
    net = ca.load("efficientnet_lite0", genes={"activation": "silu"})
    assert ca.classify(photo, "efficientnet_lite0", genes={"activation": "silu"}) == ca.classify(photo, net)
    assert ca.classify(photo, "efficientnet_lite0", genes={}) == ca.classify(photo, "efficientnet_lite0")
    with pytest.raises(ConvAtlasError, match="classifies in eager mode, not in openvino"):
        ca.classify(photo, "efficientnet_lite0", genes={"activation": "silu"}, engine="openvino")
    with pytest.raises(ConvAtlasError, match="genes go with a net's name"):
        ca.classify(photo, net, genes={"activation": "silu"})
