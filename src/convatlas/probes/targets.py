"""Targets: which number of a net's output a probe explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.shape_trace import net_name
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.terminal.brief import Brief
from convatlas.engines.probabilities import probability_map_of
from convatlas.images.view import View
from convatlas.nets.net import Net
from convatlas.probes.detector._boxes import Box, DetectedBox, decoder_of, find_box
from convatlas.weights.user_weights import lineage_of

Scores = Callable[[Any], Tensor]
"""Function of a net's output."""


@dataclass(frozen=True)
class Target(Brief):
    """A function of a net's output with a name: the score that is explained.

    Attributes:
        name: What it is, in words: "logit of tabby".
        score: Function from the net's output to the score of each photo, (N,).
        index: The class that it is about; None if it is about no single class.
        box: The box of a detector that it is about; None for other targets.
        function: The caller's own function, if it is one.
        plain: Whether it is the net's output for the class, as it is.
    """

    name: str
    score: Callable[[Any], Tensor]
    index: int | None = None
    box: DetectedBox | None = None
    function: object = None
    plain: bool = False

    @property
    def key(self) -> object:
        """Value that no other target of the same net has; two functions may have the same name."""
        return self.name if self.function is None else self.function

    def class_scores(self, net: nn.Module, size: tuple[int, int]) -> Scores:
        """Function from the net's output to the scores of all classes, (N, classes): of the same box in a detector."""
        decoder = decoder_of(net, size)
        if self.box is None or decoder is None:
            return _class_scores
        return self.box.scores(decoder)

    def __call__(self, output: Any) -> Tensor:
        return self.score(output)


@dataclass(frozen=True)
class Logit(Brief):
    """The net's output for a class, as it is. `label` is a number, a name, or None for the most probable class."""

    label: int | str | None = None


@dataclass(frozen=True)
class Probability(Brief):
    """The probability of a class, by the map that the net's card or the training of a user's net names."""

    label: int | str | None = None


@dataclass(frozen=True)
class Contrast(Brief):
    """The output for a class against others.

    It is y_c − Σ_d y_d / n for n chosen classes d (Zhang et al. 2025, Finer-CAM), or y_c − log Σ_d exp(y_d) over all
    other classes.

    Attributes:
        label: The class.
        others: Classes to hold it against, None for the most probable one; all others by default.
    """

    label: int | str | None = None
    others: tuple[int | str | None, ...] = ()


def targets_of(
    target: object, net: nn.Module, output: Any, size: tuple[int, int], view: View | None = None
) -> list[Target]:
    """Turn what a caller asked for into targets.

    Args:
        target: A class by number or name, None or "top" for the most probable one, `Logit`, `Probability`, `Contrast`,
            a text like "probability:tabby" or "contrast:tabby/tiger cat", a function of the net's output that returns
            (N,), a `Target`, or a list of any of these. For a detector `Box`, or a text like "box:0" or "box:0/dog";
            a class stands for its best box there.
        net: The net.
        output: Its output for the photo.
        size: Height and width of its input.
        view: Which part of the input shows the photo; None for all of it.

    Raises:
        ConvAtlasError: The net has no such output; the text says what to pass.
    """
    if isinstance(target, list):
        if not target:
            raise ConvAtlasError("no target is given: pass a class, or None for the most probable one")
        return [made for each in target for made in targets_of(each, net, output, size, view)]
    return [_target(target, net, output, size, view)]


def _target(target: object, net: nn.Module, output: Any, size: tuple[int, int], view: View | None) -> Target:
    if isinstance(target, Target):
        return target
    if isinstance(target, str):
        target = _parsed(target, net)
    if target is None or (isinstance(target, Integral) and not isinstance(target, bool)):
        target = Logit(None if target is None else int(target))
    decoder = decoder_of(net, size)
    if decoder is not None and isinstance(target, Logit):
        target = Box(0, target.label)
    if isinstance(target, Box):
        if decoder is None:
            raise ConvAtlasError("this net detects no boxes: a target is a class, or a function of the net's output")
        corners, objects, classes = decoder(output)
        index = None if target.label is None else _index(target.label, net, classes[:, 0])
        shown = (0, 0, size[1], size[0]) if view is None else view.shown
        box = find_box(net, (corners[0], objects[0], classes[0]), target.number, index, shown)
        name = _names(net)[box.index] if _names(net) else f"class {box.index}"
        return Target(f"box {target.number}: {name}", box.score(decoder), box.index, box)
    if decoder is not None and isinstance(target, (Probability, Contrast)):
        raise ConvAtlasError('a detector is explained box by box: pass a target such as "box:0" or "box:0/dog"')
    if isinstance(target, (Logit, Probability, Contrast)):
        scores = _class_scores(output)
        index = _index(target.label, net, scores)
        name = _names(net)[index] if _names(net) else str(index)
        if isinstance(target, Logit):
            return Target(f"{_kind(net)} of {name}", lambda output: output[:, index], index, plain=True)
        if isinstance(target, Probability):
            to_probabilities = _probabilities(net)
            if scores.shape[1] == 1 and to_probabilities is PROBABILITIES["softmax"]:
                raise ConvAtlasError("the probability of a single output is always 1: explain the output itself")
            return Target(f"probability of {name}", lambda output: to_probabilities(output)[:, index], index)
        return _contrast(target, index, name, net, scores)
    if callable(target):
        return Target(getattr(target, "__name__", "target"), _checked(target), function=target)
    raise ConvAtlasError(
        f"a target is a class by number or name, or a function of the net's output; not {target!r:.60}"
    )


def _parsed(text: str, net: nn.Module) -> Logit | Probability | Contrast | Box:
    """Read "tabby", "281", "top", "probability:281", "contrast:tabby/tiger cat", "box:0" or "box:0/dog"."""
    if text in _names(net):
        return Logit(text)
    kind, colon, rest = text.partition(":")
    if kind == "box":
        number, _, label = rest.partition("/")
        if number and not number.strip().isdecimal():
            raise ConvAtlasError(f"boxes have numbers from 0, the best one; got {number!r:.40}")
        return Box(int(number or 0), _label(label, net))
    if colon and kind in ("probability", "logit", "contrast"):
        if kind == "contrast":
            held, *others = rest.split("/")
            return Contrast(_label(held, net), tuple(_label(other, net) for other in others if other.strip()))
        return Probability(_label(rest, net)) if kind == "probability" else Logit(_label(rest, net))
    return Logit(_label(text, net))


def _label(text: str, net: nn.Module) -> int | str | None:
    """The class that a text means: one of this name, though it be a number, else the most probable one, or a number."""
    text = text.strip()
    if text in _names(net):
        return text
    if text in ("", "top"):
        return None
    return int(text) if text.removeprefix("-").isdecimal() else text


def _contrast(target: Contrast, index: int, name: str, net: nn.Module, scores: Tensor) -> Target:
    if not isinstance(target.others, (tuple, list)):
        raise ConvAtlasError(f"the classes to hold one against are a tuple; got {target.others!r:.40}")
    others = [_index(other, net, scores) for other in target.others]
    if index in others:
        raise ConvAtlasError("a class cannot be held against itself")
    if not others:
        rest = [other for other in range(scores.shape[1]) if other != index]
        if not rest:
            raise ConvAtlasError("the net has a single output, which cannot be held against others")
        return Target(
            f"{name} against all others", lambda output: output[:, index] - output[:, rest].logsumexp(1), index
        )
    names = " and ".join(_names(net)[other] if _names(net) else str(other) for other in others)
    return Target(f"{name} against {names}", lambda output: output[:, index] - output[:, others].mean(1), index)


def _class_scores(output: Any) -> Tensor:
    if isinstance(output, Tensor) and output.ndim == 2:
        return output
    kind = f"the shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"the type {type(output).__name__}"
    raise ConvAtlasError(
        f"the net's output has {kind}, not a score for each class: in Python, pass target=, a function that picks one "
        "score a photo, (N,), from it"
    )


def _index(label: int | str | None, net: nn.Module, scores: Tensor) -> int:
    classes = scores.shape[1]
    if label is None:
        return int(scores[0].argmax())
    if isinstance(label, str):
        names = _names(net)
        if not names:
            raise ConvAtlasError(f"this net's classes have no names: a target is a number from 0 to {classes - 1}")
        if label not in names:
            raise unknown("class", label, names)
        return names.index(label)
    if not isinstance(label, Integral) or isinstance(label, bool):
        raise ConvAtlasError(f"a class is a number or a name; got {label!r:.40}")
    label = int(label)
    if not 0 <= label < classes:
        raise ConvAtlasError(f"there is no class {label}: the net has classes 0 to {classes - 1}")
    return label


def _names(net: nn.Module) -> Sequence[str]:
    lineage = lineage_of(net)
    return () if lineage is None else lineage.class_names


def _kind(net: nn.Module) -> str:
    kinds = {"capsule lengths": "length of the capsule", "capsule activations": "activation of the capsule"}
    return kinds.get(net.card.output_kind, "output") if isinstance(net, Net) else "output"


def _probabilities(net: nn.Module) -> Callable[[Tensor], Tensor]:
    # A user's net whose weights do not name a map has logits, as most nets do.
    name = probability_map_of(net) or "softmax"
    if name not in PROBABILITIES:
        raise ConvAtlasError(
            f"the outputs of {net_name(net)} cannot be turned into probabilities: explain the output itself"
        )
    return PROBABILITIES[name]


def _halved(output: Tensor) -> Tensor:
    halves = ((1 + output) / 2).clamp(0, 1)
    return halves / halves.sum(1, keepdim=True).clamp(min=1e-12)


PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda output: output.softmax(1),
    "halved": _halved,
    "identity": lambda output: output,
}
"""Maps (N, classes) -> (N, classes) from outputs to probabilities, as in `engines.probabilities`."""


def _checked(function: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    def score(output: Any) -> Tensor:
        scores = function(output)
        if not isinstance(scores, Tensor) or scores.ndim != 1:
            got = f"the shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
            raise ConvAtlasError(f"a target returns one score for each photo, (N,); this one returned {got}")
        return scores

    return score


def stacked(targets: Sequence[Target]) -> Callable[[Any], Tensor]:
    """A function of the net's output that returns the scores of all targets, (N, T)."""
    return lambda output: torch.stack([target(output) for target in targets], 1)
