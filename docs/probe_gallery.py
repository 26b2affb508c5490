"""Explain four photographs by every probe that makes a map, and write a sheet for each.

    python docs/probe_gallery.py docs/images

Each sheet shows the probes of EfficientNet-Lite0's most probable class, in the order of docs/probes.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import convatlas as ca
from convatlas.images.samples import sample
from convatlas.probes.attribution import Attribution
from convatlas.probes.picture import sheet
from convatlas.probes.registry import all_probes

PHOTOS = ("chelsea", "coffee", "rocket", "astronaut")


def main() -> None:
    """Write a sheet of maps for each photo into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    net = ca.load("efficientnet_lite0")
    for name in PHOTOS:
        maps = []
        for probe in all_probes().values():
            try:
                result = ca.explain(net, sample(name), probe, seed=0)
            except ca.ConvAtlasError as error:
                print(f"{probe.name}: {error}")
                continue
            if isinstance(result, Attribution):
                maps.append(result)
        print(sheet(maps).save(folder / f"probes_{name}.png"))


if __name__ == "__main__":
    main()
