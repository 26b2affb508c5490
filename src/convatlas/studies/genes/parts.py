"""The variants of the study: every gene of six loci, on LeNet-5 with all photos and on a ResNet-8 with 10,000.

LeNet-5 has softmax outputs in all variants, since its distances to bitmaps need units that are squashed, which would
mix the effect of a transfer function with that of the output. Its convolutions have no border and its last map is a
single pixel, so fills and flattenings are tried, and compared, in the variant that keeps the size of its maps. ResNet-8
has no pooling; it has half the published width, so that 10,000 photos take a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from convatlas.genes.loci import LOCI
from convatlas.studies.comparison import Part
from convatlas.studies.variation import Variant
from convatlas.studies.vary import UNCHANGED
from convatlas.training.recipe import Recipe

RECIPE = Recipe(epochs=5, batch_size=100, opt="adamw", lr=3e-3, weight_decay=0.01, sched="onecycle")
PHOTOS = 10_000
DENSE = {"output": "dense"}
SAME_SIZE = "alignment=same"


def _variants(locus: str, published: str, fixed: dict[str, str], base: str) -> Iterable[Variant]:
    """Return a variant for each gene of a locus but the published one."""
    return (
        Variant(f"{locus}={gene}", {**fixed, locus: gene}, base)
        for gene in LOCI[locus]
        if gene not in published.split()
    )


LENET = (
    Variant(UNCHANGED, DENSE),
    Variant(SAME_SIZE, DENSE | {"alignment": "same"}, UNCHANGED),
    *_variants("padding", "zeros", DENSE | {"alignment": "same"}, SAME_SIZE),
    *_variants("flattening", "flatten", DENSE | {"alignment": "same"}, SAME_SIZE),
    *_variants("pooling", "subsampling", DENSE, UNCHANGED),
    *_variants("normalization", "none", DENSE, UNCHANGED),
    *_variants("attention", "none", DENSE, UNCHANGED),
    *_variants("activation", "scaled_tanh", DENSE, UNCHANGED),
)

RESNET = (
    Variant(UNCHANGED, {}),
    # With stride 1 and windows of 3, the alignments "same" and "symmetric" differ in the two strided layers only.
    *_variants("alignment", "symmetric valid", {}, UNCHANGED),
    *_variants("padding", "zeros", {}, UNCHANGED),
    *_variants("flattening", "global_average", {}, UNCHANGED),
    *_variants("normalization", "batch", {}, UNCHANGED),
    *_variants("attention", "none", {}, UNCHANGED),
    *_variants("activation", "relu", {}, UNCHANGED),
    *_variants("skip", "residual", {}, UNCHANGED),
)

PARTS = (
    Part(
        "lenet5",
        f"LeNet-5 with softmax outputs, all photos of Fashion-MNIST, {RECIPE.epochs} epochs",
        "lenet5",
        "fashion_mnist",
        None,
        RECIPE,
        LENET,
    ),
    Part(
        "resnet8",
        f"ResNet-8 of width 8, {PHOTOS:,} photos of Fashion-MNIST, {2 * RECIPE.epochs} epochs",
        "resnet8_w8",
        "fashion_mnist",
        PHOTOS,
        replace(RECIPE, epochs=2 * RECIPE.epochs),
        RESNET,
    ),
)
