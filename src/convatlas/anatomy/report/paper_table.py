"""Print the stages of a net as table 1 of the ResNet paper does: name, output size, kernels and widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convatlas.anatomy.measure.hyperparameters import STEPS, loop_of
from convatlas.anatomy.measure.records import Layer, Measurement
from convatlas.anatomy.structure.blocks import WEIGHTED, Block, blocks
from convatlas.anatomy.structure.repeats import runs
from convatlas.anatomy.structure.stages import Stage, stages
from convatlas.anatomy.structure.tokens import JOINS, LINKED, VOTES, Words
from convatlas.anatomy.structure.wiring import Chain, layers_of
from convatlas.base.tables import Column, Table


@dataclass(frozen=True)
class Entry:
    """Content of a cell: lines in brackets, or a single line without, `times` times; branches stand side by side."""

    branches: tuple[tuple[str, ...], ...]
    times: int = 1

    def __str__(self) -> str:
        texts = ["; ".join(branch) for branch in self.branches]
        if len(texts) == 1 and len(self.branches[0]) == 1:
            return texts[0] + (f" × {self.times}" if self.times > 1 else "")
        return " | ".join(f"[{text}]" for text in texts) + (f" × {self.times}" if self.times > 1 else "")

    def latex(self) -> str:
        """Return the entry as LaTeX, in math mode."""
        texts = [[_math(line) for line in branch] for branch in self.branches]
        if len(texts) == 1 and len(texts[0]) == 1:
            inner = texts[0][0]
        else:
            inner = r"\;".join(r"\begin{bmatrix}" + r"\\ ".join(branch) + r"\end{bmatrix}" for branch in texts)
        return f"${inner}" + (rf"\times {self.times}" if self.times > 1 else "") + "$"


@dataclass(frozen=True)
class PaperRow:
    """A stage: its name, the rows and columns of its maps or the length of its output, its entries."""

    name: str
    size: tuple[int, ...]
    entries: tuple[Entry, ...]


COLUMNS = (
    Column("name", "layer name"),
    Column("size", "output size", lambda size: "×".join(map(str, size))),
    Column("layers", "layers"),
)


def paper_rows(anatomy: Measurement) -> list[PaperRow]:
    """Return a row for each stage that has entries; equal stages in sequence are one row."""
    words = Words(anatomy)
    groups: list[list[PaperRow]] = []
    last: Stage | None = None
    for stage in stages(anatomy):
        row = _row(stage, words)
        if not row.entries:
            continue
        follows = last is not None and bool(set(stage.sources) & set(last.outputs))
        if follows and (row.size, row.entries) == (groups[-1][0].size, groups[-1][0].entries):
            groups[-1].append(row)
        else:
            groups.append([row])
        last = stage
    return [merged for again in groups for merged in _merged_row(again)]


def _merged_row(rows: list[PaperRow]) -> list[PaperRow]:
    """Return equal rows as one with a factor, or as they are where one factor cannot say that."""
    whole = _repeated(rows[0].entries, len(rows)) if len(rows) > 1 else None
    return [PaperRow(f"{rows[0].name} – {rows[-1].name}", rows[0].size, whole)] if whole else rows


def _repeated(entries: tuple[Entry, ...], times: int) -> tuple[Entry, ...] | None:
    """Return the entries of several equal stages with a factor; None where one factor cannot say that."""
    if len(entries) == 1:
        return (Entry(entries[0].branches, entries[0].times * times),)
    if any(len(entry.branches) > 1 or entry.times > 1 for entry in entries):
        return None
    return (Entry((tuple(line for entry in entries for line in entry.branches[0]),), times),)


def paper_table(anatomy: Measurement) -> Table:
    """Return the rows as a table."""
    rows = [
        {"name": row.name, "size": row.size, "layers": " · ".join(map(str, row.entries))} for row in paper_rows(anatomy)
    ]
    number, power = _scaled(anatomy.macs)
    note = f"FLOPs (multiply-adds): {number}×10^{power}. [a; b] × N: a then b, N times; | stands between branches."
    return Table(COLUMNS, rows, title=f"{anatomy.name}: stages as papers print them", notes=(note,))


def latex(anatomy: Measurement) -> str:
    """Return the table as a LaTeX tabular, which needs amsmath."""
    lines = [r"\begin{tabular}{c|c|c}", rf"layer name & output size & {_text(anatomy.name)} \\ \hline"]
    for row in paper_rows(anatomy):
        size = r"\times ".join(map(str, row.size))
        cells = r" \quad ".join(entry.latex() for entry in row.entries)
        lines.append(rf"{_text(row.name)} & ${size}$ & {cells} \\ \hline")
    number, power = _scaled(anatomy.macs)
    lines.append(rf"\multicolumn{{2}}{{c|}}{{FLOPs}} & ${number}\times 10^{power}$ \\")
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _scaled(number: int) -> tuple[str, int]:
    """Return a count as a number of two decimals and a power of ten."""
    power = 9 if number >= 1e8 else 6 if number >= 1e5 else 3
    return f"{number / 10**power:.2f}", power


def _row(stage: Stage, words: Words) -> PaperRow:
    entries: list[Entry] = []
    listed = [entry for block in blocks(stage.chain, words) for entry in _entries(block, words)]
    for run in runs(listed):
        once = listed[run.start : run.start + run.length]
        if run.times == 1:
            entries += once
        elif len(once) == 1:
            entries.append(Entry(once[0].branches, run.times))
        elif all(len(member.branches) == 1 for member in once):
            entries.append(Entry((tuple(line for member in once for line in member.branches[0]),), run.times))
        else:
            entries += once * run.times
    shape = words.shapes[stage.outputs[-1]]
    return PaperRow(stage.name, shape[1:] if len(shape) == 3 else shape, tuple(entries))


def _entries(block: Block, words: Words) -> Iterator[Entry]:
    """Yield the entries of a block: all branches of a module side by side, only the long one of a residual block."""
    if block.kind == "gate":
        yield Entry((_gate(block, words),))
        return
    if block.kind == "cell":
        yield Entry(((f"cell of {len(block.branches)} parts",),))
        return
    chosen = block.branches if block.kind in ("module", "fork", "sum") else (block.main,)
    # The paper mentions strides inside residual blocks only in its text.
    branches = tuple(lines for branch in chosen if (lines := _lines(branch, words, block.kind not in RESIDUAL)))
    if branches:
        yield Entry(branches)
    if block.join is not None and block.join.kind not in JOINS:
        yield Entry((tuple(_numbered(block.join, words)),))


RESIDUAL = ("identity block", "convolution block", "pooled block", "sum", "dense layer")


def _lines(row: Chain, words: Words, strides: bool) -> tuple[str, ...]:
    """Return the lines of a chain: convolutions, with their `strides` or without, dense layers, poolings and gates."""
    lines: list[str] = []
    for block in blocks(row, words):
        if block.kind == "gate":
            lines += _gate(block, words)
        elif block.kind == "layer":
            for number in layers_of(block.branches[0]):
                lines += _line(words.layers[number], words, strides)
        elif block.kind == "cell":
            lines.append(f"cell of {len(block.branches)} parts")
        else:
            lines.append(" | ".join(", ".join(_lines(branch, words, strides)) or "input" for branch in block.branches))
    return tuple(lines)


def _line(layer: Layer, words: Words, strides: bool) -> Iterator[str]:
    """Yield the lines of a layer: none, one, or one for each layer of a recurrence."""
    if layer.locus == "flattening" or layer.kind.startswith("adaptive"):
        yield from [layer.kind.replace("pooling", "pool")] if layer.kind != "flatten" else []
    elif layer.kind == "recurrence":
        loop = loop_of(layer.setting)
        yield from (f"{width}-d fc" for width in loop.widths[1:])
        yield f"feedback {', '.join(loop.feedback)}, {loop.steps} steps"
    elif layer.kernel is not None and layer.stride is not None:
        yield _window(layer, words, strides)
    elif layer.kind == VOTES:
        yield f"{words.width_of(layer)} capsules of {layer.output[-1]}"
    elif layer.locus == "dense":
        yield f"{words.width_of(layer)}-d fc"
    elif layer.locus in WEIGHTED or layer.macs:
        yield from _numbered(layer, words)


def _window(layer: Layer, words: Words, strides: bool) -> str:
    kernel = "×".join(map(str, layer.kernel or ()))
    stride = f", stride {layer.stride[0]}" if layer.stride and max(layer.stride) > 1 else ""
    if layer.kind == VOTES:
        return f"{kernel} {layer.kind}, {words.width_of(layer)}{stride}"
    if layer.locus != "convolution":
        return f"{kernel} {layer.kind.replace('pooling', 'pool')}{stride}"
    kind = " dw" if layer.kind == "depthwise convolution" else ""
    groups = f", C={layer.groups}" if layer.kind == "grouped convolution" else ""
    links = f", {words.links(layer)} links" if layer.kind == LINKED else ""
    return f"{kernel}{kind}, {words.width_of(layer)}{groups}{links}" + (stride if strides else "")


def _numbered(layer: Layer, words: Words) -> Iterator[str]:
    """Yield the name of a layer without a window, with its width if it has weights, and its number of steps."""
    width = f"{layer.output[0]}, " if layer.locus in WEIGHTED else ""
    steps = f", {layer.setting.removesuffix(STEPS)} {STEPS}" if layer.setting.endswith(STEPS) else ""
    yield f"{width}{layer.kind}{steps}"


def _gate(block: Block, words: Words) -> tuple[str, ...]:
    """Return a squeeze-and-excitation gate as the SE paper writes it: fc, [16, 256]."""
    layers = [words.layers[number] for branch in block.branches for number in layers_of(branch) if number > 0]
    widths = [layer.output[0] for layer in layers if layer.locus in WEIGHTED]
    return (f"fc, [{', '.join(map(str, widths))}]",) if len(widths) == 2 else ("gate",)


def _math(line: str) -> str:
    parts = [part if set(part) <= set("0123456789×[]C=") else rf"\text{{{_text(part)}}}" for part in line.split(", ")]
    return ", ".join(part.replace("×", r"$\times$" if "text" in part else r"\times ") for part in parts)


def _text(text: str) -> str:
    """Return text escaped for LaTeX."""
    return "".join(ESCAPED.get(sign, sign) for sign in text)


ESCAPED = {sign: f"\\{sign}" for sign in "_&%#${}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "–": "--",
    "→": r"$\to$",
}
