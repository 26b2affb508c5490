"""Files that training scripts write with live torchvision and timm load with the peer's logits."""

from __future__ import annotations

import argparse
import datetime
import decimal
import pickle
import random
import types
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm.utils
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision import models

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.base.files.pickles import Omitted
from convatlas.nets.net import Net
from convatlas.weights.formats.state_io import read_pickle

State = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def peer() -> nn.Module:
    torch.manual_seed(0)
    net = models.shufflenet_v2_x0_5(num_classes=3).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture(scope="module")
def average(peer: nn.Module) -> AveragedModel:
    """Weights that are other ones than the peer's."""
    mean = AveragedModel(peer, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    mean.update_parameters(peer)
    with torch.no_grad():
        for parameter in mean.parameters():
            parameter.mul_(1.1)
    return mean.eval()


def optimizer(net: nn.Module) -> torch.optim.Optimizer:
    """An optimizer with a state, after a step."""
    optimizer = torch.optim.SGD(net.parameters(), 0.0, momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


def options() -> argparse.Namespace:
    return argparse.Namespace(lr=0.1, output=Path("runs"), device=torch.device("cpu"), steps=(3, 5))


def prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def lightning(net: nn.Module) -> dict[str, Any]:
    return {
        "epoch": 1,
        "global_step": 20,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed("model.", net.state_dict()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5), "kth_value": torch.tensor(1.0)}},
        "optimizer_states": [optimizer(net).state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "options": options()},
    }


def classification_script(net: nn.Module, mean: AveragedModel) -> dict[str, Any]:
    """As torchvision's references/classification/train.py."""
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer(net), [3, 5])
    return {
        "model": net.state_dict(),
        "optimizer": optimizer(net).state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "epoch": 3,
        "args": options(),
        "model_ema": mean.state_dict(),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
    }


def imagenet_script(net: nn.Module) -> dict[str, Any]:
    """As pytorch/examples/imagenet/main.py."""
    return {
        "epoch": 3,
        "arch": "shufflenet_v2_x0_5",
        "state_dict": DataParallel(net).state_dict(),
        "best_acc1": torch.tensor(61.0),
        "optimizer": optimizer(net).state_dict(),
    }


FILES: dict[str, tuple[str, Callable[[nn.Module], object]]] = {
    "weights alone": ("a.pth", lambda net: net.state_dict()),
    "model": ("a.pth.tar", lambda net: {"model": net.state_dict(), "epoch": 3}),
    "state_dict": ("A.CKPT", lambda net: {"state_dict": net.state_dict()}),
    "model_state_dict": (
        "a.pt",
        lambda net: {
            "epoch": 3,
            "model_state_dict": net.state_dict(),
            "optimizer_state_dict": optimizer(net).state_dict(),
            "loss": torch.tensor(0.5),
        },
    ),
    "net": ("a.bin", lambda net: {"net": net.state_dict(), "acc": np.float64(91.5), "epoch": np.int64(3)}),
    "another name": ("a.pth", lambda net: {"student": net.state_dict(), "history": np.arange(3.0)}),
    "data parallel": ("a.pth", lambda net: DataParallel(net).state_dict()),
    "compiled": ("a.pth", lambda net: torch.compile(net).state_dict()),
    "compiled, then parallel": ("a.pth", lambda net: prefixed("module._orig_mod.", net.state_dict())),
    "one compiled stage": (
        "a.pth",
        lambda net: {name.replace("stage2.", "stage2._orig_mod."): x for name, x in net.state_dict().items()},
    ),
    "backbone": ("a.pth", lambda net: prefixed("backbone.", net.state_dict())),
    "lightning": ("last.ckpt", lightning),
    "imagenet script": ("model_best.pth.tar", imagenet_script),
    "options beside": ("a.pth", lambda net: {"model": net.state_dict(), "args": options()}),
}


def loaded(path: Path, name: str = "shufflenet_v2_x0_5") -> Net:
    return ca.load(name, weights=path)


@torch.no_grad()
def same(net: nn.Module, peer: nn.Module) -> bool:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    theirs, ours = peer.double()(x), net.double()(x)
    peer.float()
    assert theirs.std() > 1e-3
    return bool((ours - theirs).abs().max() <= 1e-9 * theirs.std())


@pytest.mark.parametrize("case", FILES)
def test_what_scripts_write(case: str, peer: nn.Module, tmp_path: Path) -> None:
    file, content = FILES[case]
    torch.save(content(peer), tmp_path / file)
    net = loaded(tmp_path / file)
    assert net.classes == 3
    assert same(net, peer)


def test_safetensors_with_a_prefix(peer: nn.Module, tmp_path: Path) -> None:
    save_file(prefixed("model.", peer.state_dict()), tmp_path / "a.safetensors")
    assert same(loaded(tmp_path / "a.safetensors"), peer)


def test_averages_come_first_and_it_is_said(
    peer: nn.Module, average: AveragedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(classification_script(peer, average), tmp_path / "checkpoint.pth")
    net = loaded(tmp_path / "checkpoint.pth")
    assert same(net, average.module)
    assert not same(net, peer)
    assert net.lineage.source == "checkpoint.pth: model_ema"
    assert "checkpoint.pth: the weights of model_ema are taken, not those of model;" in capsys.readouterr().err


def test_averaged_weights_alone(average: AveragedModel, tmp_path: Path) -> None:
    assert "n_averaged" in average.state_dict()
    torch.save(average.state_dict(), tmp_path / "swa.pth")
    assert same(loaded(tmp_path / "swa.pth"), average.module)


def test_timm_s_own_saver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    net = timm.create_model("mobilenetv2_100", num_classes=3).eval()
    mean = timm.utils.ModelEmaV3(net, decay=0.5)
    with torch.no_grad():
        for parameter in mean.parameters():
            parameter.mul_(1.1)
    arguments = argparse.Namespace(model="mobilenetv2_100", lr=0.1, output=Path("x"))
    saver = timm.utils.CheckpointSaver(
        net, optimizer(net), args=arguments, model_ema=mean, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path)
    )
    saver.save_checkpoint(3, metric=np.float64(76.5))
    ours = loaded(tmp_path / "model_best.pth.tar", "mobilenet_v2")
    assert same(ours, mean.module.eval())
    assert ours.lineage.source == "model_best.pth.tar: state_dict_ema"
    assert "state_dict_ema are taken, not those of state_dict;" in capsys.readouterr().err


def test_tables_of_unknown_names_are_not_guessed(peer: nn.Module, tmp_path: Path) -> None:
    torch.save({"teacher": peer.state_dict(), "student": peer.state_dict()}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match=r"^two\.pth holds several tables of weights, teacher, student: save one"):
        loaded(tmp_path / "two.pth")


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content |= {f"name{number}": content for number in range(2000)}
    torch.save(content, tmp_path / "loop.pth")
    with pytest.raises(WeightsError, match="does not hold a table of weights"):
        loaded(tmp_path / "loop.pth")


def changed(state: State, old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new): tensor for name, tensor in state.items()}


MISFITS: dict[str, tuple[Callable[[State], State], str]] = {
    "renamed": (
        lambda state: changed(state, "stage2.0.branch2.0.", "stage2.0.b2."),
        r"they lack stage2\.0\.branch2\.0\.weight and have stage2\.0\.b2\.weight, which the net lacks \(1 mis",
    ),
    "another head": (
        lambda state: changed(state, "fc.", "classifier."),
        r"they lack fc\.weight and have classifier\.weight, which the net lacks \(2 missing, 2 surplus\)",
    ),
    "a prefix and a surplus": (
        lambda state: prefixed("model.", {**state, "extra.weight": torch.ones(2)}),
        r"they have model\.extra\.weight, which the net lacks \(0 missing, 1 surplus\)",
    ),
    "another shape": (
        lambda state: {**state, "conv5.0.weight": torch.ones(7, 192, 1, 1)},
        r"conv5\.0\.weight is \(7, 192, 1, 1\) for \(1024, 192, 1, 1\)",
    ),
    "not finite": (
        lambda state: {**state, "conv1.0.weight": torch.full((24, 3, 3, 3), torch.nan)},
        r"not finite, in conv1\.0\.weight",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_named_as_the_file_has_it(case: str, peer: nn.Module, tmp_path: Path) -> None:
    change, words = MISFITS[case]
    torch.save(change(peer.state_dict()), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=words):
        loaded(tmp_path / "a.pth")


def test_the_error_is_that_of_the_nearest_library(tmp_path: Path) -> None:
    """Torchvision's names are tried first, but the file has timm's."""
    state = timm.create_model("mobilenetv2_100").state_dict()
    torch.save({name: tensor for name, tensor in state.items() if name != "conv_head.weight"}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"they lack conv_head\.weight \(1 missing, 0 surplus\)"):
        loaded(tmp_path / "a.pth", "mobilenet_v2")


def test_a_kernel_is_never_turned(tmp_path: Path) -> None:
    """As many numbers in 1 x 7 as in 7 x 1."""
    state = models.inception_v3(weights=None, init_weights=False).state_dict()
    name = "Mixed_6b.branch7x7_2.conv.weight"
    state[name] = state[name].transpose(2, 3).contiguous()
    torch.save(state, tmp_path / "turned.pth")
    with pytest.raises(WeightsError, match=r"Mixed_6b\.branch7x7_2\.conv\.weight is \(128, 128, 7, 1\) for \(128, 12"):
        ca.load("inception_v3", weights=tmp_path / "turned.pth", convention="torchvision")


def test_objects_beside_the_weights_are_left_out(tmp_path: Path) -> None:
    """None of their own code runs: a data type of numpy could fill the memory by its size alone."""
    torch.save({"args": options(), "metric": np.float32(1.5), "curve": np.arange(4)}, tmp_path / "a.pth")
    content = read_pickle(tmp_path / "a.pth")
    assert isinstance(content, dict)
    assert list(content.values()) == [
        Omitted("argparse Namespace"),
        1.5,
        Omitted(f"{np.arange(4).__reduce__()[0].__module__} _reconstruct"),
    ]
    huge = pickle.dumps(np.zeros((), "V8")[()], 2).replace(b"V8", b"V2000000000")
    (tmp_path / "huge.pth").write_bytes(huge)
    with pytest.raises(WeightsError):
        read_pickle(tmp_path / "huge.pth")
    torch.serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError, match=r"argparse\.Namespace"):
        torch.load(tmp_path / "a.pth", weights_only=True)


BESIDE: dict[str, object] = {
    "history": defaultdict(list, {"loss": [1.0, 2.0]}),
    "window": deque([1, 2], maxlen=3),
    "set": {1, 2},
    "frozen": frozenset([1]),
    "range": range(3),
    "complex": 1j,
    "slice": slice(1, 2),
    "bytes": bytearray(b"a"),
    "date": datetime.date(2026, 1, 2),
    "id": uuid.UUID(int=3),
    "decimal": decimal.Decimal("1.5"),
    "names": np.array(["a", "b"]),
    "objects": np.array([1, "a"], dtype=object),
    "numbers": np.arange(3),
    "random": random.getstate(),
    "options": types.SimpleNamespace(rate=1),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", list(BESIDE))
def test_what_scripts_write_beside_the_weights(tmp_path: Path, name: str, protocol: int) -> None:
    torch.save({"weights": torch.ones(2), name: BESIDE[name]}, tmp_path / "a.pth", pickle_protocol=protocol)
    assert read_pickle(tmp_path / "a.pth")["weights"].tolist() == [1, 1]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file takes no space on the disk, and minutes to hash."""

    def digest(*arguments: object) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr("hashlib.file_digest", digest)
    path = tmp_path / "net.pth"
    with path.open("wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(WeightsError, match=r"net\.pth cannot be read: it has 42,949,672,960 bytes"):
        ca.load("shufflenet_v2_x0_5", weights=path)
    with pytest.raises(WeightsError, match=r"no lineage of lenet5 has files that end in \.pth"):
        ca.load("lenet5", weights=path)
