"""The matrix: every probe on every net of `subjects`, and whether it certifies the net or why it refuses.

`python -m tests.probes.matrix` writes it anew, with names of nets only their rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.probes.attribution import Attribution
from convatlas.probes.gallery.gallery import Gallery
from convatlas.probes.registry import all_probes
from tests.probes.cheap import cheap, layer_for
from tests.probes.subjects import MAKERS, case

RECORD = Path(__file__).with_name("matrix.json")
"""The committed matrix: for each net, for each probe "" if it certifies, else what it says when it refuses."""

BLANK = "a map of zeros, as it says itself"
"""What stands in the matrix for a map of zeros."""


def outcome(net: str, probe: str) -> str:
    """What comes of a probe on a net: "" if its result is whole, else the line with which it refuses.

    A result with a number that is not finite is "not finite".
    """
    subject = case(net)
    options = {"layer": layer_for(probe), "concepts": concepts_for(probe, subject.x)}
    try:
        result: Any = ca.explain(subject.net, subject.x, cheap(probe), subject.target, **options)
    except ConvAtlasError as error:
        return str(error)
    arrays = _arrays(result)
    if not all(np.isfinite(each).all() for each in arrays if each.dtype.kind == "f"):
        return "not finite"
    if any(each.any() for each in arrays):
        return ""
    return BLANK if any("blank" in note for note in result.notes) else "a map of zeros without a note"


def _arrays(result: Attribution | Gallery) -> list[np.ndarray]:
    """The numbers of a map, or those of a gallery and its pictures."""
    if isinstance(result, Attribution):
        return [result.values]
    return [*result.arrays.values(), *(exhibit.pixels for exhibit in result.exhibits)]


def concepts_for(probe: str, x: Tensor) -> dict[str, Any] | None:
    """The concepts that a probe asks for."""
    generator = torch.Generator().manual_seed(5)
    noise = [x + 0.5 * torch.randn(x.shape, generator=generator) for _ in range(8)]
    if probe == "network_dissection":
        bright = x.mean(0) > 0.5
        return {"bright": [(x, bright), (x.flip(2), bright.flip(1)), (-x, ~bright)]}
    if probe == "tcav":
        return {"mirrored": [each.flip(2) for each in noise[:3]], "random": noise[3:]}
    return {"photos": noise[:3]}


def read() -> dict[str, dict[str, str]]:
    """The committed matrix."""
    matrix: dict[str, dict[str, str]] = json.loads(RECORD.read_text("utf-8"))
    return matrix


def main(nets: Sequence[str]) -> None:
    """Write the matrix anew, all of it or the rows of some nets."""
    matrix = read() if RECORD.exists() else {}
    for net in nets or MAKERS:
        matrix[net] = {probe: outcome(net, probe) for probe in all_probes()}
        case.cache_clear()
        rows = {name: matrix[name] for name in MAKERS if name in matrix}
        RECORD.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
