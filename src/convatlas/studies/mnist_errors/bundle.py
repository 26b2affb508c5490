"""Put the digit nets of the error table into the package: `python -m convatlas.studies.mnist_errors.bundle RUNS`.

Of each the reading as published, whose genes are the card's, and seed 0: which seed did best on the test digits is not
asked. Nets whose runs are not done stay as they are.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import TrainingError
from convatlas.catalogue.lineages import Weights, all_weights, table_text
from convatlas.images.preprocessing import Preprocessing
from convatlas.studies.mnist_errors.rows import ROWS
from convatlas.weights.bundled import LIMIT
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import read_safetensors
from convatlas.weights.lineage import lineage

NETS = ("lenet1", "lenet4", "lenet5", "boosted_lenet4")


def ship(runs: Path, package: Path) -> list[Weights]:
    """Writes the weights of the nets whose runs are done to the package, and its table of them; gives their rows.

    Raises:
        TrainingError: None is done, or all are more than the package may hold.
    """
    shipped = {}
    for row in ROWS:
        path = runs / f"{row.key}-published-0" / "weights.safetensors"
        if row.net in NETS and (path.parent / "error.json").is_file():
            made = f"convatlas reproduce errors --row {row.key}, as published, seed 0"
            shipped[row.net] = written(path, made, package / "weights" / "data" / "own")
    if not shipped:
        raise TrainingError(f"{runs} holds no finished run of {', '.join(NETS)}")
    known = {row.net: row for row in all_weights() if row.origin == "own"} | shipped
    rows = [known[net] for net in NETS if net in known]
    if (total := sum(row.bytes or 0 for row in rows)) > LIMIT:
        raise TrainingError(f"the weights have {total:,} bytes together; at most {LIMIT:,} may")
    write_bytes(package / "catalogue" / "data" / "weights" / "own.csv", table_text(rows).encode())
    return list(shipped.values())


def written(path: Path, made: str, folder: Path) -> Weights:
    """Writes the weights of a run to `folder`, under the lineage that their row in the catalogue stands for: this."""
    weights, described = native.read(path)
    assert described is not None
    assert described.lineage is not None
    seen = described.lineage.preprocessing
    assert isinstance(seen, Preprocessing)
    row = Weights(
        net=described.net,
        name="own/mnist",
        address=made,
        file=f"{described.net}.safetensors",
        hash=described.lineage.hash,
        bytes=None,
        licence="Apache-2.0",
        top1=described.lineage.top1,
        top5="",
        model=described.net,
        outputs=described.classes,
        size=seen.size[0],
        geometry=seen.geometry,
        resize=seen.resize,
        interpolation=seen.interpolation,
        pixels="lenet",
    )
    native.write(weights, replace(described, lineage=lineage(row)), folder / row.file)
    read_safetensors(folder / row.file)
    return replace(row, bytes=(folder / row.file).stat().st_size)


if __name__ == "__main__":
    with as_file(files("convatlas")) as root:
        for done in ship(Path(sys.argv[1]), root):
            print(done.file, done.bytes)
