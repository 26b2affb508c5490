"""Writes the tables of the docs: `make docs`. A test holds them to what the commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convatlas.anatomy.checking import checks, names, table
from convatlas.anatomy.overview import overview
from convatlas.anatomy.showing import gene_table
from convatlas.base.atomic import write_bytes
from convatlas.base.tables import Column, Table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
PEERS = ("convatlas", "eager", "torch.compile", "onnxruntime", "openvino")


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
        "speed.md": speed(),
        "check.md": f"# Published against measured\n\n`convatlas check --markdown`\n\n{found.markdown()}\n",
    }


def speed() -> str:
    """What `benchmarks/engines.py` found."""
    told: dict[str, Any] = json.loads((RESULTS / "engines.json").read_text("utf-8"))
    machine, columns = told["machine"], [Column("net", "net"), Column("batch", "batch")]
    columns += [Column(name, f"{name} (ms)", lambda time: f"{time:.1f}") for name in PEERS]
    ratios = ("against the best", "against eager")
    columns += [Column(name, name, lambda ratio: f"{ratio:.2f}") for name in ratios]
    columns += [Column("setting", "what auto chose")]
    rows = [
        {"net": name.split(" x ")[0], "batch": int(name.split(" x ")[1]), "setting": cell["setting"]}
        | cell["ms"]
        | {ratio: cell[ratio] for ratio in ratios}
        for name, cell in told["cells"].items()
    ]
    means = Table((Column("name", "over all nets"), Column("value", "ratio")), [
        {"name": name, "value": f"{value:.2f}"} for name, value in told["summary"].items()
    ])  # fmt: skip
    return SPEED.format(
        cpu=machine["cpu"],
        threads=machine["threads"],
        cells=Table(columns, rows).markdown(),
        means=means.markdown(),
        first=Table(
            (Column("name", "a new process"), Column("seconds", "seconds")),
            [{"name": name, "seconds": f"{value:.2f}"} for name, value in told["first answer, s"].items()],
        ).markdown(),
        precision=json.dumps(told["precision, efficientnet_lite0"], indent=1),
    )


SPEED = """# How fast

`python benchmarks/engines.py` and its options `--first` and `--precision`; in float32, on {cpu}, threads: {threads}.

`convatlas` is `ca.accelerate(net, batch=...)`; the others are what their guides say, by hand, on the same net: eager
mode (of timm's or torchvision's twin, where there is one), `torch.compile`, ONNX Runtime, OpenVINO. Milliseconds a
photo, medians of interleaved rounds; ratios are medians of the rounds' own, above 1 where convatlas is faster.

{cells}

{means}

## The first answer

`convatlas classify coffee.png` in a new process, with a cached engine or in eager mode; and the same through timm.

{first}

## Less than float32

EfficientNet-Lite0, on pieces of the sample photographs where float32 leads by 0.2; milliseconds of one photo.

```json
{precision}
```
"""


if __name__ == "__main__":
    for name, text in pages().items():
        write_bytes(HERE / name, text.encode())
