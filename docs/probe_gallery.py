"""Explain photographs and digits by every probe, and write the pictures of docs/probes.md.

    python docs/probe_gallery.py docs/images

A sheet of maps for each of four photographs (EfficientNet-Lite0) and for a digit (LeNet-5), and the pictures of the
probes that make some. Takes about ten minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from PIL import Image

import convatlas as ca
from convatlas.images.samples import sample
from convatlas.probes.attribution import Attribution
from convatlas.probes.gallery.gallery import Gallery
from convatlas.probes.picture import sheet
from convatlas.probes.registry import all_probes
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import load_splits
from convatlas.training.recipe import Recipe

PHOTOS = ("chelsea", "coffee", "rocket", "astronaut")
PICTURED = "chelsea"
"""The photo of which the probes that make pictures show theirs."""


def explained(net: Any, photo: Any, pictures: bool, **options: Any) -> list[Attribution | Gallery]:
    """What each probe shows, without those that do not fit the net; those that make pictures only if asked for."""
    results: list[Attribution | Gallery] = []
    for name, probe in all_probes().items():
        if probe.pictures and not pictures:
            continue
        try:
            results.append(ca.explain(net, photo, probe, seed=0, **options))
        except ca.ConvAtlasError as error:
            print(f"{name}: {error}")
    return results


def save(picture: Any, file: Path) -> None:
    """Save a picture small enough for a page: at most 1,000 pixels wide, in 256 colours."""
    with Image.open(picture.save(file)) as opened:
        small = opened.convert("RGB")
    small.thumbnail((1000, 3800))
    small.quantize(256).save(file, optimize=True)
    print(file, flush=True)


def main() -> None:
    """Write the pictures into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    net = ca.accelerate("efficientnet_lite0", batch=16)
    others = [sample(name) for name in PHOTOS if name != PICTURED]
    for name in PHOTOS:
        concepts = {"photos": [sample(name), *others], "fur": [sample(PICTURED)] * 2, "random": others}
        pictured = name == PICTURED
        results = explained(net, sample(name), pictured, concepts=concepts if pictured else None)
        save(sheet([each for each in results if isinstance(each, Attribution)]), folder / f"probes_{name}.png")
        for each in results:
            if isinstance(each, Gallery):
                save(each, folder / f"probe_{each.probe}.png")
    lenet5 = ca.load("lenet5")
    digits = load_splits("mnist", lenet5, Recipe(epochs=1), (32, 32)).test
    assert isinstance(digits, InMemoryDataset)
    results = explained(lenet5, digits.photos[int((digits.labels == 5).nonzero()[0])], pictures=False)
    save(sheet([each for each in results if isinstance(each, Attribution)]), folder / "probes_digit.png")


if __name__ == "__main__":
    main()
