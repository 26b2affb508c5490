"""Which class a photo is said to have, by folders and by files of truths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from convatlas.base.errors import ImageError
from convatlas.images.labelled import list_labelled, read_map


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder with four photos, one of them in a folder of its own (nobody opens them here)."""
    folder = tmp_path / "flat"
    for name in ("a.png", "b 1.jpg", "c.v2.png", "deep/d.png"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"")
    return folder


def told(flat: Path, text: str) -> dict[str, str]:
    truth = flat.parent / "truth.txt"
    truth.write_text(text, encoding="utf-8")
    found, empty = list_labelled(flat, truth)
    assert empty == []
    return {one.path.relative_to(flat).as_posix(): one.label for one in found}


def refusal(flat: Path, text: str) -> str:
    with pytest.raises(ImageError) as error:
        told(flat, text)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600
    return str(error.value)


REST = "b 1.jpg,x\nc.v2.png,x\ndeep/d.png,x\n"
OTHERS = {"b 1.jpg": "x", "c.v2.png": "x", "deep/d.png": "x"}


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("a.png 7", "7"),
        ("a 7", "7"),
        ("a.png,7", "7"),
        ("a.png\t7", "7"),
        ("a.png;7", "7"),
        ("a; tiger cat ", "tiger cat"),
        ('a.png;"tabby; tabby cat"', "tabby; tabby cat"),
        ('a.png, "tabby, tabby cat"', "tabby, tabby cat"),
        ("a.png tabby; tabby cat", "tabby; tabby cat"),
        (" a.png   7  ", "7"),
        ('"a.png","tabby, tabby cat"', "tabby, tabby cat"),
        ("a.png,tiger cat,0.9", "tiger cat"),
        ("a.png, tiger cat", "tiger cat"),
        ("a.png tiger cat", "tiger cat"),
        ("a.png tabby, tabby cat", "tabby, tabby cat"),
        ("a tabby, tabby cat", "tabby, tabby cat"),
        ("a\ttabby, tabby cat", "tabby, tabby cat"),
        ("a,n01440764 85 1 499 272", "n01440764"),
        ("a.png n01440764 85 1 499 272", "n01440764"),
        ("a.png\tn01440764", "n01440764"),
        ("a.png n tiger", "n tiger"),
        (r"val\a.png 7", "7"),
        (r"C:\data\val\a.png,7", "7"),
        ("./a.png 7", "7"),
        ("/data/val/a.png 7", "7"),
        ("a.png 7\na.png 7\na 7", "7"),
        ("a.png 7\nelsewhere.png 3\nelsewhere.png 4", "7"),
    ],
)
def test_lines(flat: Path, line: str, label: str) -> None:
    assert told(flat, f"{line}\n{REST}") == {"a.png": label, **OTHERS}
    assert told(flat, f"ImageId,PredictionString\n\n{REST}{line}") == {"a.png": label, **OTHERS}
    assert told(flat, f"\ufeffname label\r\n{line}\r\n{REST}") == {"a.png": label, **OTHERS}


@pytest.mark.parametrize(
    ("line", "which"),
    [
        ("b 1.jpg\t7", "b 1.jpg"),
        ("b 1,7", "b 1.jpg"),
        ("c.v2 7", "c.v2.png"),
        ("d 7", "deep/d.png"),
        (r"deep\d.png 7", "deep/d.png"),
        (r".\deep\d.png 7", "deep/d.png"),
        ("deep/d 7", "deep/d.png"),
        ("other/d.png 7", "deep/d.png"),
    ],
)
def test_names(flat: Path, line: str, which: str) -> None:
    rest = "\n".join(f"{name},x" for name in ("a.png", *OTHERS) if name != which)
    assert told(flat, f"{rest}\n{line}") == {"a.png": "x", **OTHERS, which: "7"}


def test_photos_of_one_name_in_several_folders(flat: Path) -> None:
    (flat / "other").mkdir()
    (flat / "other" / "d.png").write_bytes(b"")
    found = told(flat, f"a x\n{REST}other/d.png,y")
    assert (found["deep/d.png"], found["other/d.png"]) == ("x", "y")
    assert "says 'y' of d.png, an earlier line 'x'" in refusal(flat, f"a x\n{REST}d.png,y")


@pytest.mark.parametrize("again", ["a.png 8", "a 8", r"val\a.png,8", "a\t8"])
def test_lines_that_contradict(flat: Path, again: str) -> None:
    """The last one must not win."""
    text = refusal(flat, f"a.png 7\n{REST}\n{again}\n")
    assert text.startswith("line 6 of '")
    assert text.endswith("says '8' of a.png, an earlier line '7'")


def test_what_is_no_file_of_truths(flat: Path) -> None:
    assert "another order of classes" in refusal(flat, "490\n361\n")
    assert refusal(flat, "a.png 7\nb 1.jpg,\n").startswith("line 2 of '")
    assert "has no label for 1 photos, the first is a.png" in refusal(flat, REST)
    assert "field larger than field limit" in refusal(flat, "a.png " + "x," * 10 + "y" * 200_000)
    assert refusal(flat, "a.png 7\n" + "x" * 200_000).startswith("line 2 of '")
    truth = flat.parent / "truth.txt"
    truth.write_bytes(b"\xff\xfe\x00")
    for path in (truth, flat, flat / "none", "a" * 5000, "a\0", 5, b"a"):
        with pytest.raises(ImageError) as error:
            list_labelled(flat, path)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 600
    for path in (flat / "none", truth, "a" * 5000, "a\0", 5, None, b"a"):
        with pytest.raises(ImageError) as error:
            list_labelled(path)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 600


def test_folders_of_classes_without_photos(tmp_path: Path) -> None:
    for name in ("1", "2", "3", ".hidden", "2/below"):
        (tmp_path / name).mkdir()
    (tmp_path / "2" / "notes.txt").write_text("")
    with pytest.raises(ImageError, match=r"none of the 3 folders of classes in .* holds a photo"):
        list_labelled(tmp_path)
    (tmp_path / "1" / "a.png").write_bytes(b"")
    (tmp_path / "stray.png").write_bytes(b"")
    found, empty = list_labelled(tmp_path)
    assert [(one.path.name, one.label) for one in found] == [("a.png", "1")]
    assert [path.name for path in empty] == ["2", "3"]


def test_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text('cat, n02123045\n\n"dog, big",7\ncat,n02123045\n')
    assert read_map(path) == {"cat": "n02123045", "dog, big": "7"}
    for text in ('cat; n02123045\n"dog, big";7', "cat\tn02123045\ndog, big\t7", 'cat, n02123045\n"dog, big", 7'):
        path.write_text(text)
        assert read_map(path) == {"cat": "n02123045", "dog, big": "7"}
    for text, words in {
        "cat,1\ncat,2": "maps 'cat' to both '1' and '2'",
        "cat,1,2": "two columns",
        "cat": "two columns; line 1 of .* has 1",
        "\ncat;1\n\ndog;2;3": "line 4 of .* has 3",
        'cat,1\n"dog,2': "line 2 of .* is damaged",
        "x" * 200_000 + ",1": "field larger than field limit",
    }.items():
        path.write_text(text)
        with pytest.raises(ImageError, match=words) as error:
            read_map(path)
        assert str(error.value).isprintable()
    for wrong in (tmp_path / "none", tmp_path, "a" * 5000, "a\0"):
        with pytest.raises(ImageError, match="cannot be read as a map of classes"):
            read_map(wrong)
