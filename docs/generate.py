"""Writes the tables of the docs: `make docs`. A test holds them to what the commands print."""

from __future__ import annotations

from pathlib import Path

from convatlas.anatomy.checking import checks, names, table
from convatlas.anatomy.overview import overview
from convatlas.anatomy.showing import gene_table
from convatlas.base.atomic import write_bytes

HERE = Path(__file__).parent


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    genes = gene_table("genes")
    assert genes is not None
    letters = (
        "In shapes and costs: N photos, C channels in, K channels out, H x W the output map, n the input map's side, "
        "k the window's side, s the stride, g groups, r squeezed channels."
    )
    found = table(list(checks(names([]))))
    return {
        "nets.md": f"# The nets\n\n`convatlas list --markdown`\n\n{overview().markdown()}\n",
        "genes.md": f"# The genes\n\n`convatlas show genes --markdown`. {letters}\n\n{genes.markdown()}\n",
        "check.md": f"# Published against measured\n\n`convatlas check --markdown`\n\n{found.markdown()}\n",
    }


if __name__ == "__main__":
    for name, text in pages().items():
        write_bytes(HERE / name, text.encode())
