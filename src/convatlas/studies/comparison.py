"""Studies that compare variants: their parts, their tasks and their result."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from convatlas.base.errors import unknown
from convatlas.base.files.structured import to_type
from convatlas.base.tables import Table
from convatlas.images.download import digits
from convatlas.studies.study import Study, StudyResult
from convatlas.studies.trials import Outcome, Trial, run
from convatlas.studies.variation import ONE_SEED, TEST, Row, Variant, rows_table, summarize
from convatlas.training.recipe import Recipe


@dataclass(frozen=True)
class Part:
    """Variants that are trained alike, on the same data.

    Attributes:
        key: Short name, which stands before the variants' names in keys and folders.
        title: Title of the part's table.
        net: Name of the net.
        data: Data set.
        photos: Number of training photos; None for all.
        recipe: Recipe of all variants; its seed is the first.
        variants: The variants.
        size: Side of the photos; None for the net's own.
    """

    key: str
    title: str
    net: str
    data: str
    photos: int | None
    recipe: Recipe
    variants: tuple[Variant, ...]
    size: int | None = None


@dataclass(frozen=True)
class Comparison(StudyResult):
    """Result of a study that compares variants: the rows of all parts, each with the key and the title of its part."""

    def parts(self) -> dict[str, tuple[Row, ...]]:
        """Return the rows of each part by its key."""
        keys = dict.fromkeys(str(row["part"]) for row in self.rows)
        return {key: rows_of([row for row in self.rows if row["part"] == key]) for key in keys}

    def title_of(self, key: str) -> str:
        """Return the title of a part."""
        title = next(str(row["title"]) for row in self.rows if row["part"] == key)
        return f"{title}, {self.seeds} seed{'s' * (self.seeds > 1)}{', quick' * self.quick}"

    @property
    def test(self) -> str:
        """Name of the test of differences, with its sources."""
        return TEST if self.seeds > 1 else ONE_SEED

    @property
    def hours(self) -> float:
        """Training time of all runs together."""
        rows = [row for rows in self.parts().values() for row in rows]
        return sum(row.epoch_seconds * len(row.losses) * len(row.accuracies) for row in rows) / 3600

    def tables(self) -> list[Table]:
        """Return a table for each part."""
        return [rows_table(rows, self.title_of(key), self.test) for key, rows in self.parts().items()]

    def table(self) -> Table:
        """Return one table with the rows of all parts, each variant's name after the key of its part."""
        named = [replace(row, variant=f"{key}:{row.variant}") for key, rows in self.parts().items() for row in rows]
        return rows_table(named, "; ".join(map(self.title_of, self.parts())), self.test)


def comparison_study(
    name: str,
    shows: str,
    seeds: int,
    parts: Sequence[Part],
    draw: Callable[[Path, Sequence[Mapping[str, Any]], str], object],
    page: Callable[[Comparison], str],
) -> Study[Trial]:
    """Describe a study that compares the variants of its parts, whose data sets are downloaded first."""

    def prepare() -> None:
        for data in dict.fromkeys(part.data for part in parts):
            digits(data)

    return Study(
        name=name,
        shows=shows,
        seeds=seeds,
        prepare=prepare,
        tasks=partial(list_tasks, parts),
        run=run,
        summarize=partial(summarize_parts, parts),
        result=Comparison,
        draw=draw,
        page=page,
    )


def rows_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """Return rows in plain values as rows of a table of variants."""
    plain = [{key: value for key, value in row.items() if key not in ("part", "title")} for row in rows]
    return to_type(tuple[Row, ...], json.loads(json.dumps(plain)))


def list_tasks(parts: Sequence[Part], quick: bool, seeds: int, keys: Sequence[str]) -> list[Trial]:
    """List the trials of a study, all variants with the first seed first; if quick, with a tenth of the epochs.

    Args:
        parts: Parts of the study.
        quick: Whether the trials are short.
        seeds: Number of seeds.
        keys: Keys of variants, as "lenet5:pooling=max"; empty for all.

    Raises:
        UnknownName: There is no such variant.
    """
    known = [f"{part.key}:{variant.name}" for part in parts for variant in part.variants]
    for key in keys:
        if key not in known:
            raise unknown("variant of the study", key, known)
    return [
        _trial(part, variant, seed, quick)
        for seed in range(seeds)
        for part in parts
        for variant in part.variants
        if not keys or f"{part.key}:{variant.name}" in keys
    ]


def _trial(part: Part, variant: Variant, seed: int, quick: bool) -> Trial:
    recipe = replace(part.recipe, seed=part.recipe.seed + seed)
    if quick:
        recipe = replace(recipe, epochs=max(1, recipe.epochs // 10))
    key = f"{part.key}:{variant.name}{'-quick' if quick else ''}"
    return Trial(key, variant.net or part.net, variant.genes, part.data, part.photos, recipe, part.size)


def summarize_parts(parts: Sequence[Part], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the rows of all variants that have outcomes, in plain values; without its base no variant is compared."""
    rows = []
    for part in parts:
        named = {
            variant.name: [
                replace(outcome, settings={**outcome.settings, "variant": variant.name})
                for outcome in outcomes
                if outcome.settings["variant"].removesuffix("-quick") == f"{part.key}:{variant.name}"
            ]
            for variant in part.variants
        }
        shown = [variant for variant in part.variants if named[variant.name]]
        shown = [replace(each, base=each.base if named.get(each.base) else "") for each in shown]
        kept = [outcome for variant in shown for outcome in named[variant.name]]
        rows += [{"part": part.key, "title": part.title, **asdict(row)} for row in summarize(shown, kept)]
    return rows


def effect(row: Row, base: Row) -> str:
    """Return what a variant does to the accuracy of its base, and what it costs, in one sentence."""
    assert row.difference is not None
    assert row.difference_interval is not None
    low, high = row.difference_interval
    if row.real:
        verb = "raises" if row.difference > 0 else "lowers"
        text = (
            f"`{row.variant}` {verb} the accuracy by {abs(row.difference):.2f} points to {row.accuracy:.2f} % "
            f"(95 % interval of the difference {low:+.2f} to {high:+.2f})"
        )
    else:
        text = (
            f"`{row.variant}` makes no difference that can be told from chance: {row.difference:+.2f} points "
            f"({low:+.2f} to {high:+.2f})"
        )
    costs = [
        f"{ratio:.2f} times the {name}"
        for name, ratio in (("parameters", row.parameters / base.parameters), ("MACs", row.macs / max(base.macs, 1)))
        if abs(ratio - 1) >= 0.01
    ]
    against = "" if base.variant in ("unchanged", "") else f" (compared with `{base.variant}`)"
    return f"{text}{against}{', with ' * bool(costs)}{' and '.join(costs)}."


def effects(rows: Sequence[Row]) -> list[str]:
    """Return the sentences on all variants that are compared, the largest differences first."""
    bases = {row.variant: row for row in rows}
    compared = sorted((row for row in rows if row.base), key=lambda row: (not row.real, -abs(row.difference or 0)))
    return [effect(row, bases[row.base]) for row in compared]


def spread(values: Sequence[float]) -> str:
    """Return a mean with its standard deviation, if there are several values."""
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def sections(result: Comparison, picture: str = "") -> list[str]:
    """Return a section of a page for each part: its picture, what each variant does, and the table.

    Args:
        result: The result.
        picture: Markdown of the picture, with "KEY" for the key of the part; empty for none.
    """
    return [
        "\n\n".join(
            (
                f"## {result.title_of(key)}",
                *([picture.replace("KEY", key)] if picture else []),
                "\n".join(f"- {sentence}" for sentence in effects(rows)),
                table.markdown(),
            )
        )
        for (key, rows), table in zip(result.parts().items(), result.tables(), strict=True)
    ]


def closing(result: Comparison, name: str) -> str:
    """Return the last paragraph of a page: how long it took, where, and where the data are."""
    versions = ", ".join(f"{package} {number}" for package, number in result.made.versions.items())
    return (
        f"Training took {result.hours:.1f} hours, summed over all runs ({result.threads} thread"
        f"{'s' * (result.threads > 1)} each; {result.made.machine}, {versions}). All figures are in "
        f"`benchmarks/results/{name}.json`; `convatlas reproduce {name}` repeats them."
    )
