"""How layers, and what changed of them, are told in words."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.anatomy.aligning import Token
from convatlas.anatomy.anatomies import Layer

MOST = 100
"""Letters of the longest text that names a run of layers."""


def told(layer: Layer) -> str:
    """A layer in words: 3×3 convolution, ReLU."""
    kernel = "×".join(map(str, layer.kernel)) + " " if layer.kernel else ""
    return f"{kernel}{layer.kind}"


def named(tokens: Sequence[Token]) -> str:
    """What a run of tokens is: a layer or gate in words, else its DNA without widths."""
    words = [token for token in tokens if token.layers]
    if len(words) == 1:
        return words[0].sign if words[0].locus == "attention" else told(words[0].layers[-1])
    text = ""
    for token in tokens:
        sign = token.sign[0] if token.sign[0] in "(&){}." else ""
        text += f" {sign}{token.word.kind if token.word else ''}"
    for bracket in ("( ", "{ "):
        text = text.replace(bracket, bracket[0])
    text = text.replace(" )", ")").replace(" }", "}").strip()
    return text if len(text) <= MOST else text[: MOST - 2].rsplit(" ", 1)[0] + " …"


def place(tokens: Sequence[Token]) -> str:
    """The module that all layers of the tokens are in: at most two names deep."""
    paths = [layer.name.split(".")[:-1] or [layer.name] for token in tokens for layer in token.layers]
    shared = [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1]
    return ".".join(shared[:2]) or (paths[0][0] if paths else "")


def changed(a: Token, b: Token) -> str:
    """How a layer changed from `a` to `b`: another kind, another window, another width."""
    assert a.word is not None
    assert b.word is not None
    old, new, before, after = a.word, b.word, a.layers[-1], b.layers[-1]
    if a.locus == "attention":
        return a.sign if a.sign == b.sign else f"{a.sign} → {b.sign}"
    names = told(before), told(after)
    parts: list[str] = []
    if new.groups and before.groups != after.groups:
        names = names[0], names[0]
        parts.append(f"grouped ({after.groups} groups)")
    if before.stride != after.stride and before.stride and after.stride:
        parts.append(f"stride {_pair(before.stride)} → {_pair(after.stride)}")
    if old.width and new.width and old.width != new.width:
        parts.append(_ratio(int(old.width[1:]), int(new.width[1:])))
    if old.dilation != new.dilation:
        parts.append(f"dilation {old.dilation[1:] or 1} → {new.dilation[1:] or 1}")
    # On maps of other sizes one and the same border may come out odd or even.
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


def _ratio(old: int, new: int) -> str:
    if new == 2 * old:
        return "twice as wide"
    if old == 2 * new:
        return "half as wide"
    return f"{new / old:.3g} times as wide"


def _pair(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else "×".join(map(str, sides))
