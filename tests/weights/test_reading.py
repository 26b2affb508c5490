"""Files of weights that are damaged in any way are refused in one line, and nothing is half-filled."""

from __future__ import annotations

import collections
import copy
import hashlib
import io
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.weights import lite
from convatlas.weights.reading import fill, state_dict, verified

# PyTorch remarks on what is odd about the files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def saved(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def read(folder: Path, data: bytes) -> dict[str, Tensor]:
    path = folder / "weights.pth"
    path.write_bytes(data)
    return state_dict(path, hashlib.sha256(data).hexdigest())


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(WeightsError) as told:
        read(folder, data)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith("weights.pth ")
    return str(told.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_whole_is_read(tmp_path: Path, zipped: bool) -> None:
    given = net().state_dict()
    found = read(tmp_path, saved(given, zipped))
    assert list(found) == list(given)
    assert all(torch.equal(found[name], given[name]) for name in given)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_end_too_early(tmp_path: Path, zipped: bool) -> None:
    data = saved(net().state_dict(), zipped)
    lengths = {0, 1, 2, 3, 4, 8, 16, *range(0, len(data), 97), len(data) - 1}
    for length in lengths:
        refused(tmp_path, data[:length])


@pytest.mark.parametrize("zipped", [True, False])
def test_files_with_wrong_bytes_are_read_or_refused(tmp_path: Path, zipped: bool) -> None:
    """Whatever is thrown at the reader, only a `WeightsError` comes out; weights that changed are still weights."""
    data, draw = saved(net().state_dict(), zipped), random.Random(0)
    outcomes = collections.Counter()
    for _ in range(150):
        wrong = bytearray(data)
        for _ in range(draw.choice([1, 3, 30])):
            wrong[draw.randrange(len(wrong))] = draw.randrange(256)
        try:
            found = read(tmp_path, bytes(wrong))
        except WeightsError as error:
            outcomes["refused" if "\n" not in str(error) else "refused in many lines"] += 1
        else:
            assert all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items())
            outcomes["read"] += 1
    assert set(outcomes) == {"refused", "read"}
    assert outcomes["refused"] > 20
    assert outcomes["read"] > 20


TENSOR = torch.ones(2)
NO_TABLES: dict[str, Any] = {
    "a list": [TENSOR],
    "a tensor": TENSOR,
    "a number": 3,
    "nothing": None,
    "numbers by name": {"a": 1.0},
    "tables in a table": {"state_dict": {"a": TENSOR}},
    "tensors by number": {0: TENSOR},
    "a sparse tensor": {"a": TENSOR.to_sparse()},
    "a tensor without numbers": {"a": torch.ones(2, device="meta")},
}


@pytest.mark.parametrize("what", NO_TABLES)
def test_what_is_no_table_of_weights(tmp_path: Path, what: str) -> None:
    refused(tmp_path, saved(NO_TABLES[what]))


class Writing:
    """A pickle that writes a file when it is trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


@pytest.mark.parametrize("where", ["alone", "in a table", "in a tensor's place", "plain pickle"])
def test_code_in_a_file_is_never_run(tmp_path: Path, where: str) -> None:
    bomb = Writing(tmp_path / "proof")
    data = {
        "alone": lambda: saved(bomb),
        "in a table": lambda: saved({**net().state_dict(), "0.extra": bomb}),
        "in a tensor's place": lambda: saved({"0.weight": bomb}, zipped=False),
        "plain pickle": lambda: pickle.dumps({"0.weight": bomb}),
    }[where]()
    refused(tmp_path, data)
    assert not (tmp_path / "proof").exists()
    # The bomb is a real one: whoever trusts the file sets it off.
    torch.load(io.BytesIO(data), weights_only=False) if where != "plain pickle" else pickle.loads(data)
    assert (tmp_path / "proof").exists()


def test_only_the_published_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    right = hashlib.sha256(b"other").hexdigest()
    assert verified(path, right) == b"other"
    with pytest.raises(WeightsError, match=rf"its sha256 is {right}, not {'0' * 64}; reinstall it"):
        verified(path, "0" * 64)
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            verified(missing, right)


def bits(module: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in module.state_dict().values()]


CHANGES: dict[str, tuple[Any, str]] = {
    "last one missing": (lambda weights: weights.pop("3.bias"), r"it lacks 3\.bias \(1 missing, 0 surplus\)"),
    "statistics missing": (lambda weights: weights.pop("1.running_var"), r"it lacks 1\.running_var"),
    "one too many": (lambda weights: weights.update(extra=TENSOR), r"it has extra, which the net lacks \(0 missing, 1"),
    "renamed": (lambda weights: weights.update(other=weights.pop("3.bias")), r"\(1 missing, 1 surplus\)"),
    "last one of another shape": (
        lambda weights: weights.update({"3.bias": torch.zeros(3)}),
        r"3\.bias is \(3,\) for \(2,\)",
    ),
    "as many numbers, another shape": (
        lambda weights: weights.update({"3.weight": weights["3.weight"].T}),
        r"3\.weight is \(4, 2\) for \(2, 4\)",
    ),
    "broadcastable": (lambda weights: weights.update({"3.bias": torch.zeros(1)}), r"3\.bias is \(1,\) for \(2,\)"),
    "nan": (lambda weights: weights["3.bias"].fill_(torch.nan), r"not finite, in 3\.bias"),
    "infinite": (lambda weights: weights["1.running_mean"][0].fill_(-torch.inf), r"not finite, in 1\.running_mean"),
    "empty": (lambda weights: weights.clear(), r"\(8 missing, 0 surplus\)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_fit_whole_or_not_at_all(change: str) -> None:
    ours = net()
    weights = {name: torch.rand_like(tensor.float()) for name, tensor in ours.state_dict().items()}
    do, told = CHANGES[change]
    do(weights)
    before = bits(ours)
    with pytest.raises(WeightsError, match=rf"^these weights .*{told}"):
        fill(ours, weights, "these weights")
    assert bits(ours) == before


def test_weights_that_fit_are_copied_every_one() -> None:
    ours, theirs = net(), net()
    nn.init.normal_(theirs[1].running_mean)
    weights = copy.deepcopy(theirs.state_dict())
    # Files of old have no counters.
    del weights["1.num_batches_tracked"]
    fill(ours, weights, "these weights")
    assert bits(ours) == bits(theirs)
    weights["0.weight"].zero_()
    assert bits(ours) == bits(theirs)


def test_names_cover_the_net_and_the_file() -> None:
    """Each layer of the package's file has one name of ours, and each of ours is there."""
    for name in lite.PACKAGES:
        ours = ca.build(name)
        table = dict(lite.names(ours))
        layers = {key.rpartition(".")[0] for key in state_dict(lite.path(name), lite.PACKAGES[name].sha256)}
        assert set(table) == layers
        owning = {path for path, module in ours.named_modules() if module._parameters and not list(module.children())}
        assert set(table.values()) == owning
        assert len(set(table.values())) == len(table)


@pytest.mark.parametrize(
    "genes",
    [
        {"normalization": "group"},
        {"normalization": "none"},
        {"activation": "prelu"},
        {"attention": "squeeze_excitation"},
        {"flattening": "pyramid"},
        {"convolution": "dense"},
    ],
    ids=str,
)
def test_genes_that_change_weights_do_not_fit(genes: dict[str, str]) -> None:
    with pytest.raises(WeightsError, match="the lite weights of efficientnet_lite0 does not fit the net"):
        ca.load("efficientnet_lite0", genes=genes)


@pytest.mark.parametrize(
    "genes",
    [{}, {"activation": "silu"}, {"padding": "reflect"}, {"flattening": "global_max"}, {"dropout": 0.5}],
    ids=str,
)
def test_genes_that_change_none_keep_them_all(genes: dict[str, object]) -> None:
    loaded = ca.load("efficientnet_lite0", genes=genes)
    plain = state_dict(lite.path("efficientnet_lite0"), lite.PACKAGES["efficientnet_lite0"].sha256)
    theirs = {ours: layer for layer, ours in lite.names(loaded)}
    for name, tensor in loaded.state_dict().items():
        layer, _, part = name.rpartition(".")
        assert torch.equal(tensor, plain[f"{theirs[layer]}.{part}"])
    assert not any(module.training for module in loaded.modules())
    assert loaded.lineage.sha256 == lite.PACKAGES["efficientnet_lite0"].sha256
    assert all(getattr(loaded.genome, locus) == value for locus, value in genes.items())
