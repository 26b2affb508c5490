"""Whole files, records that can be repeated, errors that help, devices that are there."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convatlas.base import atomic
from convatlas.base import errors as all_errors
from convatlas.base.devices import DEVICES, device_of
from convatlas.base.errors import ConvAtlasError, UnknownName, unknown
from convatlas.base.records import Record, provenance


def test_a_file_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "file.json"
    atomic.write_bytes(path, b"first")
    atomic.write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [one.name for one in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_written_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")

    def fails(*given: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(type(error)):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")
    code = (
        "import os, signal, pathlib\n"
        "from convatlas.base.atomic import write_bytes\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_bytes(pathlib.Path({str(path)!r}), b'new')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert path.read_bytes() == b"old"


@dataclasses.dataclass(frozen=True)
class Found(Record):
    name: str
    shape: tuple[int, ...]
    share: float | None = None


def test_a_record_goes_to_json_and_dict() -> None:
    found = Found(name="é", shape=(1, 2))
    plain = found.to_dict()
    assert plain == json.loads(found.to_json())
    assert (plain["name"], plain["shape"], plain["share"]) == ("é", [1, 2], None)
    assert plain["made"]["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert plain["made"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert plain["made"]["machine"]


def test_records_are_equal_by_what_was_found() -> None:
    other = dataclasses.replace(provenance(), machine="another")
    assert Found(name="a", shape=()) == Found(name="a", shape=(), made=other)
    assert Found(name="a", shape=()) != Found(name="b", shape=())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Found(name="a", shape=()).name = "b"  # type: ignore[misc]


def test_what_was_not_loaded_took_no_part() -> None:
    code = "from convatlas.base.records import provenance; print(sorted(provenance().versions))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['convatlas', 'python']"


def test_every_error_is_one_of_ours_and_exported_by_its_room() -> None:
    errors = [one for one in vars(all_errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(errors) == 8
    assert all(issubclass(one, ConvAtlasError) and one.__doc__ for one in errors)


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("resnet5", ["resnet50", "vgg16"], "no net is called 'resnet5'; did you mean resnet50?"),
        ("RESNET50 ", ["resnet50"], "no net is called 'RESNET50 '; did you mean resnet50?"),
        ("zzz", ["b", "a"], "no net is called 'zzz'; known: a, b"),
        ("zzz", [f"n{k:02}" for k in range(25)], "no net is called 'zzz'; 25 are known, among them n00, n01, n02,"),
        ("", ["a"], "no net is called ''; known: a"),
        ("a\nb", ["x"], "no net is called 'a\\nb'; known: x"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(name: str, known: list[str], text: str) -> None:
    error = unknown("net", name, known)
    assert isinstance(error, UnknownName)
    assert str(error).startswith(text)
    assert "\n" not in str(error)


def present(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")]
)
def test_the_best_device_that_is_there(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, best: str) -> None:
    present(monkeypatch, cuda, mps)
    assert device_of("auto") == torch.device(best)
    assert device_of("cpu") == torch.device("cpu")
    for name, there in (("cuda", cuda), ("mps", mps)):
        if there:
            assert device_of(name).type == name
        else:
            with pytest.raises(ConvAtlasError, match=f"this machine has no {name}; it has cpu"):
                device_of(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:0", "", "CPU"])
def test_devices_that_nothing_is_called(name: str) -> None:
    assert name not in DEVICES
    with pytest.raises(UnknownName, match=r"no device is called"):
        device_of(name)
