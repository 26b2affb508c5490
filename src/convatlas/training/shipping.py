"""Puts the digit nets of the error table into the package: `python -m convatlas.training.shipping runs/errors`.

Of each the reading as published, whose genes are the card's, and seed 0: which seed did best on the test digits is not
asked.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from convatlas.base.errors import TrainingError
from convatlas.training.rows import ROWS
from convatlas.weights import own
from convatlas.weights.reading import safetensors
from convatlas.weights.shipped import LIMIT

NETS = ("lenet1", "lenet4", "lenet5", "boosted_lenet4")


def ship(runs: Path, package: Path) -> list[Path]:
    """Writes the weights of the nets whose runs are done to `package`; gives the files.

    Raises:
        TrainingError: None is done, or they are more than the package may hold.
    """
    written = []
    for row in ROWS:
        path = runs / f"{row.key}-published-0" / "weights.safetensors"
        if row.net not in NETS or not (path.parent / "error.json").is_file():
            continue
        weights, described = own.read(path)
        assert described is not None
        assert described.lineage is not None
        lineage = replace(
            described.lineage, licence="Apache-2.0", source=f"convatlas reproduce errors, {row.key}, seed 0"
        )
        target = package / f"{row.net}.safetensors"
        own.write(weights, replace(described, lineage=lineage), target)
        safetensors(target)
        written.append(target)
    if not written:
        raise TrainingError(f"{runs} holds no finished run of {', '.join(NETS)}")
    if (total := sum(path.stat().st_size for path in package.glob("*.safetensors"))) > LIMIT:
        raise TrainingError(f"the weights have {total:,} bytes together; at most {LIMIT:,} may")
    return written


if __name__ == "__main__":
    with as_file(files("convatlas.weights") / "data" / "own") as folder:
        for file in ship(Path(sys.argv[1]), folder):
            print(file, file.stat().st_size)
