"""Nets in sentences and in the tables of papers, held to the review's section IV."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from tests.anatomy.once import measured
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.report.paper_table import latex, paper_rows, paper_table
from convatlas.anatomy.report.sentences import describe, ordinal
from convatlas.catalogue.cards import cards

REVIEW = {
    "1st": "2 groups of 48 kernels of size 11×11×3 (stride: 4, pad: 0)",
    "2nd": "2 groups of 128 kernels of size 5×5×48 (stride: 1, pad: 2)",
    "3rd": "2 groups of 192 kernels of size 3×3×256 (stride: 1, pad: 1)",
}
"""AlexNet "in object mode", the review's section IV."""


def test_alexnet_as_the_review_tells_it() -> None:
    lines = describe(measured("alexnet"))
    assert lines[0] == "Input: 224×224×3; 227×227×3 once it is padded for the 1st layer"
    assert lines[1] == "Total parameters trained: 60,965,224"
    layers = dict(line.split(": ", 1) for line in lines[2:] if not line.startswith(" "))
    assert {number: layers[number] for number in REVIEW} == {
        number: f"Convolutional Layer: {text}" for number, text in REVIEW.items()
    }
    assert list(layers) == ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th"]
    said = "\n".join(lines)
    for text in (
        "Outputs 55×55×48 feature maps ×2 groups",
        "Then 3×3 Overlapping Max Pooling (stride: 2)\n  Outputs 27×27×48 feature maps ×2 groups",
        "Then Local Response Normalization",
        "Then 3×3 Overlapping Max Pooling (stride: 2)\n  Outputs 13×13×128 feature maps ×2 groups",
    ):
        assert text in said


def test_resnet50_as_the_review_tells_it() -> None:
    lines = dict(line.split(": ", 1) for line in describe(measured("resnet50"))[2:])
    assert lines["stem"].startswith(
        "1 layer: 7×7 convolution to 64 of stride 2 with batch normalization then ReLU and 3×3"
    )
    counts = {
        stage: re.match(r"(\d+) layers: (\d+) convolution block and (\d+) identity", text)
        for stage, text in lines.items()
    }
    found = {stage: tuple(map(int, match.groups())) for stage, match in counts.items() if match}
    assert found == {"conv2": (9, 1, 2), "conv3": (12, 1, 3), "conv4": (18, 1, 5), "conv5": (9, 1, 2)}
    assert lines["head"].startswith("1 layer: global average pooling and fully connected layer to 1000")


@pytest.mark.parametrize("name", list(SMALL))
def test_stages_sum_to_the_longest_path(name: str) -> None:
    """Nets whose stages follow one another: the layers told of each are those of the whole."""
    anatomy = measured(name)
    counts = [int(found[1]) for line in describe(anatomy) if (found := re.match(r"\S+: (\d+) layers?: ", line))]
    stages_in_a_row = name not in ("nasnet_mobile", "boosted_lenet4", "yolo_v3_tiny")
    if counts and stages_in_a_row:
        assert sum(counts) == anatomy.path


def rows(name: str) -> dict[str, tuple[tuple[int, ...], list[str]]]:
    return {row.name: (row.size, [str(entry) for entry in row.entries]) for row in paper_rows(measured(name))}


TABLE = {
    "resnet18": ([64, 128, 256, 512], (2, 2, 2, 2), False),
    "resnet34": ([64, 128, 256, 512], (3, 4, 6, 3), False),
    "resnet50": ([64, 128, 256, 512], (3, 4, 6, 3), True),
    "resnet101": ([64, 128, 256, 512], (3, 4, 23, 3), True),
    "resnet152": ([64, 128, 256, 512], (3, 8, 36, 3), True),
}
"""The review's table (He et al. 2015, table 1): widths, repeats, and whether blocks are bottlenecks."""


@pytest.mark.parametrize("name", [name for name in TABLE if name in cards()])
def test_the_resnet_papers_table(name: str) -> None:
    widths, repeats, bottleneck = TABLE[name]
    found = rows(name)
    assert found["stem"][1] == ["7×7, 64, stride 2", "3×3 max pool, stride 2"]
    for number, (width, times, side) in enumerate(zip(widths, repeats, (56, 28, 14, 7), strict=True), 2):
        lines = f"1×1, {width}; 3×3, {width}; 1×1, {4 * width}" if bottleneck else f"3×3, {width}; 3×3, {width}"
        assert found[f"conv{number}"] == ((side, side), [f"[{lines}] × {times}"])
    assert found["head"] == ((1000,), ["global average pool", "1000-d fc"])


@pytest.mark.parametrize(("name", "width", "groups"), [("se_resnet50", 64, ""), ("se_resnext50_32x4d", 128, ", C=32")])
def test_the_se_papers_table(name: str, width: int, groups: str) -> None:
    """The review's three columns: the gate's two layers close each bracket."""
    found = rows(name)
    for number, times in enumerate((3, 4, 6, 3), 2):
        scale = 2 ** (number - 2)
        lines = [
            f"1×1, {width * scale}",
            f"3×3, {width * scale}{groups}",
            f"1×1, {256 * scale}",
            f"fc, [{16 * scale}, {256 * scale}]",
        ]
        assert found[f"conv{number}"][1] == [f"[{'; '.join(lines)}] × {times}"]


def test_other_kinds_of_blocks() -> None:
    assert rows("densenet121")["dense2"] == ((28, 28), ["[1×1, 128; 3×3, 32] × 12"])
    assert rows("inception_v3")["mixed3"][1] == [
        "[3×3, 384, stride 2] | [1×1, 64; 3×3, 96; 3×3, 96, stride 2] | [3×3 max pool, stride 2]"
    ]
    assert rows("vgg16")["block3"][1] == ["3×3, 256 × 3", "2×2 max pool, stride 2"]
    assert rows("mobilenet")["block1"][1] == ["3×3 dw, 32", "1×1, 64"]


def test_latex() -> None:
    text = latex(measured("resnet50"))
    matrix = r"\begin{bmatrix}1\times 1, 64\\ 3\times 3, 64\\ 1\times 1, 256\end{bmatrix}\times 3"
    assert rf"conv2 & $56\times 56$ & ${matrix}$ \\ \hline" in text
    assert text.startswith(r"\begin{tabular}")
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    assert r"resnet50\_v2" in latex(measured("resnet50_v2"))


@pytest.mark.parametrize("name", [*SMALL, "inception_v1", "boosted_lenet4", "feedback_chain", "matrix_capsnet"])
def test_latex_that_compiles(name: str) -> None:
    """What `pdflatex` stumbled over: a line's end in math mode outside of a matrix; signs that mean something."""
    for line in latex(measured(name)).splitlines()[1:-1]:
        cells = re.sub(r"\\begin{bmatrix}.*?\\end{bmatrix}", "", line).removesuffix(r" \\ \hline").removesuffix(r" \\")
        assert r"\\" not in cells, line
        assert cells.count("$") % 2 == 0
        assert not set(re.sub(r"\\.", "", cells)) & set("#%~"), line
        assert all(sign.isascii() or sign == "×" for sign in cells), line


def test_names_that_latex_would_misread() -> None:
    odd = nn.Sequential(nn.Conv2d(3, 4, 3))
    odd.__class__ = type("a_b%c#d~e^f\\g{h", (nn.Sequential,), {})
    assert r"& a\_b\%c\#d\textasciitilde{}e\textasciicircum{}f\textbackslash{}g\{h \\ \hline" in latex(
        ca.measure(odd, size=8)
    )


def test_equal_stages_are_one_row() -> None:
    assert rows("mobilenet")["block7 – block11"] == ((14, 14), ["[3×3 dw, 512; 1×1, 512] × 5"])
    assert rows("nasnet_mobile")["stage1_cell1 – stage1_cell4"][1] == ["cell of 10 parts × 4"]
    # Side by side is not one after the other.
    assert [name for name in rows("boosted_lenet4") if name.startswith("net")] == ["net1", "net2", "net3"]


def test_rows_of_the_ancestors_and_of_capsules() -> None:
    assert rows("boosted_lenet4")["head"][1] == ["vote"]
    assert rows("lenet5")["c3"][1] == ["5×5, 16, 60 links"]
    assert rows("capsnet")["poses"][1] == ["10 capsules of 16", "dynamic routing, 3 steps"]
    assert rows("matrix_capsnet")["conv_capsules1"][1] == ["3×3 capsule votes, 32, stride 2", "EM routing, 3 steps"]
    assert rows("neocognitron")["s1"][1] == ["[5×5, 24] | [5×5 V-cells]", "S-cells"]
    assert rows("cognitron")["head"][1] == ["5×5, 1", "3×3 lateral inhibition"]
    assert rows("elman")["flatten-head"][1] == ["[300-d fc; 10-d fc; feedback hidden1 → hidden1, 4 steps]"]


@pytest.mark.parametrize(
    ("name", "flops"), [("lenet5", "0.33×10^6"), ("lenet1", "91.52×10^3"), ("resnet34", "3.66×10^9")]
)
def test_operations_of_any_size(name: str, flops: str) -> None:
    (note,) = paper_table(measured(name)).notes
    assert note.startswith(f"FLOPs (multiply-adds): {flops}. ")
    assert "$" + flops.replace("×", r"\times ") + "$" in latex(measured(name))


def test_what_is_told_stands_in_its_order() -> None:
    """The stem of Inception-v1 has a pooling before and another one after its convolutions."""
    line = next(line for line in describe(measured("inception_v1")) if line.startswith("stem"))
    order = ["7×7", "3×3 overlapping max pooling", "1×1", "3×3 convolution to 192", "3×3 overlapping max pooling"]
    places = [line.index(order[0])]
    for part in order[1:]:
        places.append(line.index(part, places[-1] + 1))
    assert places == sorted(places)
    line = next(line for line in describe(measured("shufflenet_v2_x0_5")) if line.startswith("stage2"))
    assert "4 times (module of 2 branches and channel shuffle)" in line


def test_mobilenet_as_the_review_tells_it() -> None:
    """Section IV: strides, depthwise and pointwise layers in turn, and which of these double the channels."""
    lines = [line.split(": ", 1)[1] for line in describe(measured("mobilenet")) if line[0].isdigit()]
    assert lines[0] == "Convolutional Layer: 32 kernels of size 3×3×3 (stride: 2, pad: 0)"
    assert lines[1].startswith("Depthwise Convolutional Layer: 32")
    assert lines[2].startswith("Pointwise Convolutional Layer: 64")
    assert lines[2].endswith(", which doubles the number of channels")
    assert lines[3].startswith("Depthwise Convolutional Layer: 64")
    assert "(stride: 2, " in lines[3]
    assert lines[4].endswith(", which doubles the number of channels")
    assert not lines[6].endswith("channels")


def test_feedback_in_words() -> None:
    said = "\n".join(describe(measured("feedback_chain")))
    for text in (
        "Then the sum with hidden1 of one step ago, through weights",
        "1st: Fully Connected Layer: 300 neurons, which also reads hidden2 of one step ago\n  Outputs 300 numbers\n"
        "  Then Scaled Tanh\n2nd: Fully Connected Layer: 100 neurons, which also reads output of one step ago",
        "3rd: Fully Connected Layer: 10 neurons\n",
        "  All this for 4 steps, while the photo stays the same",
    ):
        assert text in said, text
    assert "300 neurons, which also reads its own state of one step ago" in "\n".join(describe(measured("elman")))


def test_other_layers_in_words() -> None:
    said = "\n".join(describe(measured("capsnet")))
    assert "Not used by the output: reconstruction (1,411,344 parameters)" in said
    assert "Then Squash\n  Outputs 1152×8 numbers" in said
    assert "3rd: Capsule Votes: from 1152 capsules of 8 to 10 capsules of 16\n  Outputs 1152×10×16 numbers" in said
    said = "\n".join(describe(measured("lenet5")))
    assert "2nd: Linked Convolutional Layer: 16 maps, by 60 of 96 links, each a kernel of size 5×5 (stride: 1" in said
    assert "head: vote of 3 inputs. Outputs 10 numbers" in describe(measured("boosted_lenet4"))
    said = "\n".join(describe(measured("neocognitron")))
    assert "5×5 convolution to 24 beside V-cells, then S-cells" in said
    assert "Overlapping" not in said
    assert "Cognitron Cells: 1 kernel of size 5×5×1 at each place" in "\n".join(describe(measured("cognitron")))
    assert "3×3 capsule votes to 32 of stride 2, then EM routing" in "\n".join(describe(measured("matrix_capsnet")))


@pytest.mark.parametrize("name", list(SMALL))
def test_every_net_is_told(name: str) -> None:
    anatomy = measured(name)
    lines = describe(anatomy)
    assert len(lines) > 3
    assert all(line.strip() for line in lines)
    assert paper_table(anatomy).markdown().count("\n") > 1
    assert latex(anatomy).count("{") == latex(anatomy).count("}")


def told(net: nn.Module, size: int) -> list[str]:
    anatomy: Anatomy = ca.measure(net, size=size)
    return describe(anatomy)


def test_odd_layers_are_told() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, dilation=2), nn.ConvTranspose2d(6, 4, 2, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(100, 7)
    )
    lines = told(net, 9)
    assert lines[2] == "1st: Dilated Convolutional Layer: 6 kernels of size 3×3×3, 2 pixels apart (stride: 1, pad: 0)"
    assert "2nd: Transposed Convolutional Layer: 4 maps" in "\n".join(lines)
    assert "  Then 2×2 Average Pooling (stride: 2)" in lines
    with torch.device("meta"):
        names = [line.split(":")[0] for line in describe(ca.measure(timm.create_model("resnet18"), size=224))]
    assert names[2:4] == ["conv1-maxpool", "layer1"]


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th")
    ]
