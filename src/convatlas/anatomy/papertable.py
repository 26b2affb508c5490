"""The stages of a net as table 1 of the ResNet paper prints them: name, output size, kernels and widths."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.anatomy.anatomies import Anatomy, Layer
from convatlas.anatomy.blocks import WEIGHING, Block, blocks
from convatlas.anatomy.repeats import runs
from convatlas.anatomy.stages import Stage, stages
from convatlas.anatomy.structure import Row, layers_of
from convatlas.anatomy.words import Words
from convatlas.base.tables import Column, Table


@dataclass(frozen=True)
class Entry:
    """What stands in a cell: lines in brackets, or one line without, so many times; ways are joined side by side."""

    ways: tuple[tuple[str, ...], ...]
    times: int = 1

    def __str__(self) -> str:
        texts = ["; ".join(way) for way in self.ways]
        if len(texts) == 1 and len(self.ways[0]) == 1:
            return texts[0] + (f" × {self.times}" if self.times > 1 else "")
        return " | ".join(f"[{text}]" for text in texts) + (f" × {self.times}" if self.times > 1 else "")

    def latex(self) -> str:
        """The same as LaTeX, in math mode."""
        texts = [[_math(line) for line in way] for way in self.ways]
        if len(texts) == 1 and len(texts[0]) == 1:
            inner = texts[0][0]
        else:
            inner = r"\\;".join(r"\begin{bmatrix}" + r"\\ ".join(way) + r"\end{bmatrix}" for way in texts)
        return f"${inner}" + (rf"\times {self.times}" if self.times > 1 else "") + "$"


@dataclass(frozen=True)
class PaperRow:
    """A stage: its name, the rows and columns of its maps or how many numbers it gives, its entries."""

    name: str
    size: tuple[int, ...]
    entries: tuple[Entry, ...]


COLUMNS = (
    Column("name", "layer name"),
    Column("size", "output size", lambda size: "×".join(map(str, size))),
    Column("layers", "layers"),
)


def paper_rows(anatomy: Anatomy) -> list[PaperRow]:
    """One row a stage that has anything to show."""
    words = Words(anatomy)
    rows = [_row(stage, words) for stage in stages(anatomy)]
    return [row for row in rows if row.entries]


def paper_table(anatomy: Anatomy) -> Table:
    """The rows as a table."""
    rows = [
        {"name": row.name, "size": row.size, "layers": " · ".join(map(str, row.entries))} for row in paper_rows(anatomy)
    ]
    note = (
        f"FLOPs (multiply-adds): {anatomy.macs / 1e9:.2f}×10^9. [a; b] × N: a then b, N times; | stands between ways."
    )
    return Table(COLUMNS, rows, title=f"{anatomy.name}: stages as papers print them", notes=(note,))


def latex(anatomy: Anatomy) -> str:
    """The table as a LaTeX tabular; needs amsmath."""
    lines = [r"\begin{tabular}{c|c|c}", rf"layer name & output size & {_text(anatomy.name)} \\ \hline"]
    for row in paper_rows(anatomy):
        size = r"\times ".join(map(str, row.size))
        cells = r" \quad ".join(entry.latex() for entry in row.entries)
        lines.append(rf"{_text(row.name)} & ${size}$ & {cells} \\ \hline")
    lines.append(rf"\multicolumn{{2}}{{c|}}{{FLOPs}} & ${anatomy.macs / 1e9:.1f}\times 10^9$ \\")
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _row(stage: Stage, words: Words) -> PaperRow:
    entries: list[Entry] = []
    found = [entry for block in blocks(stage.row, words) if (entry := _entry(block, words)) is not None]
    for run in runs(found):
        once = found[run.start : run.start + run.length]
        if run.times == 1:
            entries += once
        elif len(once) == 1:
            entries.append(Entry(once[0].ways, run.times))
        elif all(len(one.ways) == 1 for one in once):
            entries.append(Entry((tuple(line for one in once for line in one.ways[0]),), run.times))
        else:
            entries += once * run.times
    shape = words.shapes[stage.outputs[-1]]
    return PaperRow(stage.name, shape[1:] if len(shape) == 3 else shape, tuple(entries))


def _entry(block: Block, words: Words) -> Entry | None:
    """A block's lines; the ways of a module side by side, of a residual block the long one alone; None for nothing."""
    if block.kind == "gate":
        return Entry((_gate(block, words),))
    if block.kind == "cell":
        return Entry(((f"cell of {len(block.ways)} parts",),))
    chosen = block.ways if block.kind in ("module", "fork", "sum") else (block.main,)
    # Inside a residual block the paper leaves strides to its text.
    ways = tuple(lines for way in chosen if (lines := _lines(way, words, block.kind in ("layer", "module"))))
    return Entry(ways) if ways else None


def _lines(row: Row, words: Words, strides: bool) -> tuple[str, ...]:
    """The lines of a row: its convolutions, with their `strides` or without, dense layers, poolings and gates."""
    lines: list[str] = []
    for block in blocks(row, words):
        if block.kind == "gate":
            lines += _gate(block, words)
        elif block.kind == "layer":
            lines += [line for number in layers_of(block.ways[0]) if (line := _line(words.layers[number], strides))]
        elif block.kind == "cell":
            lines.append(f"cell of {len(block.ways)} parts")
        else:
            lines.append(" | ".join(", ".join(_lines(way, words, strides)) or "input" for way in block.ways))
    return tuple(lines)


def _line(layer: Layer, strides: bool) -> str:
    if layer.locus == "flattening" or layer.kind.startswith("adaptive"):
        return layer.kind.replace("pooling", "pool") if layer.kind != "flatten" else ""
    if layer.locus == "dense":
        return f"{layer.output[-1]}-d fc"
    if layer.kernel is None or layer.stride is None:
        return f"{layer.output[0]}, {layer.kind}" if layer.locus in WEIGHING or layer.macs else ""
    kernel = "×".join(map(str, layer.kernel))
    stride = f", stride {layer.stride[0]}" if max(layer.stride) > 1 else ""
    if layer.locus == "pooling":
        return f"{kernel} {layer.kind.replace('pooling', 'pool')}{stride}"
    kind = " dw" if layer.kind == "depthwise convolution" else ""
    groups = f", C={layer.groups}" if layer.kind == "grouped convolution" else ""
    return f"{kernel}{kind}, {layer.output[0]}{groups}" + (stride if strides else "")


def _gate(block: Block, words: Words) -> tuple[str, ...]:
    """A squeeze-and-excitation as the SE paper writes it: fc, [16, 256]."""
    layers = [words.layers[number] for way in block.ways for number in layers_of(way)]
    widths = [layer.output[0] for layer in layers if layer.locus in WEIGHING]
    return (f"fc, [{', '.join(map(str, widths))}]",) if len(widths) == 2 else ("gate",)


def _math(line: str) -> str:
    parts = [part if set(part) <= set("0123456789×[]C=") else rf"\text{{{_text(part)}}}" for part in line.split(", ")]
    return ", ".join(part.replace("×", r"$\times$" if "text" in part else r"\times ") for part in parts)


def _text(text: str) -> str:
    for sign in "_&%#":
        text = text.replace(sign, "\\" + sign)
    return text
