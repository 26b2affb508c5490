"""The study of the ancestors: its read-out is logistic regression, its changes and pictures are what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.linear_model import LogisticRegression
from tests.images.sets import small

from convatlas.base.errors import TrainingError, UnknownName
from convatlas.images.download import get
from convatlas.nets.build import build
from convatlas.studies.ancestors import runs
from convatlas.studies.ancestors.changes import CHANGES, NOISES, SHIFTS
from convatlas.studies.ancestors.planes import favourites, learned_weights
from convatlas.studies.ancestors.plots import tolerance
from convatlas.studies.ancestors.readout import DECAY, ReadOut
from convatlas.studies.ancestors.table import AncestorTable, summarize


def test_the_read_out_is_logistic_regression():
    """As scikit-learn's, whose C divides the sum of all losses, not their mean."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((120, 6)) * 3 + 1, random.integers(3, size=120)
    read_out = ReadOut(torch.from_numpy(x), torch.from_numpy(y), 3)
    standard = (x - x.mean(0)) / x.std(0, ddof=1)
    peer = LogisticRegression(C=1 / (2 * DECAY * len(x)), tol=1e-10, max_iter=10_000).fit(standard, y)
    expected = peer.predict_proba(standard)
    shown = read_out.scores(torch.from_numpy(x)).softmax(1).detach().numpy()
    assert np.abs(shown - expected).max() < 1e-4
    assert read_out.accuracy(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(100 * peer.score(standard, y))


def test_a_feature_that_never_changes():
    x = torch.cat([torch.tensor([[0.0], [1.0]] * 10), torch.full((20, 1), 3.0)], 1)
    y = torch.tensor([0, 1] * 10)
    assert ReadOut(x, y, 2).accuracy(x, y) == 100


def test_changes():
    photos = np.zeros((200, 28, 28), np.uint8)
    photos[:, 10:14, 12:15] = 200
    assert np.array_equal(SHIFTS[0](photos, 0), photos)
    moved = SHIFTS[3](photos, 0)
    tops = (moved > 0).any(2).argmax(1) - 10, (moved > 0).any(1).argmax(1) - 12
    assert {*zip(*(top.tolist() for top in tops), strict=True)} == {
        (down, right) for down in (-3, 0, 3) for right in (-3, 0, 3) if down or right
    }
    noisy = NOISES[1](np.full((50, 28, 28), 128, np.uint8), 0).astype(float) / 255
    assert noisy.std() == pytest.approx(0.2, rel=0.03)
    assert np.array_equal(NOISES[1](photos, 3), NOISES[1](photos, 3))
    assert [*CHANGES][:2] == ["shift 0", "shift 1"]


def test_what_excites_a_plane():
    """The piece is where the cell is: run alone, it excites the plane as strongly."""
    net = build("neocognitron", seed=0).eval()
    photos = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)).square()
    shown = favourites(net, photos)
    assert [len(row) for rows in shown.values() for row in rows] == [12] * 6
    outputs = net.outputs(photos)
    for plane, piece in enumerate(piece for row in shown["s1"] for piece in row):
        # At the border the padding is part of the piece.
        response = (F.conv2d(piece[None, None], net.s1.excite.weight[[plane]])).clamp_min(0) * 4
        assert float(response.detach()) == pytest.approx(float(outputs["s1"][:, plane].max().detach()), rel=1e-4)
    assert shown["s2"][0][0].shape == (13, 13)
    assert any(torch.equal(shown["s3"][0][0], photo[0]) for photo in photos)


def test_where_a_cell_of_the_second_layer_looks():
    """A photo that is empty outside of a piece around the cell excites it as strongly as the whole photo."""
    net = build("neocognitron", seed=0).eval()
    photo = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    whole = net.outputs(photo)["s2"]
    row, column = 4, 3
    masked = torch.zeros_like(photo)
    window = slice(max(row + 4 - 6, 0), row + 4 + 7), slice(max(column + 4 - 6, 0), column + 4 + 7)
    masked[:, :, window[0], window[1]] = photo[:, :, window[0], window[1]]
    alone = net.outputs(masked)["s2"]
    assert torch.allclose(alone[:, :, row, column], whole[:, :, row, column], rtol=1e-5)
    assert not torch.allclose(alone[:, :, row + 2, column + 3], whole[:, :, row + 2, column + 3], rtol=1e-5)


def test_learned_weights_and_their_random_order():
    net = build("cognitron", seed=0)
    shown = learned_weights(net)
    assert (len(shown), len(shown[0]), shown[0][0].shape) == (12, 12, (5, 5))
    assert shown[3][4].max() == 1
    other = runs.shuffled(net, 0)
    before, after = net.layer1.cells.weight.detach(), other.layer1.cells.weight.detach()
    assert torch.equal(before.sort(1).values, after.sort(1).values)
    assert not torch.equal(before, after)
    assert torch.equal(net.layer1.cells.inhibition, other.layer1.cells.inhibition)


def test_tasks():
    tasks = runs.list_tasks(False, 3, [])
    assert [(task.net, task.seed) for task in tasks[-4:]] == [(n, s) for n in ("cognitron",) for s in range(3)] + [
        ("lenet1", 0)
    ]
    with pytest.raises(UnknownName, match="did you mean cognitron"):
        runs.list_tasks(False, 3, ["cognitrons"])


def test_the_whole_study_in_small(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    get("mnist", tmp_path)
    monkeypatch.setattr(runs, "LEARNED", 60)
    outcomes = [runs.run(task, tmp_path) for task in runs.list_tasks(True, 1, [])]
    assert [[*outcome["accuracy"]] for outcome in outcomes] == [["learned", "shuffled", "untrained"]] * 2 + [
        ["trained"]
    ]
    with Image.open(tmp_path / "neocognitron-0-quick" / "s1.png") as picture:
        assert picture.size == (12 * 32 + 2, 2 * 32 + 2)
    assert (tmp_path / "cognitron-0-quick" / "weights.png").is_file()
    rows = summarize(outcomes)
    table = AncestorTable(rows=tuple(rows), seeds=1, quick=True, threads=1)
    (tmp_path / "table.json").write_text(json.dumps(table.to_dict()))
    text = AncestorTable.read(tmp_path / "table.json").table().markdown()
    assert "| cognitron | learned, then in random order |" in text
    assert "lenet1, trained with labels" in tolerance(rows).picture().svg()
    task = runs.list_tasks(True, 1, ["cognitron"])[0]
    assert runs.run(task, tmp_path) == outcomes[1]
    path = task.folder(tmp_path) / "accuracy.json"
    path.write_text(path.read_text().replace('"rounds": 3', '"rounds": 4'))
    with pytest.raises(TrainingError, match="a run with other settings"):
        runs.run(task, tmp_path)
    path.write_text("[]")
    with pytest.raises(TrainingError, match="is damaged"):
        runs.run(task, tmp_path)
