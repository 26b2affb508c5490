"""Bundle the small CapsNet with the package: `python -m convatlas.studies.capsules.bundle RUNS`."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from convatlas.base.errors import TrainingError
from convatlas.base.fingerprint import fingerprint
from convatlas.catalogue.lineages import Weights
from convatlas.nets.build import skeleton
from convatlas.studies.bundling import update_table, write_weights
from convatlas.studies.capsules.rows import BUNDLED
from convatlas.weights import user_weights
from convatlas.weights.formats import native
from convatlas.weights.lineages.own import SMALL

SOURCE = "convatlas reproduce capsules --rows small, seed 0"


def bundle_weights(runs: Path, package: Path) -> Weights:
    """Write the weights of the run "small" to the package, and their row to its catalogue; return this row.

    Raises:
        TrainingError: The run is not finished, or the weights are larger than the package may hold.
    """
    path = runs / "small-0" / "weights.safetensors"
    if not (path.parent / "error.json").is_file():
        raise TrainingError(f"{runs} holds no finished run of small")
    stored, lineage = user_weights.read(path)
    assert lineage is not None
    # The study's net holds the CapsNet as its only child; the hash depends on the order of a state.
    net = skeleton("capsnet", channels=1, variant=SMALL[BUNDLED])
    weights = {name: stored[f"net.{name}"] for name in net.state_dict()}
    plain = replace(lineage.plain(), net="capsnet", hash=fingerprint(weights))
    described = native.Description(
        "capsnet", BUNDLED, {}, len(lineage.class_names), 1, lineage.preprocessing.size, plain
    )
    row = write_weights(
        weights, described, package, name=BUNDLED, source=SOURCE, file="capsnet_small.safetensors", pixels="unit"
    )
    update_table([row], package)
    return row


if __name__ == "__main__":
    with as_file(files("convatlas")) as root:
        bundled = bundle_weights(Path(sys.argv[1]), root)
        print(bundled.file, bundled.bytes)
