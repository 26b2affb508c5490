"""Bundle the trained digit nets with the package: `python -m convatlas.studies.mnist_errors.bundle RUNS`.

It takes the runs of the protocol as published, which have the card's genes, with seed 0, whichever seed has the lowest
test error. Nets whose runs are not finished keep the file that is bundled already.
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
from convatlas.weights.bundled import MAX_BYTES
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import read_safetensors
from convatlas.weights.lineage import lineage

NETS = ("lenet1", "lenet4", "lenet5", "boosted_lenet4")


def bundle_weights(runs: Path, package: Path) -> list[Weights]:
    """Write the weights of finished runs to the package, and their rows to its catalogue; return these rows.

    Raises:
        TrainingError: No run is finished, or the weights are larger than the package may hold.
    """
    written = {}
    for row in ROWS:
        path = runs / f"{row.key}-published-0" / "weights.safetensors"
        if row.net in NETS and (path.parent / "error.json").is_file():
            source = f"convatlas reproduce errors --rows {row.key}, as published, seed 0"
            written[row.net] = _write_weights(path, source, package / "weights" / "data" / "own")
    if not written:
        raise TrainingError(f"{runs} holds no finished run of {', '.join(NETS)}")
    by_net = {row.net: row for row in all_weights() if row.origin == "own"} | written
    rows = [by_net[net] for net in NETS if net in by_net]
    if (total := sum(row.bytes or 0 for row in rows)) > MAX_BYTES:
        raise TrainingError(f"the weights have {total:,} bytes together; at most {MAX_BYTES:,} may")
    write_bytes(package / "catalogue" / "data" / "weights" / "own.csv", table_text(rows).encode())
    return list(written.values())


def _write_weights(path: Path, source: str, folder: Path) -> Weights:
    """Write a run's weights to `folder`, with the lineage of their row in the catalogue; return this row."""
    weights, described = native.read(path)
    assert described is not None
    assert described.lineage is not None
    preprocessing = described.lineage.preprocessing
    assert isinstance(preprocessing, Preprocessing)
    row = Weights(
        net=described.net,
        name="own/mnist",
        address=source,
        file=f"{described.net}.safetensors",
        hash=described.lineage.hash,
        bytes=None,
        licence="Apache-2.0",
        top1=described.lineage.top1,
        top5="",
        model=described.net,
        outputs=described.classes,
        size=preprocessing.size[0],
        geometry=preprocessing.geometry,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        pixels="lenet",
    )
    native.write(weights, replace(described, lineage=lineage(row)), folder / row.file)
    read_safetensors(folder / row.file)  # the file must be readable
    return replace(row, bytes=(folder / row.file).stat().st_size)


if __name__ == "__main__":
    with as_file(files("convatlas")) as root:
        for bundled in bundle_weights(Path(sys.argv[1]), root):
            print(bundled.file, bundled.bytes)
