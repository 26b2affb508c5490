"""The study of capsules: its nets have the paper's sizes, its pairs are what they say, and a run gives all files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.images.sets import small

from convatlas.base.errors import TrainingError, UnknownName
from convatlas.images.digits import Digits
from convatlas.images.download import get
from convatlas.nets.families.capsnet import CapsNet
from convatlas.studies.capsules import pictures, rows, runs
from convatlas.studies.capsules.nets import PAIR_SIZE, PAIRS, Baseline, NarrowCapsNet, PairCapsNet
from convatlas.studies.capsules.pairs import REACH, draw_members, load_pairs
from convatlas.studies.capsules.plots import errors
from convatlas.studies.capsules.rows import ROWS
from convatlas.studies.capsules.table import CapsuleTable, summarize
from convatlas.training.data.dataset import index_batches
from convatlas.training.recipe import Recipe

TINY = {"width": 8, "hidden": (16, 16)}


def parameters(net) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_the_baseline_has_the_paper_s_parameters():
    with torch.device("meta"):
        assert parameters(Baseline(1, 0)) == 35_445_522  # "35.4M" in the paper
    assert parameters(rows.ROWS[1].make(0)) == 2_217_132


def test_a_narrow_capsnet_is_capsnet():
    net, x = NarrowCapsNet(0, TINY), torch.rand(2, 1, 28, 28)
    assert torch.equal(net(x), net.outputs(x)["head"])
    assert net.net.conv1.conv.out_channels == 8
    assert net.net.reconstruction.decoder.dense1.out_features == 16
    labels = torch.tensor([3, 7])
    assert torch.equal(net.loss(net.outputs(x), x, labels), net.net.loss(net.net.outputs(x), x, labels))


def toy_digits(count: int = 40) -> Digits:
    random = np.random.default_rng(0)
    photos = random.integers(1, 256, (count, 28, 28), dtype=np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    return Digits("mnist", photos, labels, photos, labels, tuple("0123456789"))


def test_pairs_are_two_digits_of_different_classes():
    digits = toy_digits()
    data = load_pairs(digits, 60, 30, 1)
    assert len(data.classes) == len(PAIRS) == 45
    for split, count in ((data.train, 60), (data.test, 30)):
        assert len(split.labels) == count
        classes = torch.from_numpy(digits.train_labels.astype("int64"))[split.members]
        assert [PAIRS[label] for label in split.labels.tolist()] == [tuple(pair) for pair in classes.tolist()]
    ((x, _),) = data.train.train_batches([torch.arange(60)], 0)
    assert x.shape == (60, 3, PAIR_SIZE, PAIR_SIZE)
    assert torch.equal(x[:, 0], torch.maximum(x[:, 1], x[:, 2]))
    # No pixel of a digit is lost, and digits are shifted as far as they may be.
    originals = torch.from_numpy(digits.train[data.train.members[:, 0]] / np.float32(255))
    assert torch.allclose(x[:, 1].sum((1, 2)), originals.sum((1, 2)))
    rows_with_ink = (x[:, 1].sum(2) > 0).float().argmax(1)
    assert {*rows_with_ink.tolist()} == set(range(2 * REACH + 1))


def test_pairs_are_functions_of_seed_epoch_and_index():
    data = load_pairs(toy_digits(), 20, 10, 1).train
    ((together, _),) = data.train_batches([torch.arange(20)], 3)
    ((alone, _),) = data.train_batches([torch.tensor([5])], 3)
    ((later, _),) = data.train_batches([torch.arange(20)], 4)
    assert torch.equal(alone[0], together[5])
    assert not torch.equal(later, together)
    ((test, _),), ((again, _),) = (data.eval_batches([torch.arange(20)]) for _ in range(2))
    assert torch.equal(test, again)
    part, kept = data.subset(torch.tensor([5, 7])), [5, 7]
    assert torch.equal(part.labels, data.labels[kept])
    assert torch.equal(part.members, data.members[kept])
    assert len(data) == 20
    members = draw_members(toy_digits().train_labels, 200, 0)
    assert (members % 10)[:, 0].ne((members % 10)[:, 1]).all()


def test_a_pair_is_named_by_its_two_longest_capsules():
    net, x = PairCapsNet(0, TINY).eval(), torch.rand(3, 3, PAIR_SIZE, PAIR_SIZE)
    outputs = net.outputs(x)
    longest = outputs["lengths"].topk(2, 1).indices.sort(1).values
    assert [PAIRS[index] for index in net(x).argmax(1).tolist()] == [tuple(pair) for pair in longest.tolist()]
    x[:, 1:] = 0
    assert torch.equal(net(x), outputs["head"])


def test_the_loss_of_pairs():
    """Two capsules that are long and eight that are short cost nothing but the reconstruction."""
    net, x = PairCapsNet(0, TINY), torch.rand(1, 3, PAIR_SIZE, PAIR_SIZE)
    outputs, label = net.outputs(x), torch.tensor([PAIRS.index((2, 5))])
    lengths = torch.full((1, 10), 0.05)
    lengths[0, [2, 5]] = 0.95
    alone = [net.net.reconstruct(outputs["poses"], torch.tensor([digit])) for digit in (2, 5)]
    expected = 0.0005 * sum((made - x[:, [place]]).square().sum() for place, made in enumerate(alone, 1))
    assert torch.allclose(net.loss(outputs | {"lengths": lengths}, x, label), expected)
    lengths[0, 5] = 0.4
    lengths[0, 0] = 0.3
    more = net.loss(outputs | {"lengths": lengths}, x, label) - expected
    assert float(more.detach()) == pytest.approx(0.5**2 + 0.5 * 0.2**2, rel=1e-4)


def test_digits_that_are_not_named():
    confusion = np.zeros((45, 45), int)
    pair = PAIRS.index
    confusion[pair((0, 1)), pair((0, 1))] = 5
    confusion[pair((0, 1)), pair((1, 2))] = 2
    confusion[pair((0, 1)), pair((3, 4))] = 1
    assert runs.unnamed_digits(confusion.tolist()) == pytest.approx(100 * (2 + 2) / 16)


def test_tasks():
    assert len(runs.list_tasks(False, 3, [])) == len(ROWS) + 2 * 4
    assert [(task.key, task.seed) for task in runs.list_tasks(True, 3, ["pairs"])] == [("pairs", 0)]
    assert runs.list_tasks(True, 1, ["pairs"])[0].row.settings(0, True) == (
        Recipe.from_dict(rows.PAPER.to_dict() | {"epochs": 1, "shift": 0}),
        2000,
    )
    with pytest.raises(UnknownName, match="rounds3_plain"):
        runs.list_tasks(False, 1, ["rounds3_plane"])


@pytest.fixture
def digits(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    get("mnist", tmp_path)
    return tmp_path / "runs"


def test_a_run(digits, monkeypatch):
    row = rows.Row("toy", "toy", lambda seed: NarrowCapsNet(seed, TINY), Recipe(epochs=2, shift=2), 20)
    monkeypatch.setattr(runs, "ROWS", (row,))
    task = runs.Task("toy", 0, False)
    outcome = runs.run(task, digits)
    assert outcome["photos"] == 20
    assert outcome["parameters"] == parameters(row.make(0))
    assert outcome["reconstruction"] > 0
    assert outcome["digits"] is None
    with Image.open(digits / "toy-0" / "poses.png") as picture:
        assert picture.size == (11 * 58 + 2, 16 * 58 + 2)
    assert (digits / "toy-0" / "reconstructions.png").is_file()
    monkeypatch.setattr(runs, "fit", None)
    assert runs.run(task, digits) == outcome
    path = digits / "toy-0" / "error.json"
    path.write_text(path.read_text().replace('"photos": 20', '"photos": 30'))
    with pytest.raises(TrainingError, match="run of another recipe"):
        runs.run(task, digits)
    path.write_text("{}")
    with pytest.raises(TrainingError, match=r"error\.json is damaged.*and the run is repeated"):
        runs.run(task, digits)


def test_the_middle_of_a_pose_sweep_is_the_reconstruction():
    net, x = NarrowCapsNet(0, TINY).net.eval(), torch.rand(1, 1, 28, 28)
    assert isinstance(net, CapsNet)
    (made,) = pictures.reconstruct(net, x)
    sweep = pictures.pose_sweep(net, x)
    assert len(sweep) == 16
    for row in sweep:
        assert torch.allclose(row[5], made[0, 0], atol=1e-6)
        assert not torch.equal(row[0], row[-1])


def test_what_is_reconstructed_of_a_pair():
    net, x = PairCapsNet(0, TINY).eval(), torch.rand(2, 3, PAIR_SIZE, PAIR_SIZE)
    pairs = [PAIRS[index] for index in net(x).argmax(1).tolist()]
    poses = net.outputs(x)["poses"]
    made = pictures.reconstruct(net, x)
    for place in (0, 1):
        labels = torch.tensor([pair[place] for pair in pairs])
        assert torch.allclose(made[place], net.net.reconstruct(poses, labels), atol=1e-6)
    shown = pictures.reconstructions(net, x)
    assert [len(row) for row in shown] == [2] * 5
    assert torch.equal(shown[3][1], x[1, 2])
    data = load_pairs(toy_digits(), 10, 10, 0)
    assert pictures.reconstruction_error(net, data) > 0
    assert sum(len(batch) for batch in index_batches(torch.arange(10), 4)) == 10


def made_up(folder) -> list:
    outcomes = [
        {
            "row": row.key,
            "seed": seed,
            "photos": row.photos,
            "recipe": row.settings(seed, False)[0].to_dict(),
            "error": 0.4 + 0.1 * seed,
            "digits": 3.0 if row.pairs else None,
            "reconstruction": None if row.key in ("baseline", "matrix") else 25.0,
            "parameters": 1000,
            "seconds": 90.0,
            "sha256": "0" * 64,
        }
        for row in reversed(ROWS)
        for seed in range(row.seeds)
    ]
    table = CapsuleTable(rows=tuple(summarize(outcomes)), seeds=3, quick=False, threads=2)
    (folder / "capsules.json").write_text(json.dumps(table.to_dict()))
    return outcomes


def test_the_table(tmp_path):
    made_up(tmp_path)
    table = CapsuleTable.read(tmp_path / "capsules.json")
    assert [row["row"] for row in table.rows] == [row.key for row in ROWS]
    text = table.table().markdown()
    assert "| quarter width, 3 rounds, reconstruction | 1,000 | 10,000 | 6 | 0.25 | 0.50 ± 0.10 | 25 | 2 |" in text
    assert "| baseline, quarter width | 1,000 | 60,000 | 10 | 0.39 | 0.40 |  | 2 |" in text
    assert "quarter width, 1 round" in errors(table.rows).picture().svg()
    (tmp_path / "capsules.json").write_text("[]")
    with pytest.raises(TrainingError, match="is not a result of `convatlas reproduce`"):
        CapsuleTable.read(tmp_path / "capsules.json")
