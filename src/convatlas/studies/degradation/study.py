"""Description of the study "degradation" (He et al. 2015, section 4.2, in small)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.pictures.axes import categories, linear, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Curve, Dots, Mark
from convatlas.pictures.palette import SERIES
from convatlas.studies.comparison import Comparison, Part, closing, comparison_study, rows_of, spread
from convatlas.studies.variation import Row, Variant
from convatlas.training.plots import save_chart
from convatlas.training.recipe import Recipe

DEPTHS = (8, 20, 56)
KINDS = ("residual", "plain")
PHOTOS = 10_000
RECIPE = Recipe(epochs=15, batch_size=128, opt="sgd", lr=0.1, weight_decay=1e-4, sched="cosine")
"""The paper's optimizer, batch, largest learning rate and decay; its 164 epochs of steps become a short cosine."""


def _variant(depth: int, kind: str) -> Variant:
    base = _name(depth, "residual") if kind == "plain" else ""
    return Variant(_name(depth, kind), {"skip": kind}, base, f"resnet{depth}_w8")


def _name(depth: int, kind: str) -> str:
    return f"{depth} layers, {kind}"


PART = Part(
    "degradation",
    f"nets of width 8, {PHOTOS:,} photos of Fashion-MNIST, {RECIPE.epochs} epochs",
    "resnet8_w8",
    "fashion_mnist",
    PHOTOS,
    RECIPE,
    tuple(_variant(depth, kind) for depth in DEPTHS for kind in KINDS),
)


def training_errors(row: Row) -> list[float]:
    """Return the error on the training photos with each seed, in percent."""
    return [100 - accuracy for accuracy in row.training_accuracies]


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write degradation.png: training error by depth, and loss by epoch; return its path."""
    shown = {row.variant: row for row in rows_of(rows)}
    by_depth: list[Mark] = []
    by_epoch: list[Mark] = []
    for kind, colour in zip(KINDS, SERIES, strict=False):
        named = {at: shown[_name(depth, kind)] for at, depth in enumerate(DEPTHS) if _name(depth, kind) in shown}
        errors = {at: training_errors(row) for at, row in named.items()}
        means = [sum(each) / len(each) for each in errors.values()]
        dots = [(at, error) for at, each in errors.items() for error in each]
        by_depth += [
            Dots([at for at, _ in dots], [error for _, error in dots], colour, opacity=0.4),
            Curve([*errors], means, colour, kind, radius=3),
        ]
        for at, row in named.items():
            epochs = range(1, len(row.losses) + 1)
            by_epoch.append(Curve(epochs, row.losses, colour, width=1 + 0.9 * at, dashed=kind == "plain"))
    values = [error for row in shown.values() for error in training_errors(row)]
    losses = [loss for row in shown.values() for loss in row.losses]
    longest = max(len(row.losses) for row in shown.values())
    panels = [
        Panel(
            categories([f"{depth} layers" for depth in DEPTHS]),
            linear(values, "training error", zero=True, unit=" %"),
            by_depth,
        ),
        Panel(
            linear([1, longest], "epoch; thick lines are deep nets", whole=True),
            logarithmic(losses, "training loss"),
            by_epoch,
        ),
    ]
    return [save_chart(folder / f"degradation{suffix}.png", Chart(panels, "Plain and residual nets by depth"))]


def finding(result: Comparison) -> str:
    """Return what happens to the training error of both kinds of nets from 20 to 56 layers, in sentences."""
    shown = {row.variant: row for rows in result.parts().values() for row in rows}
    sentences = []
    for kind in KINDS:
        shallow, deep = (training_errors(shown[_name(depth, kind)]) for depth in DEPTHS[-2:])
        change = sum(deep) / len(deep) - sum(shallow) / len(shallow)
        apart = min(deep) > max(shallow) or max(deep) < min(shallow)
        verb = "rises" if change > 0 else "falls"
        sentences.append(
            f"From {DEPTHS[-2]} to {DEPTHS[-1]} layers the training error of the {kind} nets {verb} from "
            f"{spread(shallow)} to {spread(deep)} %, {'with every seed' if apart else 'but the seeds overlap'}."
        )
    return " ".join(sentences)


def page(result: Comparison) -> str:
    """Return the page of the docs."""
    (table,) = result.tables()
    return f"""# Degradation

{TEXT}

{finding(result)}

![training error by depth and loss by epoch](degradation.png)

{result.title_of(PART.key)}:

{table.markdown()}

## What it does not show

{LIMITS}

{closing(result, "degradation")}
"""


TEXT = (
    "The review says that a suitably deep plain net gets a higher training error when layers are added, and that a "
    "residual net does not. It is not overfitting, since it is the error on the photos the nets were trained on. The "
    "nets are the small ones of He et al. 2015, section 4.2: their shortcuts have no weights, so the gene `skip` alone "
    "turns a residual net into a plain one with the same weights."
)
LIMITS = (
    "The nets have half the paper's width, a sixth of the photos and a tenth of the epochs. After longer training the "
    "plain nets may catch up in part, and whether the deep residual nets are better on new photos is not asked."
)

STUDY = comparison_study(
    name="degradation",
    shows="deep plain nets get a higher training error than shallow ones, residual nets do not",
    seeds=2,
    parts=(PART,),
    draw=draw,
    page=page,
)
