"""Name layers, and changes of layers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convatlas.anatomy.measure.hyperparameters import Loop, loop_of
from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.report.align import Token

MOST = 100
"""Length of the longest text that names a run of layers."""


def layer_text(layer: Layer) -> str:
    """Return a layer in words: 3×3 convolution, ReLU."""
    kernel = "×".join(map(str, layer.kernel)) + " " if layer.kernel else ""
    return f"{kernel}{layer.kind}"


def run_text(tokens: Sequence[Token]) -> str:
    """Return a run of tokens in words: a single layer or gate by its name, else DNA without widths."""
    words = [token for token in tokens if token.layers]
    if len(words) == 1:
        return words[0].sign if words[0].locus == "attention" else layer_text(words[0].layers[-1])
    text = "; ".join(part for part in _parts(tokens) if part)
    return text if len(text) <= MOST else text[: MOST - 2].rsplit(" ", 1)[0] + " …"


def _parts(tokens: Sequence[Token]) -> Iterator[str]:
    """Yield the run in parts; a sign of a fork whose other signs lie outside of the run is put in words."""
    opened: list[int] = []
    halves: set[int] = set()
    for at, token in enumerate(tokens):
        if token.sign[0] in "({":
            opened.append(at)
        elif token.sign[0] in ")}" and opened:
            opened.pop()
        elif token.sign[0] in "&)}" and not opened:
            halves.add(at)
    # A fork that does not end in the run is described branch by branch; all signs of a fork carry the same depth.
    firsts = {tokens[at].sign[1:]: at for at in opened}
    halves |= {
        at for at, sign in enumerate(tokens) if sign.sign[0] in "({&" and firsts.get(sign.sign[1:], at + 1) <= at
    }
    start = 0
    for at in sorted(halves):
        token = tokens[at]
        yield _spelled(tokens[start:at])
        if token.sign[0] in ")}":
            yield f"the {token.layers[-1].kind} of the branches" if token.layers else "where branches meet"
        else:
            yield "branches part" if token.sign[0] in "({" else "another branch"
        start = at + 1
    yield _spelled(tokens[start:])


def _spelled(tokens: Sequence[Token]) -> str:
    if len(tokens) == 1 and tokens[0].sign == ".":
        return "the map itself"
    text = ""
    for token in tokens:
        sign = token.sign[0] if token.sign[0] in "(&){}." else ""
        text += f" {sign}{token.word.kind if token.word else ''}"
    for bracket in ("( ", "{ "):
        text = text.replace(bracket, bracket[0])
    return text.replace(" )", ")").replace(" }", "}").strip()


def place_of(tokens: Sequence[Token]) -> str:
    """Return the module that all layers of the tokens are in, at most two names deep."""
    paths = [layer.name.split(".")[:-1] or [layer.name] for token in tokens for layer in token.layers]
    shared = [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1]
    return ".".join(shared[:2]) or (paths[0][0] if paths else "")


def change_text(a: Token, b: Token) -> str:
    """Describe how a layer changed from `a` to `b`: another kind, another window, another width."""
    assert a.word is not None
    assert b.word is not None
    old, new, before, after = a.word, b.word, a.layers[-1], b.layers[-1]
    if a.locus == "attention":
        return a.sign if a.sign == b.sign else f"{a.sign} → {b.sign}"
    if before.kind == after.kind == "recurrence":
        return f"{before.kind}: {', '.join(_looped(loop_of(before.setting), loop_of(after.setting)))}"
    names = layer_text(before), layer_text(after)
    parts: list[str] = []
    if new.groups and before.groups != after.groups:
        names = names[0], names[1].replace("grouped ", "")
        parts.append(f"grouped ({after.groups} groups)")
    if before.stride != after.stride and before.stride and after.stride:
        parts.append(f"stride {pair_text(before.stride)} → {pair_text(after.stride)}")
    if old.width and new.width and old.width != new.width:
        parts.append(_ratio(int(old.width[1:]), int(new.width[1:])))
    if old.dilation != new.dilation:
        parts.append(f"dilation {old.dilation[1:] or 1} → {new.dilation[1:] or 1}")
    # The same border may be symmetric on maps of one size and not on those of another.
    resized = before.output[1:] != after.output[1:] and {old.border, new.border} == {"", "s"}
    if old.border != new.border and old.window == new.window and not resized:
        parts.append("another border")
    if old.bias != new.bias:
        known = {
            ("b", ""): "without a bias",
            ("", "b"): "with a bias",
            ("", "*"): "without a gain",
            ("*", ""): "with a gain",
        }
        parts.append(known.get((old.bias, new.bias), "other weights"))
    if old.setting != new.setting:
        parts.append(f"setting {old.setting[1:] or 'none'} → {new.setting[1:] or 'none'}")
    name = names[0] if names[0] == names[1] else f"{names[0]} → {names[1]}"
    return f"{name}: {', '.join(parts)}" if parts else name


def _looped(old: Loop, new: Loop) -> Iterator[str]:
    """Yield the changes of a recurrence: layers, activations, feedback arrows, steps."""
    if old.widths != new.widths:
        yield f"layers {'-'.join(map(str, old.widths))} → {'-'.join(map(str, new.widths))}"
    kinds = [", ".join(dict.fromkeys(loop.functions)) for loop in (old, new)]
    if kinds[0] != kinds[1]:
        yield f"{kinds[0]} → {kinds[1]}"
    yield from (f"no arrow {feedback}" for feedback in old.feedback if feedback not in new.feedback)
    yield from (f"an arrow {feedback}" for feedback in new.feedback if feedback not in old.feedback)
    if old.steps != new.steps:
        yield f"{old.steps} → {new.steps} steps"


def _ratio(old: int, new: int) -> str:
    if new == 2 * old:
        return "twice as wide"
    if old == 2 * new:
        return "half as wide"
    return f"{new / old:.3g} times as wide"


def pair_text(sides: tuple[int, int]) -> str:
    """Return a number for equal sides, else both: 2, 1×2."""
    return str(sides[0]) if sides[0] == sides[1] else "×".join(map(str, sides))
