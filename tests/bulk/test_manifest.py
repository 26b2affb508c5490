"""Which photos a job is about: folders, and manifests with whatever file names there may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from tests.bulk.photos import NET, answers

import convatlas as ca
from convatlas.base.errors import ImageError
from convatlas.bulk.manifest import read_manifest

NAMES = [b"a b.png", b"\xff\xfe.png", "é\u2028ü.png".encode(), b'quote",.png', b"tab\t.png", b"#.png", b"\xc3\xa9.png"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_list(tmp_path: Path, start: bytes, end: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(start + end.join([NAMES[0], b"", b" \t", *NAMES[1:], b"/absolute.png"]))
    found = read_manifest(tmp_path / "list.txt")
    assert [os.fsencode(name) for name in found.names] == [*NAMES, b"/absolute.png"]
    assert found.root == str(tmp_path.resolve())
    assert os.path.join(found.root, found.names[-1]) == "/absolute.png"


@pytest.mark.parametrize(
    "table",
    [
        b'label,path\ncat,a.png\ndog,"b,\nc.png"\n,"d"".png"\n',
        b'\xef\xbb\xbfpath\r\na.png\r\n"b,\nc.png"\r\n\r\n , \r\n"d"".png"',
    ],
    ids=["column", "heading"],
)
def test_a_table(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "list.CSV").write_bytes(table)
    assert read_manifest(tmp_path / "list.CSV").names == ["a.png", "b,\nc.png", 'd".png']


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("list.txt", b"\n\r\n", "lists no photo"),
        ("list.csv", b"path\n", "lists no photo"),
        ("list.csv", b"", "lists no photo"),
        ("list.csv", b'a,path\nb,"open', "is damaged"),
        ("list.csv", b"a,path\nb,c.png\nd\n", "line 3 of the manifest .* names no photo"),
        ("list.csv", b"path\na.png,cat\n", "line 2 of the manifest .* has 2 columns, its header 1"),
        ("list.csv", b"label,file\ncat,a.png\n", "has no column path in its first row, which is 'label,file'"),
        ("list.csv", b"Path;\x1b[2J\nb.png\n", r"first row, which is 'Path;\\\\u001b\[2J'"),
        ("photo.png", b"\x89PNG\r\n\x1a\n\0\0", "is not a manifest"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=said) as error:
        read_manifest(tmp_path / name)
    assert str(error.value).isprintable()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nowhere"):
        with pytest.raises(ImageError, match="neither a folder nor a manifest"):
            read_manifest(tmp_path / name)


def test_odd_names_survive(tmp_path: Path) -> None:
    """Each is read, and found again by what its row says; whatever it is, no file of answers takes its name."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in (*NAMES, b"new\nline.png", b"..png", b"\\xff.png"):
        Image.new("L", (28, 28), len(name)).save(os.path.join(os.fsencode(folder), name), "PNG")
    assert ca.batch("classify", folder, out, **NET, shard=4).unread == ()
    found = []
    for row in answers(out).to_pylist():
        raw = row["path"].encode() if row["raw_path"] is None else row["raw_path"]
        assert os.path.exists(os.path.join(os.fsencode(folder), raw))
        found.append(raw)
        assert row["labels"] is not None
    assert sorted(found) == sorted(name for name in os.listdir(os.fsencode(folder)) if not name.startswith(b"."))
    assert b"\xff\xfe.png" in found
    assert sorted(os.listdir(out))[1:] == ["_job.json", *(f"shard-00000{number}.parquet" for number in range(3))]


def test_a_list_that_climbs(tmp_path: Path) -> None:
    """Photos may lie anywhere; answers lie in their folder alone."""
    (tmp_path / "here").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "up.png")
    lines = ["../up.png", str(tmp_path / "up.png"), "../up.png", "../../../../../../../../etc/passwd"]
    (tmp_path / "here" / "list.csv").write_text("path\n" + "\n".join(lines))
    found = ca.batch("classify", tmp_path / "here" / "list.csv", tmp_path / "here" / "out", **NET)
    assert answers(tmp_path / "here" / "out")["path"].to_pylist() == lines
    assert [photo.path for photo in found.unread] == lines[3:]
    assert {path.name for path in tmp_path.iterdir()} == {"here", "up.png"}
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"list.csv", "out"}
