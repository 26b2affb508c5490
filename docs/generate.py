"""Writes the tables of the docs: `make docs`. A test holds them to what the commands print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from convatlas.anatomy.report.check import checks, names, table
from convatlas.anatomy.report.net_table import overview
from convatlas.anatomy.report.show import gene_table
from convatlas.base.atomic import write_bytes
from convatlas.base.tables import Column, Table
from convatlas.studies.mnist_errors.table import ErrorTable

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
RESULT = RESULTS / "errors.json"
"""What `convatlas reproduce errors` wrote; the error table stands nowhere as long as it is absent."""

PEERS = ("convatlas", "eager", "torch.compile", "onnxruntime", "openvino")


def pages(result: Path = RESULT) -> dict[str, str]:
    """The generated pages by file name; `result` holds the error table, if it was measured."""
    found = table(list(checks(names([]))))
    return {
        "nets.md": nets_page(),
        "genes.md": genes_page(),
        "speed.md": speed(),
        "check.md": f"# Published against measured\n\n`convatlas check --markdown`\n\n{found.markdown()}\n",
    } | ({"errors.md": errors(ErrorTable.read(result))} if result.exists() else {})


def nets_page() -> str:
    """The table of all nets."""
    return f"# The nets\n\n`convatlas list --markdown`\n\n{overview().markdown()}\n"


def genes_page() -> str:
    """The table of all genes."""
    genes = gene_table("genes")
    assert genes is not None
    letters = (
        "In shapes and costs: N photos, C channels in, K channels out, H x W the output map, n the input map's side, "
        "k the window's side, s the stride, g groups, r squeezed channels."
    )
    return f"# The genes\n\n`convatlas show genes --markdown`. {letters}\n\n{genes.markdown()}\n"


def errors(result: ErrorTable) -> str:
    """Page of the error table."""
    hours = sum(sum(row["seconds"]) for row in result.rows) / 3600
    versions = ", ".join(f"{name} {number}" for name, number in result.made.versions.items())
    return f"""# The error table

`convatlas reproduce errors --markdown`: {result.table().title}.

{result.table().markdown()}

{_notes(result)}

![printed errors and ours](images/errors.png)

[training.md](training.md) explains both protocols, and what the paper leaves open. Each row's recipe, genes, errors by
seed, seconds and hashes of weights are in `benchmarks/results/errors.json`. Training took {hours:.1f} hours
of one core in all ({result.threads} thread{"s" * (result.threads > 1)} a run; {result.made.machine}, {versions}).

## The boosted net

The second and third net see only the digits that the first is unsure of. The threshold is chosen on held-out digits.

{result.boosting().markdown()}

![the boosted net](images/boosted.png)
"""


def _notes(result: ErrorTable) -> str:
    return " ".join(f"{note[0].upper()}{note[1:]}." for note in result.table().notes)


def readme(text: str, path: Path = RESULT) -> str:
    """README with the error table between its two marks; without a result nothing stands there."""
    shown = ""
    if path.exists():
        result = ErrorTable.read(path)
        shown = f"""## Errors on MNIST

`convatlas reproduce errors -o FOLDER`: the review's summary, as printed and reproduced; {result.table().title}
(docs/errors.md).

{result.table().markdown()}

{_notes(result)}

![printed errors and ours](docs/images/errors.png)

"""
    begin, end = "<!-- errors -->\n", "<!-- end of errors -->\n"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}{shown}{end}", text, flags=re.S)


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
        less=less(told["less than float32"]),
        bulk=bulk(),
        training=training(),
    )


def less(told: dict[str, Any]) -> str:
    """What less than float32 is worth."""
    agreed = [
        {"name": name} | found | {"time": found["ms"][name], "right": found["ms"]["float32"]}
        for name, found in told["efficientnet_lite0"].items()
    ]
    columns = (
        Column("name", "EfficientNet-Lite0"),
        Column("sure", "pieces of photographs where float32 leads by 0.2"),
        Column("agreement", "the same first answer", lambda share: f"{100 * share:.2f} %"),
        Column("time", "ms, batch 1", lambda time: f"{time:.2f}"),
        Column("right", "float32 (ms)", lambda time: f"{time:.2f}"),
    )
    fast = [
        {"net": net, "half": found["ms"]["bfloat16"], "times": found["times as fast"]}
        | {"best": f"{found['ms'][found[BEST]]:.1f} ({found[BEST]})"}
        for net, found in told["bfloat16, batch 1"].items()
    ]
    speeds = (
        Column("net", "net, batch 1"),
        Column("half", "bfloat16 (ms)", lambda time: f"{time:.1f}"),
        Column("best", "the fastest float32 (ms)"),
        Column("times", "times as fast", lambda ratio: f"{ratio:.2f}"),
    )
    return f"On {told['cpu']}.\n\n{Table(columns, agreed).markdown()}\n\n{Table(speeds, fast).markdown()}"


BEST = "float32's best"


def bulk() -> str:
    """What `benchmarks/bulk.py` found, in a sentence."""
    told: dict[str, Any] = json.loads((RESULTS / "bulk.json").read_text("utf-8"))
    memory = told["resident MB after each shard"]
    return (
        f"{told['photos']:,} JPEGs of 256 pixels, EfficientNet-Lite0 in {told['engine']}: "
        f"{told['batch']['a second']:.0f} photos a second, {100 * told['ratio']:.0f} % of what the engine does with "
        f"arrays that are ready; {memory[0]:.0f} MB after the first shard, {memory[-1]:.0f} MB after the last."
    )


def training() -> str:
    """What `benchmarks/training.py` found, in a sentence."""
    told: dict[str, Any] = json.loads((RESULTS / "training.json").read_text("utf-8"))
    digits, steps = told["lenet5 on mnist, images a second"], told["resnet18, seconds a step"]
    return (
        f"LeNet-5 on MNIST: {digits['convatlas']:,.0f} images a second, {digits['ratio to DataLoader']:.2f} times "
        f"those of torchvision's data set behind a DataLoader of two workers, {digits['ratio to plain loop']:.2f} "
        f"times those of a plain loop over tensors. ResNet-18, 8 photos of 224 pixels: {steps['convatlas']:.2f} "
        f"seconds a step, {steps['ratio to timm']:.2f} of the time of timm's net in a plain loop."
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

{less}

## Many photos

`python benchmarks/bulk.py`, on the same machine. {bulk}

## Training

`python benchmarks/training.py`. {training}
"""


if __name__ == "__main__":
    for name, text in pages().items():
        write_bytes(HERE / name, text.encode())
    whole = HERE.parent / "README.md"
    write_bytes(whole, readme(whole.read_text("utf-8")).encode())
    if RESULT.exists():
        from convatlas.studies.mnist_errors.plots import draw

        draw(HERE / "images", ErrorTable.read(RESULT).rows)
