"""Train variants of a net, each with one gene changed, and compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convatlas.base.errors import GeneError, TrainingError
from convatlas.base.untouched import untouched
from convatlas.base.verbs import Steps, verb
from convatlas.genes.gene import Gene
from convatlas.genes.genome import Genome
from convatlas.genes.loci import LOCI
from convatlas.images.download import digits
from convatlas.nets.build import build
from convatlas.nets.net import Net
from convatlas.studies.processes import check_counts, run_all
from convatlas.studies.trials import Trial, run
from convatlas.studies.variation import ONE_SEED, TEST, Variant, Variation, summarize
from convatlas.studies.variation_chart import variation_chart
from convatlas.training.data.digits import is_digits
from convatlas.training.data.splits import class_names
from convatlas.training.plots import save_chart
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import write_file

UNCHANGED = "unchanged"
"""Name of the variant without a changed gene."""

Genes = Mapping[str, object]


@verb
def vary(
    net: str,
    genes: Mapping[str, object | Sequence[object]],
    data: str | Path,
    *,
    fixed: Genes | None = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    seeds: int = 3,
    photos: int | None = None,
    output: str | Path | None = None,
    jobs: int = 2,
    threads: int = 1,
) -> Steps[Variation]:
    """Train a net with each of some genes in turn, and say which of them change its accuracy.

    Each variant differs from the unchanged net in one gene. All are trained by the same recipe with the same seeds, in
    folders of their own that are resumed if they were interrupted; `vary.json` and `vary.png` hold the result. Runs are
    Python processes of their own, so a script must call this below `if __name__ == "__main__":`.

    Args:
        net: Name of a net.
        genes: Genes to try at each locus: {"pooling": ["max", "l2"], "dropout": [0.2, 0.5]}.
        data: Data set with test photos, as in `train`.
        fixed: Genes that all variants have instead of the published ones.
        recipe: A `Recipe`, or its settings by name, with defaults for all others; its seed is the first.
        seeds: Number of seeds; with one, it cannot be known whether a difference is due to the seed.
        photos: Number of training photos, drawn for each seed; by default all.
        output: Folder of all runs; by default "runs/vary-NET-DATA".
        jobs: Number of runs at a time, each in a process of its own.
        threads: Threads of each run; another number changes the last bits of the results.

    Raises:
        UnknownName: There is no such net, locus or gene.
        GeneError: A gene does not fit the net, or changes nothing in it.
        ConvAtlasError: The data set has no test photos, or a run fails; finished runs are kept.
    """
    settings = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    check_counts(seeds=seeds, jobs=jobs, threads=threads, **({} if photos is None else {"photos": photos}))
    name, variants = variants_of(net, genes, fixed or {}, data)
    if is_digits(str(data)):
        digits(str(data))
    trials = [
        Trial(variant.name, name, variant.genes, str(data), photos, replace(settings, seed=settings.seed + number))
        for number in range(seeds)
        for variant in variants
    ]
    folder = Path("runs", f"vary-{name}-{Path(data).stem}") if output is None else Path(output)
    outcomes = []
    with closing(run_all(run, trials, folder, jobs, threads)) as finished:
        for outcome in finished:
            outcomes.append(outcome)
            if len(outcomes) < len(trials):
                yield len(outcomes), len(trials), None
    result = Variation(
        net=name,
        data=str(data),
        photos=photos,
        seeds=seeds,
        recipe=settings.to_dict(),
        fixed=dict(fixed or {}),
        threads=threads,
        rows=summarize(variants, outcomes),
        test=TEST if seeds > 1 else ONE_SEED,
    )
    write_file(folder / "vary.json", (result.to_json() + "\n").encode())
    save_chart(folder / "vary.png", variation_chart(result.rows, result.table().title, result.test))
    yield len(trials), len(trials), result


def variants_of(net: str, genes: Mapping[str, object], fixed: Genes, data: str | Path) -> tuple[str, list[Variant]]:
    """Return the net's name and its variants, the unchanged net first; each gene once, however it is spelled.

    Raises:
        ConvAtlasError: There is no such net, gene or data set, a gene does not fit, or nothing would change.
    """
    classes, channels = len(class_names(data)), 1 if is_digits(str(data)) else None
    unchanged = build(net, genes=fixed, classes=classes, channels=channels)
    name, known = unchanged.card.name, {_key(unchanged.genome)}
    variants = [Variant(UNCHANGED, dict(fixed))]
    if not isinstance(genes, Mapping):
        raise GeneError(f'genes to try are a table from locus to genes, as {{"pooling": ["max", "l2"]}}; got {genes!r}')
    for locus, values in genes.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            if isinstance(value, Gene):
                raise GeneError(f"runs are processes of their own, which know genes by name; got {value!r}")
            swapped = {**fixed, locus: value}
            genome = unchanged.genome.swapped(name, {locus: value})
            if _key(genome) in known:
                continue
            known.add(_key(genome))
            changed = build(net, genes=swapped, classes=classes, channels=channels)
            if locus in LOCI and _is_same(changed, unchanged):
                raise GeneError(f"{locus}={value} changes nothing in {name}; its genes are {_listed(unchanged.genome)}")
            variants.append(Variant(f"{locus}={getattr(genome, locus)}", swapped, UNCHANGED))
    if len(variants) == 1:
        raise TrainingError(f"nothing to vary: {name} has all of these genes already")
    return name, variants


def _is_same(net: Net, other: Net) -> bool:
    """Whether two nets have modules of the same types, the same weights, and the same outputs before any training."""
    weights, others = net.state_dict(), other.state_dict()
    return (
        [type(module) for module in net.modules()] == [type(module) for module in other.modules()]
        and weights.keys() == others.keys()
        and all(torch.equal(weight, others[name]) for name, weight in weights.items())
        and torch.equal(_sample(net), _sample(other))
    )


def _sample(net: Net) -> Tensor:
    """Return the outputs of a net that is being trained, with its first weights, for two random photos."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), untouched(net):
        torch.manual_seed(0)
        photos = torch.randn(2, net.channels, *net.size)
        outputs: Tensor = net.train()(photos)
    return outputs


def _key(genome: Genome) -> str:
    return repr(vars(genome))


def _listed(genome: Genome) -> str:
    return ", ".join(f"{locus}={value}" for locus, value in vars(genome).items() if value is not None)
