"""Align two nets' DNA: blocks with blocks, and words with words inside matching blocks.

Both alignments use dynamic programming (Needleman & Wunsch 1970) without gap penalties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from convatlas.anatomy.measure.records import Layer, Measurement
from convatlas.anatomy.structure.blocks import WEIGHTED, Block, blocks
from convatlas.anatomy.structure.stages import Stage, stages
from convatlas.anatomy.structure.tokens import Word, Words
from convatlas.anatomy.structure.wiring import Chain, Graph, layers_of

ANCHORED = ("normalization", "activation", "regularization")
"""Loci of layers that belong to the block before them."""

LAYERS = "layers"

T = TypeVar("T")
Pair = tuple[T | None, T | None]


@dataclass(frozen=True)
class Token:
    """A layer or a whole attention gate with its word, or a sign of the grammar with its depth.

    Attributes:
        sign: `(1`, `&1`, `)1`, `.`; for a layer that joins branches, `)1` too; else the word itself.
        word: The layer's word; None for a bare sign.
        layers: One layer for a word, several for a gate.
        locus: The layer's locus, "attention" for a gate.
    """

    sign: str
    word: Word | None = None
    layers: tuple[Layer, ...] = ()
    locus: str = ""

    @property
    def parameters(self) -> int:
        """Parameters of its layers."""
        return sum(layer.parameters for layer in self.layers)


@dataclass(frozen=True)
class Piece:
    """A block with what follows it, or a run of plain layers: its kind, its tokens, the size of its map."""

    kind: str
    tokens: tuple[Token, ...]
    size: tuple[int, ...]


def pieces(anatomy: Measurement) -> list[list[Piece]]:
    """Return the pieces of a net, by stage."""
    words = Words(anatomy)
    return [_pieces(stage, words) for stage in stages(anatomy)]


def merge_plain(first: list[list[Piece]], second: list[list[Piece]]) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces of two nets; consecutive plain layers are one piece, unless only one net is all plain."""
    plain = [all(piece.kind == LAYERS for stage in net for piece in stage) for net in (first, second)]
    nets: list[list[Piece]] = []
    for net in (first, second):
        merged: list[Piece] = []
        for piece in (piece for stage in net for piece in stage):
            last = merged[-1] if merged else None
            if last and last.kind == piece.kind == LAYERS and plain[0] == plain[1]:
                merged[-1] = Piece(LAYERS, last.tokens + piece.tokens, piece.size)
            else:
                merged.append(piece)
        nets.append(merged)
    return nets[0], nets[1]


def _pieces(stage: Stage, words: Words) -> list[Piece]:
    result: list[Piece] = []
    for block in blocks(stage.chain, words):
        tokens = tuple(_tokens(block, words, 1))
        plain = block.kind in ("layer", "gate")
        last = result[-1] if result else None
        if last and plain and (last.kind == LAYERS or tokens[0].locus in ANCHORED):
            result[-1] = replace(last, tokens=last.tokens + tokens)
        else:
            result.append(Piece(LAYERS if plain else block.kind, tokens, ()))
    return [replace(piece, size=_size(piece)) for piece in result]


def _size(piece: Piece) -> tuple[int, ...]:
    layers = [layer for token in piece.tokens for layer in token.layers]
    return layers[-1].output[1:] if layers else ()


def _tokens(block: Block, words: Words, depth: int) -> Iterator[Token]:
    if block.kind == "layer":
        yield from (_token(number, words) for number in layers_of(block.branches[0]))
        return
    joins = (block.join,) if block.join else ()
    if block.kind == "gate":
        layers = tuple(words.layers[number] for branch in block.branches for number in layers_of(branch) if number > 0)
        widths = [layer.output[0] for layer in layers if layer.locus in WEIGHTED]
        head = "squeeze-and-excitation" if len(widths) == 2 and layers[0].field is None else "attention gate"
        yield Token(head, Word(head, width=f"-{widths[0]}" if widths else ""), layers + joins, "attention")
        return
    is_graph = isinstance(block.part, Graph)
    yield Token(f"{'{' if is_graph else '('}{depth}")
    branches = [list(_row(branch, words, depth + 1)) for branch in block.branches]
    if not is_graph and block.join is not None and block.join.kind in ("sum", "product"):
        # The order of these branches does not matter: short ones come first, as in DNA.
        branches.sort(key=len)
    for at, branch in enumerate(branches):
        yield from [Token(f"&{depth}")] if at else []
        yield from branch
    word = words.word(block.join.number) if block.join else None
    yield Token(f"{'}' if is_graph else ')'}{depth}", word, joins, block.join.locus if block.join else "")


def _row(row: Chain, words: Words, depth: int) -> Iterator[Token]:
    if not row:
        yield Token(".")
    for block in blocks(row, words):
        yield from _tokens(block, words, depth)


def _token(number: int, words: Words) -> Token:
    word, layer = words.word(number), words.layers[number]
    return Token(str(word), word, (layer,), layer.locus)


def align_pieces(first_net: Sequence[Piece], second_net: Sequence[Piece]) -> list[Pair[Piece]]:
    """Return the pieces of two nets, matching ones paired."""

    @cache
    def likeness(first_piece: tuple[Token, ...], second_piece: tuple[Token, ...]) -> float:
        return sum(score(a, b) for a, b in match_tokens(first_piece, second_piece) if a is not None and b is not None)

    def worth(first_piece: Piece, second_piece: Piece) -> float:
        similarity = likeness(first_piece.tokens, second_piece.tokens)
        lengths = len(first_piece.tokens), len(second_piece.tokens)
        plain = first_piece.kind == LAYERS, second_piece.kind == LAYERS
        most = 4 * (min(lengths) if all(plain) else max(lengths))
        # Only pieces that are similar enough match, a block and plain layers only if they are more so; of equally
        # similar pieces, those on maps of the same size match.
        least = 0.25 if plain[0] == plain[1] else 0.5
        return similarity + 0.5 * (first_piece.size == second_piece.size) if similarity > least * most else 0.0

    return _best(first_net, second_net, worth)


def match_tokens(first: Sequence[Token], second: Sequence[Token]) -> list[Pair[Token]]:
    """Return the tokens of two pieces, matching ones paired."""
    return _best(first, second, score)


def score(first: Token, second: Token) -> float:
    """Return the similarity of two tokens: 4 for equal ones, 0 for those that never match."""
    if first.word is None or second.word is None:
        return 1.0 if first.sign == second.sign else 0.0
    if first.locus != second.locus:
        return 0.0
    if first.locus == "skip":
        return 2.0 if first.word.head == second.word.head else 0.0
    if first.word == second.word:
        return 4.0
    if first.word.kind == second.word.kind:
        return 3.0
    return 1.5 if first.word.window == second.word.window else 1.0


def _best(first: Sequence[T], second: Sequence[T], worth: Callable[[T, T], float]) -> list[Pair[T]]:
    """Return the alignment of two sequences with the highest total score."""
    rows, columns = len(first), len(second)
    table = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    values = [[worth(item, partner) for partner in second] for item in first]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            value = values[row][column]
            both = value + table[row + 1][column + 1] if value else 0.0
            table[row][column] = max(both, table[row + 1][column], table[row][column + 1])
    pairs: list[Pair[T]] = []
    row = column = 0
    while row < rows or column < columns:
        both = row < rows and column < columns
        if both and values[row][column] and table[row][column] == values[row][column] + table[row + 1][column + 1]:
            pairs.append((first[row], second[column]))
            row, column = row + 1, column + 1
        elif row < rows and (column == columns or table[row + 1][column] >= table[row][column + 1]):
            pairs.append((first[row], None))
            row += 1
        else:
            pairs.append((None, second[column]))
            column += 1
    return pairs
