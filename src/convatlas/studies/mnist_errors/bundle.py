"""Bundle the trained digit nets with the package: `python -m convatlas.studies.mnist_errors.bundle RUNS`.

It takes the runs of the protocol as published, which have the card's genes, with seed 0, whichever seed has the lowest
test error. Nets whose runs are not finished keep the file that is bundled already.
"""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from pathlib import Path

from convatlas.base.errors import TrainingError
from convatlas.catalogue.lineages import Weights
from convatlas.studies.bundling import update_table, write_weights
from convatlas.studies.mnist_errors.rows import ROWS
from convatlas.weights.formats import native

NETS = ("lenet1", "lenet4", "lenet5", "boosted_lenet4")


def bundle_weights(runs: Path, package: Path) -> list[Weights]:
    """Write the weights of finished runs to the package, and their rows to its catalogue; return these rows.

    Raises:
        TrainingError: No run is finished, or the weights are larger than the package may hold.
    """
    written = []
    for row in ROWS:
        path = runs / f"{row.key}-published-0" / "weights.safetensors"
        if row.net in NETS and (path.parent / "error.json").is_file():
            source = f"convatlas reproduce errors --rows {row.key}, as published, seed 0"
            file = f"{row.net}.safetensors"
            written.append(
                write_weights(*native.read(path), package, name="own/mnist", source=source, file=file, pixels="lenet")
            )
    if not written:
        raise TrainingError(f"{runs} holds no finished run of {', '.join(NETS)}")
    update_table(written, package)
    return written


if __name__ == "__main__":
    with as_file(files("convatlas")) as root:
        for bundled in bundle_weights(Path(sys.argv[1]), root):
            print(bundled.file, bundled.bytes)
