"""Sketch a chain as a person would: a convolution with its normalization and activation is one unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from convatlas.anatomy.drawing.labels import SIGNS, labels, short
from convatlas.anatomy.drawing.sketch.pieces import Entry, ForkPiece, GraphPiece, Piece, Recurrence, Sketch, Strip, Unit
from convatlas.anatomy.measure.hyperparameters import loop_of
from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.structure.stages import port
from convatlas.anatomy.structure.tokens import Words
from convatlas.anatomy.structure.wiring import Chain, Fork, Graph, Part, layers_of

ATTACHED = ("normalization", "activation", "regularization", "padding")
ATTACHED_KINDS = ("scaling", "identity")
"""Loci and kinds of layers that are attached to another one."""


class Sketcher:
    """Sketches a net's chains; layers for which `fine` holds stay boxes of their own."""

    def __init__(self, words: Words, fine: Callable[[Layer], bool] = lambda layer: False):
        self.words = words
        self.fine = fine

    def sketch(self, row: Chain) -> Sketch:
        """Return the sketch of a chain."""
        pieces: list[Piece] = []
        ahead = iter(range(len(row)))
        for at in ahead:
            part = row[at]
            if isinstance(part, int):
                self._add(pieces, part)
                continue
            after = row[at + 1] if at + 1 < len(row) else None
            joined = isinstance(after, int) and after > 0 and len(self.words.layers[after].inputs) > 1
            join = self._join(after) if joined and isinstance(after, int) else Unit((), (), "skip")
            gate = self._gate(part, join)
            if gate is not None:
                pieces.append(gate)
            elif isinstance(part, Fork):
                pieces.append(ForkPiece(tuple(self.sketch(branch) for branch in part.branches), join))
            else:
                pieces.append(self._graph(part, join))
            if joined:
                next(ahead)
        return tuple(pieces)

    def _graph(self, graph: Graph, join: Unit) -> GraphPiece:
        nodes = tuple((self.sketch(node.chain), node.inputs) for node in graph.nodes)
        return GraphPiece(nodes, graph.ends, join)

    def _join(self, number: int) -> Unit:
        layer = self.words.layers[number]
        unit = self._unit(layer)
        return replace(unit, sign=SIGNS.get(layer.kind, "·" if not unit.text else ""))

    def _unit(self, layer: Layer) -> Unit:
        return Unit((layer.number,), labels(layer, self.words), layer.locus, shape=self.words.shown[layer.number])

    def _add(self, pieces: list[Piece], number: int) -> None:
        """Add a layer to a sketch: to the unit before it, to strips that wait for it, or as a unit of its own."""
        if number < 0:
            pieces.append(Entry(port(number), self.words.shown[port(number)]))
            return
        layer, shape = self.words.layers[number], self.words.shown[number]
        last = pieces[-1] if pieces else None
        if layer.kind == "recurrence":
            pieces.append(Recurrence((number,), loop_of(layer.setting), shape))
        elif self.fine(layer) or len(layer.inputs) > 1:
            pieces.append(self._join(number) if len(layer.inputs) > 1 else self._unit(layer))
        elif layer.locus in ATTACHED or layer.kind in ATTACHED_KINDS:
            strip = short(layer), layer.locus
            fits = isinstance(last, Unit | ForkPiece | GraphPiece) and not self._is_fine(last)
            if fits and isinstance(last, Unit) and (last.text or last.sign):
                pieces[-1] = self._followed(last, strip, layer)
            elif fits and isinstance(last, ForkPiece | GraphPiece) and self._beside(layer, last.join):
                pieces[-1] = replace(last, join=self._followed(last.join, strip, layer))
            elif fits and isinstance(last, Unit):
                pieces[-1] = replace(last, before=(*last.before, strip), layers=(*last.layers, number), shape=shape)
            else:
                pieces.append(Unit((number,), (), layer.locus, before=(strip,), shape=shape))
        elif isinstance(last, Unit) and not last.text and not last.sign and not self._is_fine(last):
            unit = self._unit(layer)
            pieces[-1] = replace(unit, layers=(*last.layers, number), before=last.before)
        elif isinstance(last, Unit) and self._separable(last, layer):
            pieces[-1] = replace(
                last,
                text=(last.text[0].replace("depthwise", "separable"), str(layer.output[0])),
                layers=(*last.layers, number),
                shape=shape,
            )
        else:
            pieces.append(self._unit(layer))

    def _is_fine(self, piece: Unit | ForkPiece | GraphPiece) -> bool:
        unit = piece if isinstance(piece, Unit) else piece.join
        return any(self.fine(self.words.layers[number]) for number in unit.layers)

    def _beside(self, layer: Layer, join: Unit) -> bool:
        """Return whether a layer stands in the module of a joint, not in one around it."""
        inside = layer.name.rpartition(".")[0].split(".") if "." in layer.name else []
        paths = [self.words.layers[number].name.split(".") for number in join.layers[:1]]
        return not paths or layer.name == "" or len(paths[0]) - len(inside) < 2 or paths[0][: len(inside)] != inside

    def _separable(self, last: Unit, layer: Layer) -> bool:
        """Return whether a layer is the 1 x 1 convolution right behind a depthwise one."""
        before = self.words.layers[last.layers[-1]] if last.layers else None
        return (
            before is not None
            and before.kind == "depthwise convolution"
            and layer.kind == "convolution"
            and layer.kernel == (1, 1)
            and not last.after
            and not self.fine(before)
        )

    def _gate(self, part: Part, join: Unit) -> Unit | None:
        """Return an attention gate as one unit, if a fork is one: a map times what was computed from it."""
        if not isinstance(part, Fork) or join.sign != "×" or len(part.branches) != 2 or part.branches[0]:
            return None
        layers = [self.words.layers[number] for number in layers_of(part.branches[1]) if number > 0]
        if not layers or any(self.fine(layer) for layer in layers):
            return None
        weighted = [layer for layer in layers if layer.locus in ("convolution", "dense", "attention")]
        widths = [layer.output[0] for layer in weighted if layer.locus != "attention"]
        if not layers[0].field and len(widths) == 2:
            text: tuple[str, ...] = "squeeze & excite", f"{widths[1]} → {widths[0]} → {widths[1]}"
        else:
            text = ("channel gate" if not layers[0].field else "spatial gate",)
        numbers = (*(layer.number for layer in layers), *join.layers)
        return Unit(numbers, text, "attention", shape=join.shape)

    def _followed(self, unit: Unit, strip: Strip, layer: Layer) -> Unit:
        shape = self.words.shown[layer.number]
        return replace(unit, after=(*unit.after, strip), layers=(*unit.layers, layer.number), shape=shape)
