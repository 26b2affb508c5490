"""Bundle trained nets with the package: write their files, and their rows in its catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import TrainingError
from convatlas.catalogue.lineages import Weights, all_weights, table_text
from convatlas.images.preprocessing import Preprocessing
from convatlas.weights.bundled import MAX_BYTES
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import read_safetensors
from convatlas.weights.lineage import lineage


def write_weights(
    weights: Mapping[str, Tensor],
    described: native.Description | None,
    package: Path,
    *,
    name: str,
    source: str,
    file: str,
    pixels: str,
) -> Weights:
    """Write a run's weights to the package, with the lineage of their row in the catalogue; return this row.

    Args:
        weights: The weights by name.
        described: Description of their net, with the lineage of the run.
        package: Folder of the package.
        name: Name of the weights, such as "own/mnist".
        source: Command that trained them.
        file: Name of the file in the package.
        pixels: Name of the scaling of the pixels, as in `weights.lineages.own`.
    """
    assert described is not None
    assert described.lineage is not None
    preprocessing = described.lineage.preprocessing
    assert isinstance(preprocessing, Preprocessing)
    row = Weights(
        net=described.net,
        name=name,
        address=source,
        file=file,
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
        pixels=pixels,
    )
    written = package / "weights" / "data" / "own" / row.file
    native.write(weights, replace(described, lineage=lineage(row)), written)
    read_safetensors(written)  # the file must be readable
    return replace(row, bytes=written.stat().st_size)


def update_table(written: Sequence[Weights], package: Path) -> None:
    """Write the rows of bundled weights to the package's catalogue; rows of other weights stay.

    Raises:
        TrainingError: The weights are larger than the package may hold.
    """
    by_file = {row.file: row for row in all_weights() if row.origin == "own"} | {row.file: row for row in written}
    rows = list(by_file.values())
    if (total := sum(row.bytes or 0 for row in rows)) > MAX_BYTES:
        raise TrainingError(f"the weights have {total:,} bytes together; at most {MAX_BYTES:,} may")
    write_bytes(package / "catalogue" / "data" / "weights" / "own.csv", table_text(rows).encode())
