"""`convatlas vary`: each variant has one gene changed, with the same seeds and photos; interrupted runs resume."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.images.sets import small
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, TrainingError
from convatlas.base.files.structured import to_type
from convatlas.cli.app import app
from convatlas.images.download import get
from convatlas.nets.build import build
from convatlas.studies import processes, trials
from convatlas.studies.paired import LEVEL
from convatlas.studies.trials import Outcome, Trial, limited, run
from convatlas.studies.variation import Variant, summarize
from convatlas.studies.variation_chart import BETTER, SAME, WORSE, colour_of, variation_chart
from convatlas.studies.vary import variants_of
from convatlas.training.data.splits import load_splits
from convatlas.training.recipe import Recipe

SHORT = {"epochs": 1, "batch_size": 10}


@pytest.fixture
def digits(store, tmp_path, monkeypatch):
    for file, data in small(monkeypatch, "mnist").items():
        (tmp_path / file).write_bytes(data)
    get("mnist", tmp_path)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda jobs, context, **settings: ThreadPoolExecutor(1))
    return tmp_path / "runs"


@pytest.mark.sweep
def test_variants_of_a_net(digits, monkeypatch):
    words = ["vary", "--net", "LeNet1", "--gene", "pooling=max,trainable", "--gene", "dropout=0.5", "--data", "mnist"]
    words += ["--seeds", "2", "--photos", "12", "--epochs", "1", "-o", str(digits), "--fixed", "output=dense"]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    result = json.loads(done.stdout)
    rows = {row["variant"]: row for row in result["rows"]}
    # The published pooling is the trainable one.
    assert [*rows] == ["unchanged", "pooling=max", "dropout=0.5"]
    assert rows["unchanged"]["p"] is rows["unchanged"]["difference"] is None
    assert rows["pooling=max"]["parameters"] < rows["unchanged"]["parameters"] == rows["dropout=0.5"]["parameters"]
    measured = ca.measure("lenet1", genes={"output": "dense", "pooling": "max"})
    assert (measured.parameters, measured.macs) == (rows["pooling=max"]["parameters"], rows["pooling=max"]["macs"])
    assert (result["fixed"], result["photos"], result["recipe"]["epochs"]) == ({"output": "dense"}, 12, 1)
    outcomes = [to_type(Outcome, json.loads(path.read_text())) for path in digits.glob("*/outcome.json")]
    assert len(outcomes) == 6
    for row in rows.values():
        runs = sorted((o for o in outcomes if o.settings["variant"] == row["variant"]), key=lambda run: run.seed)
        assert [run.accuracy for run in runs] == row["accuracies"] == [100 * run.bits().mean() for run in runs]
        assert [run.seed for run in runs] == [0, 1]
        reach = stats.t.ppf(0.975, 1) * stats.sem(row["accuracies"])
        assert row["interval"] == pytest.approx([row["accuracy"] - reach, row["accuracy"] + reach])
    assert (digits / "vary.png").stat().st_size > 1000
    assert json.loads((digits / "vary.json").read_text())["rows"] == result["rows"]
    # Finished runs are read, not repeated; the table has a line for each variant.
    monkeypatch.setattr(trials, "fit", None)
    again = CliRunner().invoke(app, [*words, "--csv"], catch_exceptions=False).stdout.splitlines()
    assert [line.partition(",")[0] for line in again] == ["variant", *rows]
    (next(digits.glob("*max-0")) / "outcome.json").write_text("{}")
    with pytest.raises(TrainingError, match="damaged"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_trained_net_is_what_is_tested(digits):
    trial = Trial("unchanged", "lenet1", {}, "mnist", 15, Recipe(**SHORT, seed=4))
    outcome = run(trial, digits)
    net = ca.load(digits / "lenet1-unchanged-4" / "weights.safetensors")
    data = load_splits("mnist", net, trial.recipe, net.size)
    ((x, _),) = data.test.eval_batches([np.arange(10)])
    assert (net(x).argmax(1) == data.test.labels).tolist() == outcome.bits().tolist()
    drawn = limited(data, 15, 4).train
    ((x, _),) = drawn.eval_batches([np.arange(15)])
    assert outcome.training_accuracy == pytest.approx(100 * (net(x).argmax(1) == drawn.labels).float().mean().item())
    with pytest.raises(TrainingError, match="another recipe"):
        run(replace(trial, photos=14), digits)


def test_photos_are_drawn_for_each_seed(digits):
    data = load_splits("mnist", build("lenet1"), Recipe(), (28, 28))
    drawn = [limited(data, 8, seed).train.photos for seed in (0, 1, 1)]
    assert len(drawn[0]) == 8
    assert not (drawn[0] == drawn[1]).all()
    assert (drawn[1] == drawn[2]).all()
    assert limited(data, None, 0) is data
    with pytest.raises(TrainingError, match="photos is at most 20"):
        limited(data, 21, 0)


def made_up(variant: str, seed: int, bits: np.ndarray) -> Outcome:
    settings = {"variant": variant, "recipe": {"seed": seed}}
    packed = np.packbits(bits).tobytes().hex()
    return Outcome(settings, 100 * float(bits.mean()), 99.0, (1.0, 0.5), len(bits), packed, 10, 20, 3.0, "")


def test_real_differences_are_called_real():
    random = np.random.default_rng(0)
    outcomes = []
    for seed in range(3):
        hard = random.random(2000)
        for variant, share in (("base", 0.9), ("better", 0.96), ("same", 0.9), ("worse", 0.8)):
            noise = random.random(2000) < 0.02
            outcomes.append(made_up(variant, seed, (hard < share) ^ noise))
    variants = [Variant("base", {}), *(Variant(name, {}, "base") for name in ("better", "same", "worse"))]
    rows = summarize(variants, outcomes[::-1])
    assert [row.real for row in rows] == [None, True, False, True]
    assert [colour_of(row) for row in rows] == [SAME, BETTER, SAME, WORSE]
    assert rows[1].p <= LEVEL < rows[2].p
    assert rows[1].epoch_seconds == 1.5
    drawn = variation_chart(rows, "a title", "a note").picture().svg()
    for text in ("base", "better", "worse", "no real difference", "parameters (thousands)", "seconds per epoch"):
        assert text in drawn


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--net", "lenet55", "--gene", "pooling=max"], "did you mean lenet5"),
        (["--net", "lenet5", "--gene", "pooling=maxx"], "no gene of pooling is called 'maxx'"),
        (["--net", "lenet5", "--gene", "pool=max"], "no locus is called 'pool'"),
        (["--net", "lenet5", "--gene", "pooling"], "genes to try are LOCUS=NAME,NAME"),
        (["--net", "lenet5", "--gene", "pooling="], "genes to try are LOCUS=NAME,NAME"),
        (["--net", "lenet5", "--gene", "routing=dynamic"], "lenet5 has no routing to swap"),
        (["--net", "lenet5", "--gene", "padding=reflect"], "padding=reflect changes nothing in lenet5"),
        (["--net", "lenet5", "--gene", "pooling=subsampling"], "has all of these genes already"),
        (["--net", "lenet5", "--gene", "dropout=2"], "dropout is a probability"),
        (["--net", "lenet5", "--gene", "pooling=max", "--seeds", "0"], "seeds is a whole number from 1 up; got 0"),
        (["--net", "lenet5", "--gene", "pooling=max", "--photos", "0"], "photos is a whole number from 1 up; got 0"),
        (["--net", "lenet5", "--gene", "pooling=max", "--epochs", "0"], "epochs is a whole number from 1 up; got 0"),
        (["--net", "lenet5", "--gene", "pooling=max", "--data", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_mistakes(words, said):
    with pytest.raises(ConvAtlasError, match=re.escape(said)) as caught:
        CliRunner().invoke(app, ["vary", "--data", "mnist", *words], catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_what_only_python_can_get_wrong():
    with pytest.raises(ConvAtlasError, match="table from locus to genes"):
        variants_of("lenet5", ["max"], {}, "mnist")
    with pytest.raises(ConvAtlasError, match="know genes by name"):
        variants_of(
            "lenet5",
            {"pooling": [ca.genes.gene.Gene("pooling", "mine", "", "", "", "", "", lambda: None)]},
            {},
            "mnist",
        )


def test_a_gene_is_tried_once_however_it_is_spelled():
    _, variants = variants_of("lenet5", {"activation": ["silu", "swish", "scaled_tanh"]}, {}, "mnist")
    assert [variant.name for variant in variants] == ["unchanged", "activation=silu"]
    _, variants = variants_of("mlp_300", {"activation": "relu"}, {"output": "dense"}, "mnist")
    assert [variant.genes for variant in variants] == [{"output": "dense"}, {"output": "dense", "activation": "relu"}]
