"""Files of `torch.save` that were made to be read in two ways, to swell, or to run for ever."""

from __future__ import annotations

import io
import pickle
import random
import resource
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.hostile.damage import bytes_changed, not_for_ever, replaced
from torch import Tensor, nn

from convatlas.base.files.archive import Archive, ArchiveError
from convatlas.base.files.torch_files import TorchFileError, read_torch, read_torch_bytes


def archived(members: dict[str, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def opened(data: bytes) -> Archive:
    return Archive(io.BytesIO(data), len(data))


GOOD = {"a/data.pkl": b"\x80\x02N.", "a/x": b"first", "a/y": b"second"}


def two_directories() -> bytes:
    """Behind the directory that PyTorch finds by its place lies another one, which Python finds by its end."""
    first, second = archived(GOOD), archived({"a/data.pkl": b"\x80\x02K\x01."}, compression=zipfile.ZIP_DEFLATED)
    return first + second


def moved(data: bytes, field: int, value: int) -> bytes:
    """With another number in the end of the archive."""
    return data[: len(data) - 22 + field] + struct.pack("<L", value) + data[len(data) - 18 + field :]


def with_entry(change: Any) -> bytes:
    """With another number in the last entry of the directory."""
    data = bytearray(archived(GOOD))
    at = data.rindex(b"PK\x01\x02")
    change(data, at)
    return bytes(data)


def overlapping(data: bytearray, at: int) -> None:
    """The last member's header is the one of the member before."""
    data[at + 42 : at + 46] = struct.pack("<L", bytes(data).index(b"PK\x03\x04", 10))


LIES: dict[str, tuple[bytes, str]] = {
    "two directories": (two_directories(), "does not lie where it says"),
    "something behind the end": (archived(GOOD) + b"x", "has something behind its end"),
    "a comment": (moved(archived(GOOD), 18, 5 << 16)[:-2] + b"\5\0hello", "has something behind its end"),
    "a directory elsewhere": (moved(archived(GOOD), 16, 3), "does not lie where it says"),
    "something in front": (b"x" * 100 + archived(GOOD), "does not lie where it says"),
    "compressed": (archived(GOOD, compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "overlapping": (with_entry(overlapping), "a header for a/y that its directory contradicts"),
    "another size": (
        with_entry(lambda data, at: data.__setitem__(slice(at + 20, at + 28), struct.pack("<2L", 4, 4))),
        "two sizes for a/y",
    ),
    "a huge size": (
        with_entry(lambda data, at: data.__setitem__(slice(at + 20, at + 28), struct.pack("<2L", 2**31, 2**31))),
        "two sizes for a/y",
    ),
    "encrypted": (with_entry(lambda data, at: data.__setitem__(at + 8, 1)), "encrypted"),
    "cut": (archived(GOOD)[:-30], "is no archive"),
    "nothing": (b"", "is no archive"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", LIES)
def test_archives_that_can_be_read_in_two_ways(case: str) -> None:
    data, words = LIES[case]
    with pytest.raises(ArchiveError, match=words):
        opened(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a/x", "a/x"], ["a/x", "A/X"]])
def test_a_name_twice(names: list[str]) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    with pytest.raises(ArchiveError, match="twice"):
        opened(file.getvalue())


def test_archives_are_read_as_python_reads_them() -> None:
    for data in (archived(GOOD), saved({"a": torch.arange(5.0), "b": nn.Conv2d(1, 2, 3).state_dict()})):
        archive, other = opened(data), zipfile.ZipFile(io.BytesIO(data))
        assert list(archive) == other.namelist()
        assert all(archive.read(name) == other.read(name) for name in archive)


def saved(content: object, zipped: bool = True, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return file.getvalue()


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        alike = (first.dtype, first.shape, first.stride()) == (second.dtype, second.shape, second.stride())
        return alike and torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


def optimizer() -> dict[str, Any]:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    steps = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 3, 3, 3)).sum().backward()
    steps.step()
    return {"net": net.state_dict(), "optimizer": steps.state_dict(), "parameter": nn.Parameter(torch.ones(2)).data}


NUMBERS = torch.arange(24.0)
TYPES = (
    *("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128"),
)
CONTENTS: dict[str, Any] = {
    "a net and its optimizer": optimizer,
    "views": lambda: [NUMBERS, NUMBERS.reshape(4, 6).T, NUMBERS[3:9:2], NUMBERS[:0], NUMBERS[5]],
    "types": lambda: {name: torch.ones(3).to(getattr(torch, name)) for name in TYPES},
    "values": lambda: [1, -1, 2**40, -(2**70), 1.5, float("inf"), True, None, "é", b"xy", (1,), {1: {2: ()}}],
    "an ordered dict": lambda: OrderedDict(a=1, b=[2]),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", CONTENTS)
def test_what_pytorch_writes_is_read(case: str, zipped: bool, protocol: int) -> None:
    data = saved(CONTENTS[case](), zipped, protocol)
    assert same(torch.load(io.BytesIO(data), weights_only=False), read_torch_bytes(data))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32"])
def test_newer_types_are_read(kind: str) -> None:
    tensor = torch.arange(3).to(getattr(torch, kind))
    (read,) = read_torch_bytes(saved([tensor]))
    assert read.dtype == tensor.dtype
    assert read.tolist() == tensor.tolist()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_sign_beside_the_numbers(zipped: bool) -> None:
    (read,) = read_torch_bytes(saved([torch._neg_view(NUMBERS)], zipped))
    assert torch.equal(read, -NUMBERS)


def test_tensors_share_numbers_as_in_the_file() -> None:
    first, second = read_torch_bytes(saved([NUMBERS, NUMBERS[3:]]))
    second[0] = 7
    assert first[3] == 7


def pickled(code: bytes) -> bytes:
    return archived({"a/data.pkl": code})


COPIED = b"\x80\x02" + b"X\x10\x27\0\0" + b"x" * 10_000 + b"q\x000"
LONG: dict[str, bytes] = {
    "two million parts": b"\x80\x02" + b"N0" * 1_000_000 + b"N.",
    "marks": b"\x80\x02" + b"(" * 2_000_000 + b"N.",
    "copies of a text": COPIED + b"c_codecs\nencode\nq\x010" + b"h\x01h\x00\x85R" * 200_000 + b".",
    "a list for a class": b"\x80\x02]("
    + b"K\x01" * 50_000
    + b"eq\x00ctorch\nSize\nq\x01"
    + b"h\x01h\x00\x85R0" * 100_000
    + b".",
    "keys of one hash": b"\x80\x02}("
    + b"".join(b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little") + b"N" for k in range(60_000))
    + b"u.",
    "a nested key": b"\x80\x02}N\x85" + b"2\x86" * 60 + b"K\x01s.",
    "a long number": b"\x80\x02\x8b" + struct.pack("<i", 10**6) + bytes(10**6) + b".",
    "a long text": b"\x80\x02X\xff\xff\xff\x7f.",
    "a long line": b"V" + b"x" * 10**6 + b"\n.",
    "a place in the memo": b"\x80\x02Nr\xff\xff\xff\xff.j\xff\xff\xff\x7f.",
    "deep": b"\x80\x02" + b"N" + b"\x85" * 200_000 + b"}\x86R.",
}


@pytest.mark.parametrize("case", LONG)
def test_pickles_that_never_end(case: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with not_for_ever(20):
        try:
            read_torch_bytes(pickled(LONG[case]))
        except TorchFileError as error:
            assert case != "a place in the memo"
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert case == "a place in the memo"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # kB


CALLS = [
    b"cos\nsystem\n(S'touch MARK'\ntR.",
    b'c__builtin__\neval\n(S\'open("MARK", "w")\'\ntR.',
    b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x15open('MARK', 'w').xxxx\x85R.",
    b"(S'touch MARK'\nios\nsystem\n.",
    b"(cos\nsystem\nS'touch MARK'\no.",
    b"N0cos\nsystem\n(S'touch MARK'\ntR.",
    b"\x80\x02ccollections\nOrderedDict\n)R}X\x04\0\0\0__class__cos\nsystem\nsb.",
    b"ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\0\0\0__defaults__Nsb.",
    b"\x80\x02\x82\x01.",
    b"\x80\x02cconvatlas.base.files.torch_names NAMES\nclear\n)R.",
]


@pytest.mark.parametrize("code", CALLS, ids=range(len(CALLS)))
def test_calls_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (pickled(code), code, pickle.dumps(0x1950A86A20F9469CFC6C, 2) + code):
        with pytest.raises(TorchFileError):
            read_torch_bytes(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (6,), (1,)),
        (5, (1,), (1,)),
        (0, (2,), (5,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2**62, 2**62, 0), (1, 1, 1)),
    ],
)
def test_tensors_that_reach_out_of_their_numbers(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    class Reaching:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (torch.arange(5.0).storage(), offset, size, stride, False, None)

    with pytest.raises(TorchFileError, match="has a tensor"):
        read_torch_bytes(saved(Reaching()))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("many", [100, pytest.param(5000, marks=pytest.mark.sweep)])
def test_damaged_bytes(zipped: bool, many: int) -> None:
    data = saved(optimizer(), zipped)
    for seed in range(many):
        with not_for_ever(20):
            try:
                read_torch_bytes(bytes_changed(data, random.Random(seed)))
            except TorchFileError as error:
                assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("seed", range(12))
def test_what_is_no_ordinary_file(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(saved(optimizer()))
    replaced(path, random.Random(seed))
    with (
        not_for_ever(20),
        pytest.raises(OSError, match=r"ordinary file|bytes, of which|No such|directory|device|socket"),
    ):
        read_torch(path)
