"""Write the generated pages of the docs: `make docs`. A test compares them with what the commands print."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from convatlas.anatomy.report.check import checks, names, table
from convatlas.anatomy.report.net_table import TIME, net_table
from convatlas.anatomy.report.show import gene_table
from convatlas.base.atomic import write_bytes
from convatlas.base.tables import Column, Table
from convatlas.probes.probe import Probe, settings
from convatlas.probes.registry import FAMILIES, all_probes
from convatlas.studies.mnist_errors.table import ErrorTable
from convatlas.studies.study import find_study, list_studies

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
RESULT = RESULTS / "errors.json"
"""Output of `convatlas reproduce errors`; without it the error table is left out."""

MATRIX = HERE.parent / "tests" / "probes" / "matrix.json"
"""Why each probe refuses each net of the matrix; written by `python -m tests.probes.matrix`."""

PEERS = ("convatlas", "eager", "torch.compile", "onnxruntime", "openvino")


def pages(result: Path = RESULT) -> dict[str, Callable[[], str]]:
    """Writers of the generated pages, by file name; the error table has one only if `result` exists."""
    writers = {"nets.md": nets_page, "genes.md": genes_page, "speed.md": speed, "check.md": check_page}
    writers["probes.md"] = lambda: probes_page((HERE / "probes.md").read_text("utf-8"))
    for name, study in list_studies().items():
        if study.page is not None and (RESULTS / f"{name}.json").exists():
            writers[f"studies/{name}.md"] = partial(_study_page, name)
    return writers | ({"errors.md": lambda: errors(ErrorTable.read(result))} if result.exists() else {})


def _study_page(name: str) -> str:
    """Page of a study whose result is committed."""
    study = find_study(name)
    assert study.page is not None
    return study.page(study.result.read(RESULTS / f"{name}.json"))


def nets_page() -> str:
    """Page with the table of all nets."""
    text = (
        "Depth (layers with weights), parameters and multiply-accumulates (MACs) are measured; size and accuracy are "
        "as published ([check.md](check.md) compares them); weights are the publishers whose weights can be loaded. "
        "The table is printed by `convatlas list --markdown`. Small residual nets that only studies use are apart: "
        "`convatlas list --family cifar_resnet`."
    )
    nets = net_table()
    # Times are those of whoever writes the page.
    table = Table([column for column in nets.columns if column is not TIME], nets.rows)
    return f"# Nets\n\n{text}\n\n{table.markdown()}\n"


def genes_page() -> str:
    """Page with the table of all genes."""
    genes = gene_table("genes")
    assert genes is not None
    text = (
        "A gene is a component that can fill a locus of a net, such as its activation: "
        '`ca.build("resnet50", genes={"activation": "gelu"})`. The table is printed by '
        "`convatlas show genes --markdown`. In shapes and costs, N is the number of photos, C input channels, K output "
        "channels or classes, H x W the output map, n the side of the input map, k the kernel size, s the stride, g "
        "groups, p padding, r squeezed channels, F input features. At feedback, C is the number of hidden units, s the "
        "number of steps. At routing, I is the number of child capsules, J of parent capsules, s of rounds, and D the "
        "size of a parent. At the decoder, C x H x W is the photo."
    )
    return f"# Genes\n\n{text}\n\n{genes.markdown()}\n"


def check_page() -> str:
    """The table of published figures beside measured ones."""
    rows = table(list(checks(names([]))))
    return f"# Published against measured\n\n`convatlas check --markdown`\n\n{rows.markdown()}\n"


def probes_page(text: str) -> str:
    """Page of the probes, with all of them between its two marks."""
    probes = all_probes()
    columns = (Column("name", "probe"), Column("title", "title"), Column("where", "gives"), Column("needs", "needs"))
    parts = [probe_matrix(json.loads(MATRIX.read_text("utf-8")), probes)]
    for family in FAMILIES:
        members = {name: probe for name, probe in probes.items() if probe.family == family}
        if not members:
            continue
        doc = (inspect.getdoc(importlib.import_module(f"convatlas.probes.{family}")) or "").splitlines()[0]
        rows = [
            {"name": f"`{name}`", "title": each.title, "where": _where(each), "needs": _needs(each)}
            for name, each in members.items()
        ]
        parts.append(f"## {family.capitalize()}\n\n{doc}\n\n{Table(columns, rows).markdown()}")
        parts += [_probe(name, each) for name, each in members.items()]
    begin, end = "<!-- probes -->\n", "<!-- end of probes -->\n"
    shown = "\n\n".join(parts)
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{shown}\n\n{end}", text, flags=re.S)


def probe_matrix(matrix: dict[str, dict[str, str]], probes: dict[str, Probe]) -> str:
    """Section on which probes explain which nets, with an example of each reason."""
    families = [family for family in FAMILIES if any(probe.family == family for probe in probes.values())]
    # A map of zeros is no refusal.
    matrix = {
        net: {name: reason for name, reason in reasons.items() if reason != ZEROS} for net, reasons in matrix.items()
    }
    rows = []
    for net, reasons in matrix.items():
        row = {"net": net}
        for family in families:
            each = [not reasons.get(name) for name, probe in probes.items() if probe.family == family]
            row[family] = f"{sum(each)} of {len(each)}"
        rows.append(row)
    refused: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, probe in probes.items():
        nets = tuple(net for net, reasons in matrix.items() if reasons.get(name))
        if nets:
            refused.setdefault((probe.family, nets), []).append(name)
    lines = [
        f"- {', '.join(f'`{name}`' for name in names)} on {_nets(nets, list(matrix))}: {matrix[nets[0]][names[0]]}."
        for (_, nets), names in refused.items()
    ]
    table = Table((Column("net", "net"), *(Column(family, family) for family in families)), rows).markdown()
    return f"## Which probes explain which nets\n\n{MATRIX_TEXT}\n\n{table}\n\n" + "\n".join(lines)


def _nets(nets: tuple[str, ...], known: list[str]) -> str:
    """Names of nets, or of those that are not among them if these are fewer."""
    others = [net for net in known if net not in nets]
    return ", ".join(nets) if len(nets) <= len(others) else f"all nets but {', '.join(others)}"


ZEROS = "a map of zeros, as it says itself"
"""What stands in the matrix where nothing speaks for the target."""

MATRIX_TEXT = (
    "How many probes of each family explain a net with random weights, on photos of up to 96 pixels: nets of the "
    "atlas, of torchvision and timm, and small ones that are awkward in one way each. The others refuse; an example "
    "of each reason stands below. A test holds every cell."
)
"""What stands above the matrix."""


def _probe(name: str, probe: Probe) -> str:
    """Section on one probe."""
    about = _settings_of(probe)
    facts = {
        "formula": f"`{probe.formula}`",
        "shows": probe.shows,
        "cannot show": probe.hides,
        "gives": _where(probe),
        "needs": NEEDS[probe.needs] + (f"; {NEEDS['scores']}" if probe.scores_photos else ""),
        "cost": probe.cost,
        "source": probe.source,
    }
    lines = [f"- *{key}*: {value}" for key, value in facts.items()]
    if probe.image_recovery:
        lines.append("- **Recovers the image rather than explains the net** (Nie et al. 2018).")
    for setting, default in settings(probe).items():
        lines.append(f"- `{setting}={default!r}`: {about.get(setting, '')}".rstrip(": "))
    body = "\n".join(lines)
    return f"### {name}\n\n{probe.title}.\n\n{body}"


def _needs(probe: Probe) -> str:
    return f"{probe.needs}, scores" if probe.scores_photos else probe.needs


def _where(probe: Probe) -> str:
    place = "a layer" if probe.spatial else "the input"
    return f"pictures of {place}" if probe.pictures else f"a map of {place}"


def _settings_of(probe: Probe) -> dict[str, str]:
    """What the docstring says of each setting."""
    text = inspect.getdoc(type(probe)) or ""
    _, _, listed = text.partition("Attributes:\n")
    joined = re.sub(r"\n {8,}", " ", listed)
    return dict(re.findall(r"^ {4}(\w+): (.*)$", joined, re.M))


NEEDS = {
    "scores": "scores of the net, by any engine",
    "gradients": "certified gradients",
    "relevance": "a rule for every operation on the way",
    "nothing": "nothing of the net: it is a control",
}
"""What a probe needs, in words."""


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
seed, seconds and hashes of weights are in `benchmarks/results/errors.json`. Training took {hours:.1f} hours,
summed over all runs ({result.threads} thread{"s" * (result.threads > 1)} each; {result.made.machine}, {versions}).

## The boosted net

The second and third net see only the digits of which the first is not certain. The threshold is chosen on held-out
digits.

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
    """Page with the results of the benchmarks of speed."""
    report: dict[str, Any] = json.loads((RESULTS / "engines.json").read_text("utf-8"))
    machine, columns = report["machine"], [Column("net", "net"), Column("batch", "batch")]
    columns += [Column(name, f"{name} (ms)", lambda time: f"{time:.1f}") for name in PEERS]
    ratios = ("against the best", "against eager")
    columns += [Column(name, name, lambda ratio: f"{ratio:.2f}") for name in ratios]
    columns += [Column("setting", "what auto chose")]
    rows = [
        {"net": name.split(" x ")[0], "batch": int(name.split(" x ")[1]), "setting": cell["setting"]}
        | cell["ms"]
        | {ratio: cell[ratio] for ratio in ratios}
        for name, cell in report["cells"].items()
    ]
    means = Table((Column("name", "over all nets"), Column("value", "ratio")), [
        {"name": name, "value": f"{value:.2f}"} for name, value in report["summary"].items()
    ])  # fmt: skip
    return SPEED.format(
        cpu=machine["cpu"],
        threads=machine["threads"],
        cells=Table(columns, rows).markdown(),
        means=means.markdown(),
        first=Table(
            (Column("name", "a new process"), Column("seconds", "seconds")),
            [{"name": name, "seconds": f"{value:.2f}"} for name, value in report["first answer, s"].items()],
        ).markdown(),
        reduced=reduced_precision(report["less than float32"]),
        bulk=bulk(),
        training=training(),
    )


def reduced_precision(report: dict[str, Any]) -> str:
    """Section on reduced precisions."""
    agreed = [
        {"name": name} | cell | {"time": cell["ms"][name], "float32": cell["ms"]["float32"]}
        for name, cell in report["efficientnet_lite0"].items()
    ]
    columns = (
        Column("name", "EfficientNet-Lite0"),
        Column("sure", "crops of photos where float32 leads by 0.2"),
        Column("agreement", "same top-1 class", lambda share: f"{100 * share:.2f} %"),
        Column("time", "ms, batch 1", lambda time: f"{time:.2f}"),
        Column("float32", "float32 (ms)", lambda time: f"{time:.2f}"),
    )
    fast = [
        {"net": net, "half": cell["ms"]["bfloat16"], "times": cell["times as fast"]}
        | {"best": f"{cell['ms'][cell[BEST]]:.1f} ({cell[BEST]})"}
        for net, cell in report["bfloat16, batch 1"].items()
    ]
    speeds = (
        Column("net", "net, batch 1"),
        Column("half", "bfloat16 (ms)", lambda time: f"{time:.1f}"),
        Column("best", "fastest float32 (ms)"),
        Column("times", "times as fast", lambda ratio: f"{ratio:.2f}"),
    )
    return f"On {report['cpu']}.\n\n{Table(columns, agreed).markdown()}\n\n{Table(speeds, fast).markdown()}"


BEST = "float32's best"


def bulk() -> str:
    """Return the result of `benchmarks/bulk.py` as a sentence."""
    report: dict[str, Any] = json.loads((RESULTS / "bulk.json").read_text("utf-8"))
    memory = report["resident MB after each shard"]
    return (
        f"{report['photos']:,} JPEGs of 256 pixels, EfficientNet-Lite0 in {report['engine']}: "
        f"{report['batch']['a second']:.0f} photos a second, {100 * report['ratio']:.0f} % of the engine's speed on "
        f"arrays in memory; {memory[0]:.0f} MB after the first shard, {memory[-1]:.0f} MB after the last."
    )


def training() -> str:
    """Return the result of `benchmarks/training.py` as a sentence."""
    report: dict[str, Any] = json.loads((RESULTS / "training.json").read_text("utf-8"))
    digits, steps = report["lenet5 on mnist, images a second"], report["resnet18, seconds a step"]
    return (
        f"LeNet-5 on MNIST: {digits['convatlas']:,.0f} images a second, {digits['ratio to DataLoader']:.2f} times "
        f"as many as with torchvision's data set and a DataLoader with two workers, "
        f"{digits['ratio to plain loop']:.2f} times as many as in a plain loop over tensors. "
        f"ResNet-18, 8 photos of 224 pixels: {steps['convatlas']:.2f} "
        f"seconds a step, {steps['ratio to timm']:.2f} times that of timm's net in a plain loop."
    )


SPEED = """# Speed

By `python benchmarks/engines.py`, also with `--first` and `--precision`, in float32 on {cpu}, {threads} threads.

`convatlas` is `ca.accelerate(net, batch=...)`; the others are set up by hand on the same net, as in their guides: eager
mode (of the same net in timm or torchvision, if they have it), `torch.compile`, ONNX Runtime, OpenVINO. Times are
milliseconds per photo, medians of interleaved rounds. `against the best` is the time of the fastest of these divided by
that of convatlas, `against eager` that of eager mode: medians over the rounds, above 1 if convatlas is faster.

{cells}

{means}

## Time to the first answer

Wall time of a new process: `convatlas classify coffee.png` with a cached engine or in eager mode, and the same net in
timm.

{first}

## Reduced precision

{reduced}

## Many photos

`python benchmarks/bulk.py`, on the same machine. {bulk}

## Training

`python benchmarks/training.py`. {training}
"""


if __name__ == "__main__":
    (HERE / "studies").mkdir(exist_ok=True)
    for name, page in pages().items():
        write_bytes(HERE / name, page().encode())
    whole = HERE.parent / "README.md"
    write_bytes(whole, readme(whole.read_text("utf-8")).encode())
    if RESULT.exists():
        from convatlas.studies.mnist_errors.plots import draw

        draw(HERE / "images", ErrorTable.read(RESULT).rows)
    for name, study in list_studies().items():
        if f"studies/{name}.md" in pages():
            study.draw(HERE / "studies", study.result.read(RESULTS / f"{name}.json").rows, "")
