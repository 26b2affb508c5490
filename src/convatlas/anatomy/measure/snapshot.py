"""Read the measured figures of every net of the atlas from a file, so that listing nets does not import torch.

`python -m convatlas.anatomy.measure.snapshot` writes the file again; a test compares it with new measurements.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

FILE = "measured.json"


@functools.cache
def measured() -> dict[str, dict[str, Any]]:
    """Row of each net by its name: input, output, path, depth, parameters, trainable, macs, memory, activation."""
    rows: dict[str, dict[str, Any]] = json.loads(files(__package__).joinpath(FILE).read_text("utf-8"))
    return rows


def text() -> str:
    """Measure all nets and return the contents of the file, one line for each net."""
    from convatlas.anatomy.measure.measure import measure
    from convatlas.catalogue.cards import cards

    lines = [f"{json.dumps(name)}: {json.dumps(measure(name).row())}" for name in cards()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    from convatlas.base.atomic import write_bytes

    write_bytes(Path(__file__).with_name(FILE), text().encode())
