"""Damaged files of a run: one line, or the run goes on from an earlier checkpoint to the same end."""

from __future__ import annotations

import random
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.hostile.damage import Damage, changed, damage_bytes, damage_json, not_for_ever, one_line
from tests.training.toys import RECIPE, toy_net, toy_splits, trained

from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.torch_files import read_torch
from convatlas.training.plots import draw as draw_charts
from convatlas.training.recipe import Recipe, read_settings
from convatlas.training.result import TrainingResult


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A run that was stopped in its second epoch, the same run to its end, and the hash of its weights."""
    from convatlas.training.loop import fit

    stopped, finished = (tmp_path_factory.mktemp(name) for name in ("stopped", "finished"))
    steps = fit.steps(toy_net(), toy_splits(), RECIPE, stopped, device="cpu")
    for _ in range(16):
        next(steps)
    steps.close()
    assert len(list(stopped.glob("checkpoint-*.pt"))) == 2
    return stopped, finished, trained(finished).sha256


def plain(value: Any) -> Any:
    """The content of a checkpoint, to be changed: tuples stay."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def damage_checkpoint(path: Path, draw: random.Random) -> None:
    """Damage a checkpoint: as a valid file of PyTorch in most cases."""
    if draw.random() < 0.3:
        damage_bytes(path, draw)
        return
    content = changed(plain(read_torch(path)), draw)
    if draw.random() < 0.3 and isinstance(content, dict) and isinstance(content.get("net"), dict):
        name = draw.choice(list(content["net"]) or ["x"])
        content["net"][name] = draw.choice([torch.ones(3), torch.full((2, 2), torch.nan), torch.ones(1).expand(10**6)])
    torch.save(content, path)


UNFINISHED: dict[str, Damage] = {
    "checkpoint": damage_checkpoint,
    "run.json": damage_json,
    "metrics.jsonl": damage_bytes,
    "best": damage_checkpoint,
}


def target(folder: Path, file: str) -> Path:
    """The newest checkpoint, the best one, or the file of that name."""
    if file == "checkpoint":
        return max(folder.glob("checkpoint-*.pt"))
    return max((folder / "best").glob("*.pt")) if file == "best" else folder / file


def resumed(folder: Path, sha256: str) -> bool:
    """Whether a damaged run could be resumed; then it has the bits of the whole run."""
    result = one_line(lambda: trained(folder, resume=True))
    assert result is None or result.sha256 == sha256
    return result is not None


def check_resuming(source: Path, sha256: str, file: str, damage: Damage, tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        shutil.copytree(source, folder, symlinks=True)
        damage(target(folder, file), random.Random(seed))
        resumed(folder, sha256)
        shutil.rmtree(folder)


@pytest.mark.parametrize("file", UNFINISHED)
@pytest.mark.parametrize("many", [4, pytest.param(60, marks=pytest.mark.sweep)])
def test_a_stopped_run(runs: tuple[Path, Path, str], tmp_path: Path, file: str, many: int) -> None:
    stopped, _, sha256 = runs
    check_resuming(stopped, sha256, file, UNFINISHED[file], tmp_path, range(many))


@pytest.mark.parametrize("file", ["result.json", "run.json", "weights.safetensors"])
@pytest.mark.parametrize("many", [12, pytest.param(150, marks=pytest.mark.sweep)])
def test_a_finished_run(runs: tuple[Path, Path, str], tmp_path: Path, file: str, many: int) -> None:
    _, finished, _ = runs
    damage = damage_bytes if file.endswith("safetensors") else damage_json
    for seed in range(many):
        folder = tmp_path / str(seed)
        shutil.copytree(finished, folder)
        damage(folder / file, random.Random(seed))
        one_line(lambda folder=folder: trained(folder, resume=True))
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["position"].update(step=10**9),
        lambda content: content["position"].update(epoch=10**9),
        lambda content: content["position"].update(step=content["position"]["step"] - 1),
        lambda content: content["position"].update(best_epoch=2),
        lambda content: content["net"]["0.weight"].fill_(torch.nan),
        lambda content: content["net"].pop("0.weight"),
        lambda content: content["ema"].update({"0.weight": torch.zeros(2)}),
        lambda content: content["optimizer"]["state"][0].update(exp_avg=torch.zeros(2)),
        lambda content: content["optimizer"]["param_groups"][0].update(weight_decay=0.5),
        lambda content: content.pop("lines"),
        lambda content: content.update(lines=[3]),
    ],
)
def test_the_earlier_checkpoint_is_used(runs: tuple[Path, Path, str], tmp_path: Path, change: Any) -> None:
    stopped, _, sha256 = runs
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    path = target(folder, "checkpoint")
    content = plain(read_torch(path))
    change(content)
    torch.save(content, path)
    assert resumed(folder, sha256)


def test_no_checkpoint_is_whole(runs: tuple[Path, Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    for path in folder.glob("checkpoint-*.pt"):
        path.write_bytes(b"3")
    with pytest.raises(ConvAtlasError, match=r"none of the 2 checkpoints in .* can be read: checkpoint-0000000015\.pt"):
        trained(folder, resume=True)


@pytest.mark.parametrize("text", ["3", "[]", "{}", "[" * 200_000, '{"net": ' * 200_000, "NaN", '{"made": {}}'])
def test_results_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ConvAtlasError, match="is not the result of a training: it ") as caught:
        TrainingResult.read(path)
    assert "\n" not in str(caught.value)


RECIPES = [
    *("epochs = [[[[[[[[[[[3]]]]]]]]]]]", f"epochs = {'[' * 5000}{']' * 5000}", "[" + "a." * 5000 + "a]\n"),
    *("epochs = 1" + "0" * 4000, "lr = 1" + "0" * 400, "lr = nan", "seed = -1", "freeze = [3]", "epochs = 'x'"),
    *(
        "batch_size = 100000000000000000000",
        "unknown = 3",
        "= 3",
        "epochs = 1" + "0" * 9000,
        "\x00",
        "freeze = {a = 3}",
    ),
    *("x = 3\n" * 100_000, "opt = '\\u001b[2J'", "warmup_epochs = 1e300"),
]


@pytest.mark.parametrize("text", RECIPES, ids=range(len(RECIPES)))
def test_recipes_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with not_for_ever(), pytest.raises(ConvAtlasError) as caught:
        Recipe.from_dict(read_settings(path))
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


LINE = '{"epoch": 1, "lr": 0.1, "loss": 1.0, "seconds": 1.0}'


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"epoch": 1}',
        LINE.replace("1.0", '"x"'),
        LINE.replace("1.0", "1e400"),
        LINE.replace("}", ', "validation_top1": 3}'),
        f"{LINE}\n{LINE}",
    ],
)
def test_curves_of_damaged_metrics(tmp_path: Path, text: str) -> None:
    """They are drawn as far as the metrics are whole."""
    (tmp_path / "metrics.jsonl").write_text(text)
    result = TrainingResult(**{field.name: None for field in fields(TrainingResult)} | {"net": "a", "data": "b"})
    assert [path.name for path in draw_charts(tmp_path, result)] == ["curves.png"]
