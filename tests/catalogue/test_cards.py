"""What stands on the cards, against the review's tables typed here once more, and how cards are found."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.nets.nets import CAPSULES_AND_ANCESTORS

import convatlas.catalogue.cards as home
from convatlas.base.errors import UnknownName
from convatlas.catalogue.cards import cards, families, find_card, sources, study_cards, study_families
from convatlas.catalogue.data_files import read
from convatlas.catalogue.printed import parse_figure

SECTION_III = """
Xception           81   22.9M   88      79.0%  94.5%
VGG16              16   138.4M  528     71.3%  90.1%
VGG19              19   143.7M  549     71.3%  90.0%
ResNet50           107  25.6M   98      74.9%  92.1%
ResNet50V2         103  25.6M   98      76.0%  93.0%
ResNet101          209  44.7M   171     76.4%  92.8%
ResNet101V2        205  44.7M   171     77.2%  93.8%
ResNet152          311  60.4M   232     76.6%  93.1%
ResNet152V2        307  60.4M   232     78.0%  94.2%
InceptionV3        189  23.9M   92      77.9%  93.7%
InceptionResNetV2  449  55.9M   215     80.3%  95.3%
MobileNet          55   4.3M    16      70.4%  89.5%
MobileNetV2        105  3.5M    14      71.3%  90.1%
DenseNet121        242  8.1M    33      75.0%  92.3%
DenseNet169        338  14.3M   57      76.2%  93.2%
DenseNet201        402  20.2M   80      77.3%  93.6%
NASNetMobile       389  5.3M    23      74.4%  91.9%
NASNetLarge        533  88.9M   343     82.5%  96.0%
EfficientNetB0     132  5.3M    29      77.1%  93.3%
EfficientNetB1     186  7.9M    31      79.1%  94.4%
EfficientNetB2     186  9.2M    36      80.1%  94.9%
EfficientNetB3     210  12.3M   48      81.6%  95.7%
EfficientNetB4     258  19.5M   75      82.9%  96.4%
EfficientNetB5     312  30.6M   118     83.6%  96.7%
EfficientNetB6     360  43.3M   166     84.0%  96.8%
EfficientNetB7     438  66.7M   256     84.3%  97.0%
EfficientNetV2B0   -    7.2M    29      78.7%  94.3%
EfficientNetV2B1   -    8.2M    34      79.8%  95.0%
EfficientNetV2B2   -    10.2M   42      80.5%  95.1%
EfficientNetV2B3   -    14.5M   59      82.0%  95.8%
EfficientNetV2S    -    21.6M   88      83.9%  96.7%
EfficientNetV2M    -    54.4M   220     85.3%  97.4%
EfficientNetV2L    -    119.0M  479     85.7%  97.5%
ConvNeXtTiny       -    28.6M   109.42  81.3%  -
ConvNeXtSmall      -    50.2M   192.29  82.3%  -
ConvNeXtBase       -    88.5M   338.58  85.3%  -
ConvNeXtLarge      -    197.7M  755.07  86.3%  -
ConvNeXtXLarge     -    350.1M  1310    86.7%  -
"""

SECTION_IV = """
LeNet-5   | input 32×32×1 | output 10 | layers 5 | parameters_short 60K | activation tanh | perk Convolution Layer
AlexNet   | input 224×224×3 | output 1000 | layers 8 | parameters_short 60M | activation ReLU
          | perk Local Response Normalization
VGG16     | input 224×224×3 | output 1000 | layers 16 | parameters_short 138M | activation ReLU
          | perk Very deep but still single thread
Inception-v1 | input 224×224×3 | output 1000 | layers 22 | parameters_short 7M | activation ReLU
          | perk Auxiliary Classifiers & Inception Module
ResNet18  | flops 1.8×10^9
ResNet34  | flops 3.6×10^9
ResNet50  | input 224×224×3 | output 1000 | layers 50 | parameters_short 26M | activation ReLU
          | perk Batch Normalization & Residual Blocks | flops 3.8×10^9
ResNet101 | flops 7.6×10^9
ResNet152 | flops 11.3×10^9
MobileNet | layers 30 | top1_short 71%
ShuffleNetV2 x0.5 | parameters 1.4M
ShuffleNetV2 x1.0 | parameters 2.3M
ShuffleNetV2 x1.5 | parameters 3.5M
ShuffleNetV2 x2.0 | parameters 7.4M
"""

PAPERS = {
    "alexnet": {"alexnet": "top1_error 40.7%, top5_error 18.2%", "caffe": "top1 57.1%, top5 80.2%"},
    "alexnet_one_tower": {"torchvision": "top1 56.522, top5 79.066, parameters 61.1M"},
    "inception_v1": {"inception_v1": "top5_error 10.07%", "caffe": "top1 68.7%, top5 88.9%"},
    "googlenet_bn": {"torchvision": "top1 69.778, top5 89.53, parameters 6.6M"},
    "resnet18": {"torchvision": "top1 69.758, top5 89.078, parameters 11.7M"},
    "resnet34": {"torchvision": "top1 73.314, top5 91.42, parameters 21.8M"},
    "resnext50_32x4d": {"torchvision": "top1 77.618, top5 93.698, parameters 25.0M"},
    "se_resnet50": {"se": "top1_error 23.29, top5_error 6.62"},
    "se_resnext50_32x4d": {"se": "top5_error 5.49"},
    "shufflenet_v2_x0_5": {"shufflenet_v2": "flops 41M, top1_error 39.7", "torchvision": "top1 60.552, top5 81.746"},
    "shufflenet_v2_x1_0": {"shufflenet_v2": "flops 146M, top1_error 30.6", "torchvision": "top1 69.362, top5 88.316"},
    "shufflenet_v2_x1_5": {"shufflenet_v2": "flops 299M, top1_error 27.4", "torchvision": "top1 72.996, top5 91.086"},
    "shufflenet_v2_x2_0": {"shufflenet_v2": "flops 591M, top1_error 25.1", "torchvision": "top1 76.23, top5 93.006"},
}

LITE = """
EfficientNet-Lite0  4.7M   407M   75.1%
EfficientNet-Lite1  5.4M   631M   76.7%
EfficientNet-Lite2  6.1M   899M   77.6%
EfficientNet-Lite3  8.2M   1.44B  79.8%
EfficientNet-Lite4  13.0M  2.64B  81.5%
"""

ERRORS = """
784-10          8.4%
784-300-10      3.6% to 3.8%
784-1000-10     3.6% to 3.8%
784-300-100-10  2.95% to 3.05%
784-1000-150-10 2.95% to 3.05%
LeNet-1         1.7%
LeNet-4         1.1%
LeNet-5         0.95%
Boosted-LeNet-4 0.7%
"""

COLUMNS = ("depth", "parameters", "size", "top1", "top5")

DIGITS = {28: "linear mlp_300 mlp_1000 mlp_300_100 mlp_1000_150 elman jordan feedback_chain lenet1"} | {
    32: "lenet4 lenet4_dense lenet5 boosted_lenet4"
}

SIZES = {299: "xception inception_v3 inception_resnet_v2", 331: "nasnet_large"} | {
    240: "efficientnet_b1 efficientnetv2_b1 efficientnet_lite1",
    260: "efficientnet_b2 efficientnetv2_b2 efficientnet_lite2",
    280: "efficientnet_lite3",
    300: "efficientnet_b3 efficientnetv2_b3 efficientnet_lite4",
    380: "efficientnet_b4",
    384: "efficientnetv2_s",
    456: "efficientnet_b5",
    480: "efficientnetv2_m efficientnetv2_l",
    528: "efficientnet_b6",
    600: "efficientnet_b7",
}


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def printed(name: str, source: str) -> dict[str, str]:
    return {column: figure.printed for column, figure in find_card(name).figures.items() if figure.source == source}


def test_every_cell_of_section_iii_stands_on_a_card_as_printed() -> None:
    for name, *cells in rows(SECTION_III):
        assert find_card(name).published_name == name
        expected = {column: cell for column, cell in zip(COLUMNS, cells, strict=True) if cell != "-"}
        assert printed(name, "review") == expected, name


def test_nothing_else_is_said_to_be_from_section_iii() -> None:
    from_there = [card.published_name for card in cards().values() if printed(card.name, "review")]
    assert from_there == [name for name, *_ in rows(SECTION_III)]


def test_section_iv_stands_on_cards_as_printed() -> None:
    nets = SECTION_IV.strip().replace("\n          |", " |").splitlines()
    expected = {}
    for net in nets:
        name, *cells = (cell.strip() for cell in net.split("|"))
        expected[find_card(name).name] = dict(cell.split(" ", 1) for cell in cells)
    assert {name: printed(name, "review_iv") for name in cards() if printed(name, "review_iv")} == expected


@pytest.mark.parametrize("name", PAPERS)
def test_figures_of_papers_and_weights_stand_on_cards_as_printed(name: str) -> None:
    figures = {source: dict(cell.split(" ") for cell in cells.split(", ")) for source, cells in PAPERS[name].items()}
    assert {
        source: printed(name, source) for source in sources() if source != "review_iv" and printed(name, source)
    } == (figures)


def test_lite_nets_stand_on_cards_as_printed() -> None:
    for name, *cells in rows(LITE):
        assert printed(name, "lite") == dict(zip(("parameters", "madds", "top1"), cells, strict=True))
        assert find_card(name).published_name == name


def test_the_summary_of_errors_stands_on_cards_as_printed() -> None:
    expected = {find_card(name).name: {"error_summary": " ".join(cells)} for name, *cells in rows(ERRORS)}
    summary = {name: printed(name, "review_errors") for name in cards() if printed(name, "review_errors")}
    assert summary == expected


def test_the_papers_errors_lie_within_the_summary() -> None:
    """Each figure the review sums up is one the paper prints, under one condition or another."""
    for name in cards():
        errors = printed(name, "lecun_1998")
        summary = printed(name, "review_errors").get("error_summary")
        if summary is not None:
            ends = [parse_figure(end) for end in summary.split(" to ")]
            assert any(
                min(ends) <= parse_figure(errors[column]) <= max(ends) for column in errors if "error" in column
            ), name


def test_cards_come_in_the_order_of_the_review() -> None:
    spelled = [card.published_name for card in cards().values()]
    review = [name for name, *_ in rows(SECTION_III)]
    lite = [name for name, *_ in rows(LITE)]
    before = review.index("ConvNeXtTiny")
    expected = [*review[:before], *lite, *review[before:]]
    assert [name for name in spelled if name in expected] == expected


def test_default_inputs() -> None:
    digits = {name: size for size, names in DIGITS.items() for name in names.split()}
    sizes = {name: size for size, names in SIZES.items() for name in names.split()} | digits
    for name, card in cards().items():
        if card.family not in ("darknet", "yolo") and name not in CAPSULES_AND_ANCESTORS:
            assert card.input == (sizes.get(name, 224), sizes.get(name, 224), 1 if name in digits else 3)
    sides = [card.input[0] for card in cards().values() if card.family in ("darknet", "yolo")]
    assert sides == [256, 256, 448, 448, 608, 416, 416, 416, 608, 608, 416]
    assert find_card("capsnet").input == (28, 28, 1)
    assert find_card("matrix_capsnet").input == find_card("matrix_capsnet_small").input == (32, 32, 2)
    assert find_card("neocognitron").input == (16, 16, 1)
    assert find_card("cognitron").input == (12, 12, 1)


def test_what_capsules_and_fukushima_s_nets_put_out() -> None:
    for name in CAPSULES_AND_ANCESTORS:
        card = find_card(name)
        assert (card.output_kind, card.probabilities) == {
            "capsnet": ("capsule lengths", "identity"),
            "matrix_capsnet": ("capsule activations", "identity"),
            "cognitron": ("cell responses", "none"),
            "neocognitron": ("cell responses", "none"),
        }[card.family]
    assert [find_card(name).outputs for name in CAPSULES_AND_ANCESTORS] == [10, 5, 5, 144, 24]


def test_what_is_disputed_or_reconstructed_is_said() -> None:
    noted = [name for name, card in cards().items() if card.note]
    lenets = ["lenet1", "lenet4", "lenet4_dense", "lenet5", "boosted_lenet4"]
    others = ["alexnet", "inception_v1", "yolo_v1", "yolo_v1_tiny"]
    assert noted == ["elman", "jordan", "feedback_chain", *lenets, *others, *CAPSULES_AND_ANCESTORS]
    assert "generalization" in find_card("capsnet").note
    assert all("reconstructed" in find_card(name).note for name in ("lenet4", *CAPSULES_AND_ANCESTORS[1:]))
    assert all(number in find_card("lenet4").note for number in ("16,998", "258,306"))
    assert "50,998" in find_card("lenet4_dense").note
    # Where the review's description of AlexNet is not the paper's.
    assert "the paper (section 3.5) places it after" in find_card("alexnet").note
    assert not any(card.note.endswith(".") or "\n" in card.note for card in cards().values())


def test_published_errors_of_capsules() -> None:
    assert printed("capsnet", "sabour") == {"parameters": "8.2M", "error": "0.25%"}
    assert printed("capsnet", "guo") == {"error_repeated": "0.34%"}
    assert printed("matrix_capsnet", "hinton") == {"parameters": "310K", "error_smallnorb": "1.8%"}
    assert printed("matrix_capsnet_small", "hinton") == {"parameters": "68K", "error_smallnorb": "2.2%"}
    assert printed("matrix_capsnet_small", "gritzman") == {"error_smallnorb_repeated": "4.6%"}


@pytest.mark.parametrize("name", cards())
def test_cards_are_complete(name: str) -> None:
    card = cards()[name]
    assert card.name == name == name.lower()
    assert card.family in families()
    assert 1970 < card.year < 2030
    if card.family == "yolo":
        assert (card.output_kind, card.classes) in [("raw detector heads", 20), ("raw detector heads", 80)]
        assert card.outputs > card.classes
    elif name not in CAPSULES_AND_ANCESTORS:
        assert card.outputs == (1000 if card.input[2] == 3 else 10)
        maps = {"logits": "softmax", "negative distances": "softmax", "squashed": "halved"}
        assert maps[card.output_kind] == card.probabilities
    assert card.weight_names in ("plain", "scoped")
    assert len(card.new.split()) > 5
    paper = card.paper
    assert paper.title
    assert paper.venue
    assert paper.authors
    assert all(" " in author for author in paper.authors)
    assert paper.link.startswith("https://")
    assert not paper.code_license or paper.code.startswith("https://")
    for field in dataclasses.fields(card):
        assert type(getattr(card, field.name)).__name__ in ("str", "int", "tuple", "dict", "Paper", "NoneType")
    for column, figure in card.figures.items():
        assert figure.printed.strip() == figure.printed not in ("", "-")
        assert figure.source in sources()
        if column not in ("input", "activation", "perk", "error_summary"):
            assert parse_figure(figure.printed) > 0


def test_every_family_and_every_source_is_used() -> None:
    assert list(dict.fromkeys(card.family for card in cards().values())) == families()
    every = [*cards().values(), *study_cards().values()]
    used = {figure.source for card in every for figure in card.figures.values()}
    assert used == set(sources())


def test_every_data_file_is_read() -> None:
    data = Path(home.__file__).parent / "data"
    assert {file.stem for file in data.iterdir()} == {
        *families(),
        *study_families(),
        "sources",
        "exceptions",
        "weights",
    }


def test_no_two_files_name_a_source_alike() -> None:
    keys = [key for name in (*families(), *study_families()) for key in read(name).get("sources", {})] + list(
        read("sources")
    )
    assert len(keys) == len(set(keys)) == len(sources())


def test_the_sources_are_named() -> None:
    review = sources()["review"]
    assert review.venue == "Journal of Applicable Chemistry, ISSN 2278-1862"
    assert review.authors == ("K. Somasekhara Rao", "R. Sambasiva Rao")
    assert not hasattr(review, "year")


def test_lineages() -> None:
    with_lite = [name for name, card in cards().items() if "lite" in card.lineages]
    assert with_lite == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("resnet50", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("ResNet50V2", "resnet50_v2"),
        ("resnet_50_v2", "resnet50_v2"),
        ("EfficientNetV2B0", "efficientnetv2_b0"),
        ("efficientnetv2-b0", "efficientnetv2_b0"),
        ("EFFICIENTNET B0", "efficientnet_b0"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("Inception-ResNet-v2", "inception_resnet_v2"),
        ("inception.v3", "inception_v3"),
        (" ConvNeXt XLarge ", "convnext_xlarge"),
        ("NASNetMobile", "nasnet_mobile"),
        ("GoogLeNet", "inception_v1"),
        ("Inception v1", "inception_v1"),
        ("SE-ResNeXt-50 (32x4d)", "se_resnext50_32x4d"),
        ("SE-ResNeXt-50 (32×4d)", "se_resnext50_32x4d"),
        ("ShuffleNetV2 x0.5", "shufflenet_v2_x0_5"),
        ("ResNet-18", "resnet18"),
    ],
)
def test_a_net_is_found_however_it_is_spelled(given: str, name: str) -> None:
    assert find_card(given) is cards()[name]


def test_every_name_and_published_name_finds_its_own_card() -> None:
    for card in cards().values():
        assert find_card(card.name) is find_card(card.published_name) is card


@pytest.mark.parametrize("wrong", ["resnt50", "ResNet51", "EficientNetV2-B0", "", "lenet", "vgg", "--"])
def test_a_wrong_name_gets_one_line_with_other_names(wrong: str) -> None:
    with pytest.raises(UnknownName) as caught:
        find_card(wrong)
    text = str(caught.value)
    assert "\n" not in text
    assert repr(wrong) in text
    assert any(name in text for name in cards())


def test_a_near_miss_is_told_the_name_meant() -> None:
    with pytest.raises(UnknownName, match="resnet50"):
        find_card("resnt50")
    with pytest.raises(UnknownName, match="efficientnetv2_b0"):
        find_card("EficientNetV2-B0")


def test_cards_can_be_hashed_copied_and_pickled() -> None:
    card = find_card("resnet50")
    assert copy.deepcopy(card) == card
    assert pickle.loads(pickle.dumps(card)) == card
    assert len(set(cards().values())) == len(cards())
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.year = 2000  # type: ignore[misc]


def test_what_a_caller_does_to_the_dictionary_is_his_own_affair() -> None:
    mine = cards()
    mine.clear()
    assert "resnet50" in cards()


def run(code: str, path: Path | str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


SOURCE = Path(home.__file__).parents[2]


def test_all_cards_are_read_without_heavy_libraries() -> None:
    code = """
import sys
import convatlas.catalogue.cards, convatlas.catalogue.list_nets, convatlas.catalogue.lineages, convatlas.catalogue.rules
convatlas.catalogue.cards.cards()
convatlas.catalogue.lineages.all_weights()
print(*{"torch", "numpy", "h5py", "PIL"} & set(sys.modules))
"""
    assert not run(code, SOURCE).split()


def test_cards_are_read_from_an_archive(tmp_path: Path) -> None:
    for part in ("__init__.py", "base", "catalogue"):
        kept = tmp_path / "tree" / "convatlas" / part
        kept.parent.mkdir(parents=True, exist_ok=True)
        origin = SOURCE / "convatlas" / part
        shutil.copytree(origin, kept) if origin.is_dir() else shutil.copy(origin, kept)
    archive = shutil.make_archive(str(tmp_path / "wheel"), "zip", tmp_path / "tree")
    code = "from convatlas.catalogue import cards; print(cards.__file__, *cards.cards(), *cards.sources())"
    assert run(code, archive).split() == [f"{archive}/convatlas/catalogue/cards.py", *cards(), *sources()]
