"""Converted files that are damaged, or of an earlier version, are converted again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torchvision import models

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.base.store import sealed
from convatlas.catalogue.cards import Card, find_card
from convatlas.nets.net import Net
from convatlas.weights import cache, listing
from convatlas.weights.formats import native
from convatlas.weights.listing import lineage_table, local_path, megabytes
from convatlas.weights.registry import choose, origin

NAME = "shufflenet_v2_x0_5"


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), tmp_path / "published.pth")
    monkeypatch.setattr(origin("torchvision"), "file", lambda weights: tmp_path / "published.pth")
    return ca.fetch(NAME, weights="torchvision")


def answer(net: Net) -> torch.Tensor:
    with torch.no_grad():
        return net(torch.ones(1, 3, 64, 64))


def load(**options: object) -> Net:
    return ca.load(NAME, weights="torchvision", **options)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_damaged_file_is_converted_again(converted: Path, hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    right, times, whole = answer(load()), converted.stat(), converted.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 4000] = bytes(4000)
    with converted.open("r+b") as file:
        file.write(damaged)
    if hidden:
        os.utime(converted, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert torch.equal(answer(load()), right)
    assert sealed.sealed_hash(converted)
    # The damage would be seen in the answers.
    monkeypatch.setattr(cache, "sealed_hash", lambda path: "whatever")
    converted.write_bytes(damaged)
    assert not torch.equal(answer(load()), right)


def test_a_whole_file_is_not_converted_again(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "convert", None)
    load()


def test_a_file_without_a_note_is_no_proof(converted: Path) -> None:
    right = answer(load())
    note = converted.with_name(f".{converted.name}.sealed")
    note.unlink()
    converted.write_bytes(converted.read_bytes()[:-1000] + bytes(1000))
    assert torch.equal(answer(load()), right)
    assert note.is_file()


def test_a_file_of_an_earlier_version_is_converted_again(converted: Path) -> None:
    right = answer(load())
    tensors, description = native.read(converted)
    assert description is not None
    older = {name.replace("stem.conv", "stem.convolution"): tensor.clone() for name, tensor in tensors.items()}
    native.write(older, description, converted)
    cache.seal(converted)
    assert torch.equal(answer(load()), right)
    assert native.read(converted)[0].keys() == tensors.keys()


def test_genes_that_do_not_fit_convert_nothing(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "convert", None)
    with pytest.raises(WeightsError, match="do not fit the net"):
        load(genes={"activation": "prelu"})


def test_the_card_that_is_given_is_used(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_card(NAME)

    def refuse(name: object) -> Card:
        raise AssertionError(f"{name} was looked up again")

    for module in ("load", "cache", "registry"):
        monkeypatch.setattr(f"convatlas.weights.{module}.find_card", refuse, raising=False)
    assert ca.load(card, weights=choose(card, "torchvision")).card is card


def test_a_net_that_was_never_measured_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = choose(find_card(NAME), "torchvision")
    assert megabytes(row) is not None
    monkeypatch.setattr(listing, "measured", dict)
    table = lineage_table("darknet19")
    assert [line["mb"] for line in table.rows] == [None]
    assert str(table)
    assert local_path(row).name == "torchvision--IMAGENET1K_V1.safetensors"
