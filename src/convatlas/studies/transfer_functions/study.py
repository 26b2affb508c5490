"""Description of the study "transfer_functions"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convatlas.genes.loci import LOCI
from convatlas.pictures.axes import categories, linear
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Dots, Intervals, Mark
from convatlas.studies.comparison import Comparison, Part, closing, comparison_study, rows_of, sections
from convatlas.studies.variation import Variant
from convatlas.studies.variation_chart import colour_of
from convatlas.studies.vary import UNCHANGED
from convatlas.training.plots import save_chart
from convatlas.training.recipe import Recipe

RECIPE = Recipe(epochs=5, batch_size=100, opt="adamw", lr=3e-3, weight_decay=0.01, sched="onecycle")
READER = "convatlas.studies.transfer_functions.reader"
NO_FEEDBACK = "feedback=none"

FUNCTIONS = Part(
    "hidden_layer",
    f"784-300-10 with softmax outputs, all digits of MNIST, {RECIPE.epochs} epochs",
    "mlp_300",
    "mnist",
    None,
    RECIPE,
    (
        Variant(UNCHANGED, {"output": "dense"}),
        *(
            Variant(f"activation={name}", {"output": "dense", "activation": name}, UNCHANGED)
            for name in LOCI["activation"]
            if name != "scaled_tanh"
        ),
    ),
)
ROWS = Part(
    "row_by_row",
    f"nets with feedback that read all digits of MNIST row by row, {RECIPE.epochs} epochs",
    f"{READER}:none",
    "mnist",
    None,
    replace(RECIPE, clip_grad=1.0),
    (
        Variant(NO_FEEDBACK, {}),
        *(Variant(f"feedback={name}", {}, NO_FEEDBACK, f"{READER}:{name}") for name in ("elman", "jordan", "chain")),
    ),
    28,
)
PARTS = (FUNCTIONS, ROWS)


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write transfer_functions.png, the test error of every net; return its path."""
    panels = []
    for part in PARTS:
        shown = sorted(rows_of([row for row in rows if row["part"] == part.key]), key=lambda row: -row.accuracy)
        if not shown:
            continue
        marks: list[Mark] = []
        for at, row in enumerate(shown):
            errors = [100 - accuracy for accuracy in row.accuracies]
            marks += [Dots(errors, [at] * len(errors), colour_of(row), radius=2, opacity=0.4)]
            if row.interval is not None:
                low, high = row.interval
                marks.append(Intervals([at], [max(100 - high, 0.0)], [100 - low], colour_of(row)))
            marks.append(Dots([100 - row.accuracy], [at], colour_of(row), radius=3.6))
        x = linear([100 - value for row in shown for value in row.accuracies], "test error", zero=True, unit=" %")
        names = [row.variant.partition("=")[2] or "scaled_tanh" for row in shown]
        panels.append(
            Panel(x, categories(names, downward=True), marks, part.key.replace("_", " "), 360, 24.0 * len(shown))
        )
    chart = Chart(panels, "Transfer functions and feedback", "blue: better than the net compared with; red: worse")
    return [save_chart(folder / f"transfer_functions{suffix}.png", chart)]


def page(result: Comparison) -> str:
    """Return the page of the docs."""
    start = f"# Transfer functions\n\n{TEXT}\n\n![test error of every net](transfer_functions.png)"
    end = f"## What it does not show\n\n{LIMITS}\n\n{closing(result, 'transfer_functions')}"
    return "\n\n".join([start, *sections(result), end]) + "\n"


TEXT = (
    "A net with one hidden layer of 300 units learns MNIST with each transfer function of the gene list, from the "
    "identity, with which it can do no more than a linear classifier, to the memberships of fuzzy sets; it is compared "
    "with LeCun's scaled tanh. Then nets with feedback read a digit row by row: Elman's reads its own hidden state, "
    "Jordan's its output, and in the review's full chain each layer reads the next one. Without feedback a net sees "
    "the last row only."
)
LIMITS = (
    "All functions have the initial weights and the recipe of the scaled tanh; others are usually started with larger "
    "weights, and deep nets tell functions apart that one hidden layer does not. The readers have 100 units in each "
    "hidden layer and five epochs; the chain has two such layers, the others one."
)

STUDY = comparison_study(
    name="transfer_functions",
    shows="one hidden layer with each transfer function on MNIST, and nets with feedback that read row by row",
    seeds=3,
    parts=PARTS,
    draw=draw,
    page=page,
)
