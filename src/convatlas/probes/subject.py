"""The subject of a probe: a net, one photo, the targets, and the ways to ask the net about them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.tracing.twin import Twin
from convatlas.base.errors import ConvAtlasError
from convatlas.base.untouched import same_random_state
from convatlas.engines.session import Session
from convatlas.probes.certificate import Certificate, autograd, certify, known_certificate, version
from convatlas.probes.layers import layer_named
from convatlas.probes.tape.backward import Rule, Visit, backward
from convatlas.probes.tape.record import record, recordable, unrecorded
from convatlas.probes.tape.tape import Tape
from convatlas.probes.tape.vjp import vjp
from convatlas.probes.targets import Target, stacked

MEMORY = 2**30
"""Bytes that perturbed inputs may take at a time."""

BATCH = 32
"""Largest number of inputs in a batch."""

SAME = 1e-3
"""Difference of a score in a batch from that alone which is no rounding, relative to the effect of the background."""

ROUNDED = 1e-4
"""The same, relative to the score: batches of another size are rounded otherwise."""

_mixing: weakref.WeakKeyDictionary[nn.Module, dict[object, bool]] = weakref.WeakKeyDictionary()
"""Whether nets mix the photos of a batch, by what else it may depend on."""


def _scores_of(computed: Tensor) -> Tensor:
    """Scores (N, T) as probes compare them: numbers on the CPU, in float64."""
    return computed.detach().to("cpu", torch.float64)


def _state(*nets: nn.Module) -> list[tuple[int, int]]:
    """Return numbers that change if a net writes to one of its buffers, or puts another in its place."""
    buffers = [buffer for net in nets for buffer in net.buffers()]
    return [(id(buffer), 0 if buffer.is_inference() else buffer._version) for buffer in buffers]


class ForwardPass:
    """The forward pass of a photo in eager mode, which is recorded if a probe goes back through it.

    Args:
        net: The net.
        x: Its input, (1, C, h, w).
        choose: Function from the net's output to the targets.
    """

    def __init__(self, net: nn.Module, x: Tensor, choose: Callable[[Any], Sequence[Target]]):
        self.net, self.x, self.choose = net, x, choose
        self.targets: Sequence[Target] = ()
        self.draws = self.writes = self.mixed = False
        self._random_state, self._state = torch.get_rng_state(), _state(net)
        self._copies: list[nn.Module] = []

    def score(self, output: Any) -> Tensor:
        """Scores of the targets, (N, T), from an output; the first output decides about the targets."""
        if not self.targets:
            with unrecorded():
                self.targets = self.choose(output)
                self.draws = not torch.equal(torch.get_rng_state(), self._random_state)
                self.writes = _state(self.net, *self._copies) != self._state
        return stacked(self.targets)(output)

    @cached_property
    def scores(self) -> Tensor:
        """Scores of the targets, (T,) in float64."""
        if "tape" in vars(self):
            scores = self.tape.values[self.tape.output]
        elif "autograd" in vars(self):
            scores = self.autograd[0]
        else:
            with torch.inference_mode():
                # Not every net leaves its input alone.
                scores = self.score(self.net(self.x.clone()))
        return _scores_of(scores)[0]

    def alone(self, x: Tensor) -> Tensor:
        """Scores of an input (1, C, h, w) by itself, (1, T) in float64."""
        with torch.inference_mode():
            return _scores_of(self.score(self.net(x.clone())))

    def check_settled(self) -> None:
        """Refuse a net whose score for the same photo changes with its random numbers, or from one call to the next.

        Raises:
            ConvAtlasError: It does.
        """
        if not (self.draws or self.writes):
            return
        with same_random_state():
            torch.manual_seed(0)
            first = self.alone(self.x)
            torch.manual_seed(1)
            second = self.alone(self.x)
        if torch.allclose(first, second, rtol=1e-5, atol=0, equal_nan=True):
            return
        if self.draws:
            raise ConvAtlasError(
                "the net draws random numbers that change its score for the same photo, so that no map of it would "
                "hold: let it draw none in evaluation mode, for instance by dropout with training=self.training"
            )
        raise ConvAtlasError(
            "the net's score for the same photo changes from one call to the next, as it writes to its own buffers: "
            "let it write to none in evaluation mode"
        )

    def mixes(self, background: Tensor) -> bool:
        """Whether the score of a photo changes with the others of its batch, or the net takes no batch of several.

        It is tried once for each net, shape of input and targets, with the photo and the background in one batch.
        """
        known = _mixing.setdefault(self.net, {})
        own = self.scores
        key = (tuple(self.x.shape), self.x.dtype, tuple(target.key for target in self.targets), version(self.net))
        if key not in known:
            scores = torch.stack([own, self.alone(background)[0]])
            allowed = SAME * (scores[0] - scores[1]).abs() + ROUNDED * scores.abs().amax(0)
            try:
                together = self.alone(torch.cat([self.x, background]))
                known[key] = not bool(((together - scores).abs() <= allowed).logical_or(scores.isnan()).all())
            # A net for one photo at a time may raise anything.
            except Exception:
                known[key] = True
        self.mixed = known[key]
        return self.mixed

    @cached_property
    def tape(self) -> Tape:
        """The tape, which ends with the scores of all targets, (1, T)."""
        return record(self.copy, self.x, self.score)

    @cached_property
    def copy(self) -> Twin:
        """The copy of the net's structure that is recorded."""
        copy = recordable(self.net, self.x)
        # A copy has buffers of its own.
        self._copies.append(copy.net)
        self._state += _state(copy.net)
        return copy

    @cached_property
    def autograd(self) -> tuple[Tensor, Callable[..., Tensor]]:
        """Scores and gradients as PyTorch computes them; see `certificate.autograd`."""
        return autograd(self.copy.net, self.x, self.score)

    def try_autograd(self) -> None:
        """Run the net as autograd does, if it lets itself be run so."""
        # The user's own functions may raise anything, and inference tensors have no gradient.
        with suppress(Exception):
            _ = self.autograd

    @cached_property
    def certificate(self) -> Certificate:
        """The certificate of the net's gradient; see `certify`."""
        _ = self.scores
        key = tuple(target.key for target in self.targets)
        known = None if "tape" in vars(self) else known_certificate(self.net, self.x, key)
        return known or certify(self.net, self.x, self.tape, self.score, key)


@dataclass
class Subject:
    """What a probe explains.

    Attributes:
        net: The net, in evaluation mode.
        x: Its input, (1, C, h, w).
        targets: The scores to explain.
        background: Input that stands for "nothing to see", (1, C, h, w).
        layer: Layer that the caller chose: a name, a number, or None for the probe's choice.
        concepts: Photos of concepts, for the probes that compare with some: inputs (n, C, h, w) by the concept's name.
        masks: Where the photos show their concept, (n, h, w) of bool by its name, for the concepts that have masks.
        seed: Seed of everything random.
        session: Engine that computes scores; None for eager mode.
        coarse: Whether the engine computes below float32, so that its scores are compared with its own alone.
        memory: Bytes that perturbed inputs may take at a time, see `batch` and `gradient_batch`.
        forwards: Inputs that went through the net so far.
        backwards: Inputs for which gradients or relevance went back so far.
        certificate: The certificate of the tape; None as long as nobody asked for the tape.
        forward_pass: The forward pass of the photo; by default a new one.
    """

    net: nn.Module
    x: Tensor
    targets: Sequence[Target]
    background: Tensor
    layer: str | int | None = None
    concepts: dict[str, Tensor] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    session: Session | None = None
    memory: int = MEMORY
    forwards: int = 0
    backwards: int = 0
    certificate: Certificate | None = None
    forward_pass: ForwardPass | None = None
    coarse: bool = False

    def __post_init__(self) -> None:
        self._pass = self.forward_pass or ForwardPass(self.net, self.x, lambda _: self.targets)

    def with_session(self, session: Session | None) -> Subject:
        """A copy in which nothing is counted yet, for another probe; the photo's tape is recorded once for both."""
        return replace(self, session=session, forwards=0, backwards=0, certificate=None, forward_pass=self._pass)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.x.shape[2], self.x.shape[3]

    @property
    def mixes(self) -> bool:
        """Whether the net mixes the photos of a batch, so that it is asked about one at a time."""
        return self._pass.mixes(self.background)

    @property
    def mixed(self) -> bool:
        """Whether it is known to mix them; nothing is tried."""
        return self._pass.mixed

    def generator(self) -> torch.Generator:
        """A new source of random numbers, which starts at the seed."""
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def score(self) -> Callable[[object], Tensor]:
        """Function from the net's output to the scores of all targets, (N, T)."""
        return stacked(self.targets)

    @property
    def batch(self) -> int:
        """Inputs in a batch, within the memory; 1 if the net mixes those of a batch."""
        if self.mixes:
            return 1
        each = 4 * self.x[0].numel() * self.x.element_size()
        return max(1, min(BATCH, self.memory // each))

    @property
    def gradient_batch(self) -> int:
        """Inputs whose gradients are computed at once: all that the net computes for them is kept within the memory."""
        kept = self._pass.certificate.memory
        return 1 if self.mixes else max(1, min(BATCH, self.memory // max(kept, 1)))

    def scores(self, batch: Tensor) -> Tensor:
        """Scores of inputs (N, C, h, w) for all targets, (N, T) in float64; any engine may compute them."""
        if len(batch) > 1 and self.session is None and self.mixes:
            return torch.cat([self.scores(each) for each in torch.split(batch, 1)])
        self.forwards += len(batch)
        if self.session is not None:
            output = torch.from_numpy(self.session(np.ascontiguousarray(batch.float().cpu().numpy())))
        else:
            with torch.inference_mode():
                # Not every net leaves its input alone.
                kept = batch.data_ptr() in (self.x.data_ptr(), self.background.data_ptr())
                output = self.net(batch.clone() if kept else batch)
        return _scores_of(self.score(output))

    def stream(self, count: int, make: Callable[[int, int], Tensor]) -> Iterator[tuple[int, int, Tensor]]:
        """Scores of many perturbed inputs, of which only a batch is in memory at a time.

        Args:
            count: Number of inputs.
            make: Function of two numbers that returns the inputs from the first to before the second.

        Yields:
            Both numbers and the scores, (n, T).
        """
        for start in range(0, count, self.batch):
            stop = min(start + self.batch, count)
            yield start, stop, self.scores(make(start, stop))

    @cached_property
    def own_scores(self) -> Tensor:
        """Scores of the photo itself, (T,)."""
        return self.scores(self.x)[0] if self.session is not None and self.coarse else self._pass.scores

    @cached_property
    def background_scores(self) -> Tensor:
        """Scores of the background, (T,)."""
        if "background_tape" in vars(self):
            return _scores_of(self.background_tape.values[self.background_tape.output])[0]
        return self.scores(self.background)[0]

    def tape_of(self, x: Tensor) -> Tape:
        """The tape of the net for inputs (N, C, h, w); `output` is the scores, (N, T)."""
        self.forwards += len(x)
        return record(self._pass.copy, x, self.score)

    @cached_property
    def background_tape(self) -> Tape:
        """The tape of the background."""
        return self.tape_of(self.background)

    @cached_property
    def tape(self) -> Tape:
        """The certified tape of the photo."""
        self.forwards += 1
        self.certificate = self._pass.certificate
        return self._pass.tape

    def back(
        self,
        tape: Tape,
        ends: Sequence[int],
        target: int,
        rule: Rule = vjp,
        visit: Visit | None = None,
    ) -> dict[int, Tensor]:
        """Carry gradients, or what a rule makes of them, back from the score of one target; see `backward`."""
        scores = tape.values[tape.output]
        self.backwards += len(scores)
        start = torch.zeros_like(scores)
        start[:, target] = 1
        return backward(tape, ends, rule, visit, start)

    def gradients(self, x: Tensor, targets: Sequence[int] | None = None) -> Tensor:
        """Gradients of the scores of all targets, or of some, at inputs (N, C, h, w), each of its own: (T, N, C, h, w).

        They are computed by PyTorch if its gradient is certified too, else on the tape.
        """
        self.certificate = self._pass.certificate
        targets = range(len(self.targets)) if targets is None else targets
        if len(x) > 1 and len(x) > (batch := self.gradient_batch):
            return torch.cat([self.gradients(each, targets) for each in torch.split(x, batch)], 1)
        if not self.certificate.autograd:
            tape = self.tape if x is self.x else self.tape_of(x)
            return torch.stack([self.back(tape, [tape.photo], target)[tape.photo] for target in targets])
        self.forwards += len(x)
        self.backwards += len(x) * len(targets)
        if x is self.x:
            # Other probes of the call ask for gradients at the photo too.
            return torch.stack([self._pass.autograd[1](target) for target in targets])
        _, gradient = autograd(self._pass.copy.net, x, self.score)
        return torch.stack([gradient(target, last=target == targets[-1]) for target in targets])

    @cached_property
    def place(self) -> tuple[str, int]:
        """Name of the chosen layer, and index of its output on the tape."""
        return layer_named(self.tape, self.layer)

    def place_of(self, target: int) -> tuple[str, int]:
        """Name and index of the layer for one target.

        Where the rule chooses, targets may have different layers: the boxes of a detector belong to one of its heads.
        """
        return self.place if len(self.targets) == 1 else layer_named(self.tape, self.layer, target)

    def activations_and_gradients(self, target: int) -> tuple[str, Tensor, Tensor]:
        """Name, maps (K, h, w) and gradients (K, h, w) of one target's score at the layer chosen for it."""
        name, index = self.place_of(target)
        gradient = self.back(self.tape, [index], target)[index]
        return name, self.tape.values[index][0], gradient[0]

    def check_finite(self) -> None:
        """Refuse a photo whose scores are not numbers.

        Raises:
            ConvAtlasError: A score is NaN or infinite.
        """
        if not bool(torch.isfinite(self.own_scores).all()):
            raise ConvAtlasError("the net's score for this photo is not a finite number, which no probe can explain")
