"""Studies that compare variants: their trials can be built, and results are summarized, drawn and told as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.studies.test_vary import made_up

import convatlas as ca
from convatlas.base.errors import TrainingError, UnknownName
from convatlas.nets.build import build
from convatlas.studies.comparison import Comparison, effect
from convatlas.studies.degradation import study as degradation
from convatlas.studies.genes.parts import LENET, PARTS, RESNET
from convatlas.studies.study import list_studies
from convatlas.studies.transfer_functions import reader
from convatlas.studies.vary import UNCHANGED

STUDIES = {name: list_studies()[name] for name in ("degradation", "genes", "transfer_functions")}


@pytest.fixture(params=STUDIES)
def study(request):
    return STUDIES[request.param]


def outcomes_of(study, seeds):
    """Made-up outcomes: every variant is a little better than the one before."""
    random = np.random.default_rng(0)
    hard = random.random((seeds, 400))
    for at, trial in enumerate(study.tasks(False, seeds, ())):
        share = 0.5 + 0.45 * (at % (len(study.tasks(False, 1, ())))) / len(study.tasks(False, 1, ()))
        run = made_up(trial.variant, trial.recipe.seed, hard[trial.recipe.seed] < share)
        yield replace(
            run, settings=trial.settings(), losses=(1.0,) * trial.recipe.epochs, training_accuracy=100 * share
        )


def test_a_result_is_read_drawn_and_told(study, tmp_path):
    rows = study.summarize(list(outcomes_of(study, 2)))
    result = study.result(rows=tuple(rows), seeds=2, quick=False, threads=1)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result.to_dict()))
    again = study.result.read(path)
    assert again.parts() == result.parts()
    page = study.page(again)
    for rows in result.parts().values():
        for row in rows:
            assert f"| {row.variant} |" in page
            assert row.base in ("", *(each.variant for each in rows))
    assert f"Training took {result.hours:.1f} hours" in page
    assert "None" not in page
    pictures = study.draw(tmp_path, again.rows, "-quick")
    assert all(f"]({picture.name.replace('-quick', '')})" in page for picture in pictures)
    assert len(result.table().rows) == len(result.rows) == len(study.tasks(False, 1, ()))
    path.write_text("{}")
    with pytest.raises(TrainingError, match="is not a result of"):
        study.result.read(path)


def test_trials_are_named_and_short_if_quick(study):
    trials = study.tasks(False, study.seeds, ())
    assert len({trial.folder(Path()) for trial in trials}) == len(trials)
    assert [trial.recipe.seed for trial in trials] == sorted(trial.recipe.seed for trial in trials)
    key = trials[1].variant
    (quick,) = study.tasks(True, 1, [key])
    assert quick.recipe.epochs == max(1, trials[1].recipe.epochs // 10)
    assert quick.variant == f"{key}-quick"
    # A row alone is summarized without a comparison.
    (row,) = study.summarize([replace(next(iter(outcomes_of(study, 1))), settings=quick.settings())])
    assert row["p"] is None
    with pytest.raises(UnknownName, match="no variant of the study is called"):
        study.tasks(True, 1, ["nothing"])


@pytest.mark.sweep
@pytest.mark.parametrize("variant", [*LENET, *RESNET], ids=lambda variant: variant.name)
def test_every_variant_can_be_built_and_trained(variant):
    net = PARTS[0].net if variant in LENET else PARTS[1].net
    built = build(net, channels=1, classes=10, genes=variant.genes)
    x = torch.randn(4, 1, *built.size)
    built(x).square().mean().backward()
    assert all(weight.grad is not None for weight in built.parameters())


def test_each_gene_of_six_loci_is_tried():
    for variants in (LENET, RESNET):
        loci = {variant.name.partition("=")[0] for variant in variants} - {UNCHANGED}
        assert loci >= {"padding", "flattening", "normalization", "attention", "activation"}
        assert len({str(sorted(variant.genes.items())) for variant in variants}) == len(variants)
    assert "pooling=max" in {variant.name for variant in LENET}
    assert "skip=plain" in {variant.name for variant in RESNET}


def test_an_effect_is_told_as_it_is():
    rows = STUDIES["degradation"].summarize(list(outcomes_of(STUDIES["degradation"], 2)))
    base, row, *_ = Comparison(rows=tuple(rows), seeds=2, quick=False, threads=1).parts()["degradation"]
    row = replace(row, difference=1.5, difference_interval=(1.0, 2.0), real=True, accuracy=90.25, parameters=20)
    assert effect(row, base) == (
        "`8 layers, plain` raises the accuracy by 1.50 points to 90.25 % (95 % interval of the difference +1.00 to "
        "+2.00) (compared with `8 layers, residual`), with 2.00 times the parameters."
    )
    assert "lowers the accuracy by 1.50 points" in effect(replace(row, difference=-1.5), base)
    assert "makes no difference that can be told from chance: +1.50" in effect(replace(row, real=False), base)
    assert "compared" not in effect(row, replace(base, variant=UNCHANGED))


def test_what_happens_with_depth_is_told_as_it_is():
    study = STUDIES["degradation"]
    rows = study.summarize(list(outcomes_of(study, 2)))
    for row in rows:
        deep, plain = row["variant"].startswith("56"), row["variant"].endswith("plain")
        row["training_accuracies"] = (90.0, 91.0) if deep and plain else (95.0, 94.0) if plain else (96.0, 95.5)
    text = degradation.finding(Comparison(rows=tuple(rows), seeds=2, quick=False, threads=1))
    assert "the plain nets rises from 5.50 ± 0.71 to 9.50 ± 0.71 %, with every seed." in text
    assert "the residual nets falls from 4.25 ± 0.35 to 4.25 ± 0.35 %, but the seeds overlap." in text


@pytest.mark.parametrize("name", ["none", "elman", "jordan", "chain"])
def test_a_reader_reads_all_rows_if_it_has_feedback(name):
    net = getattr(reader, name)().double()
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    net(x).sum().backward()
    read = x.grad.abs().sum((0, 1, 3)) > 0
    assert read[-1]
    assert read[:-1].all() == (name != "none")
    assert ca.measure(getattr(reader, name)(), size=28, channels=1).macs == 28 * sum(
        weight.numel() for weight in net.parameters() if weight.dim() == 2
    )


def test_elman_s_reader_by_hand():
    net = reader.elman().double()
    weights = {name.removeprefix("recurrence."): weight for name, weight in net.named_parameters()}
    x = torch.randn(1, 1, 28, 28, dtype=torch.float64)
    state = torch.zeros(100, dtype=torch.float64)
    for row in x[0, 0]:
        state = torch.tanh(
            weights["hidden1_weight"] @ row + weights["hidden1_bias"] + weights["hidden1_to_hidden1"] @ state
        )
    expected = weights["output_weight"] @ state + weights["output_bias"]
    assert torch.allclose(net(x)[0], expected, rtol=1e-12, atol=1e-12)
