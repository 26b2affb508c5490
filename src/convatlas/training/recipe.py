"""How a net is trained: one frozen table of settings, under the names that timm's flags have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from convatlas.base.errors import TrainingError, unknown

OPTIMIZERS = ("sgd", "nesterov", "adamw")
SCHEDULES = ("constant", "cosine", "onecycle", "step")
LOSSES = ("auto", "cross_entropy", "mse", "map", "net")
PRECISIONS = ("none", "bfloat16", "float16")
WEIGHTINGS = ("none", "balanced")


@dataclass(frozen=True)
class Recipe:
    """All that decides how a training ends, beside the net and the data.

    Attributes:
        epochs: How often each photo is shown.
        batch_size: Photos a step, over all processes together.
        opt: "sgd" (with momentum), "nesterov" or "adamw".
        lr: The largest learning rate.
        momentum: Of the gradient; with adamw the first beta.
        weight_decay: Of weights; norms and biases have none.
        sched: "constant"; "cosine" down to `min_lr`; "onecycle" (Smith & Topin 2017: up by a cosine for 30 % of the
            steps from lr / 25, down by another to lr / 250,000); "step", times `decay_rate` every `decay_epochs`.
        warmup_epochs: In which the rate grows from 0; not with onecycle, which warms up itself.
        min_lr: Where the cosine ends.
        decay_epochs: See `sched`.
        decay_rate: Likewise.
        layer_decay: Each stage's rate is the next one's times this; 1 for the same everywhere.
        freeze: Stages or modules by name ("stem", "block1.*") whose weights stay as they are.
        clip_grad: The gradient's largest norm; 0 for any.
        loss: "auto": the net's own if it has one, else the one that goes with its outputs; "cross_entropy"; "mse", to
            targets of 1 and -1; "map", of LeNet-5's distances (LeCun et al. 1998, eq. 9); "net".
        smoothing: Share of the target that all classes get alike.
        class_weights: "balanced": each class counts alike, however many photos it has.
        mixup: Of Beta(mixup, mixup) is drawn how much of another photo is laid over each; 0 for none.
        cutmix: Likewise, how much of it is pasted in. With both, one of the two by a toss each step.
        aa: Magnitude of RandAugment's two operations a photo, 1 to 30; 0 for none.
        distort: How far digits are moved, scaled, squeezed and sheared; 1 is far, 0 not at all.
        deslant: Set digits upright, by their moments, in all parts of the data.
        hflip: Probability that a photo is mirrored.
        scale: The smallest share of a photo that is cut out and enlarged; 1 for the middle, as in testing.
        model_ema: Decay of the running mean of the weights, which then count in their place; 0 for none.
        amp: "bfloat16" or "float16" arithmetic where it is safe.
        channels_last: Lay photos and weights out with their channels innermost, if the net is one of the atlas: on a
            CPU a step of ResNet-18 takes 0.9 of the time, one of MobileNetV2 0.6.
        torchcompile: Compile net and loss.
        val_split: Share of the training photos that are held out to choose the best epoch, where the data has no
            validation part.
        patience: Stop after so many epochs without a better one; 0 for never.
        checkpoint_steps: A checkpoint after so many steps too; 0 for one after each epoch alone.
        seed: Of order, augmentation and dropout.

    Raises:
        TrainingError: A value that none of this can work with.
        UnknownName: No such optimizer, schedule, loss, precision or weighting.
    """

    epochs: int = 10
    batch_size: int = 64
    opt: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    sched: str = "cosine"
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 10.0
    decay_rate: float = 0.1
    layer_decay: float = 1.0
    freeze: tuple[str, ...] = ()
    clip_grad: float = 0.0
    loss: str = "auto"
    smoothing: float = 0.0
    class_weights: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    aa: int = 0
    distort: float = 0.0
    deslant: bool = False
    hflip: float = 0.0
    scale: float = 1.0
    model_ema: float = 0.0
    amp: str = "none"
    channels_last: bool = True
    torchcompile: bool = False
    val_split: float = 0.0
    patience: int = 0
    checkpoint_steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for what, name, known in (
            ("optimizer", self.opt, OPTIMIZERS),
            ("schedule", self.sched, SCHEDULES),
            ("loss", self.loss, LOSSES),
            ("precision", self.amp, PRECISIONS),
            ("weighting of classes", self.class_weights, WEIGHTINGS),
        ):
            if name not in known:
                raise unknown(what, name, known)
        at_least = {"epochs": 1, "batch_size": 1, "patience": 0, "checkpoint_steps": 0, "seed": 0, "aa": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise TrainingError(f"{name} is a whole number from {least} up; got {value!r}")
        for name in ("lr", "decay_epochs", "decay_rate", "layer_decay", "scale"):
            self._check(name, getattr(self, name), "above 0", getattr(self, name) > 0)
        for name in ("weight_decay", "warmup_epochs", "min_lr", "clip_grad", "mixup", "cutmix", "distort"):
            self._check(name, getattr(self, name), "from 0 up", getattr(self, name) >= 0)
        for name in ("momentum", "smoothing", "model_ema", "val_split"):
            self._check(name, getattr(self, name), "from 0 to less than 1", 0 <= getattr(self, name) < 1)
        for name in ("hflip", "scale", "layer_decay"):
            self._check(name, getattr(self, name), "at most 1", 0 <= getattr(self, name) <= 1)
        if not all(isinstance(name, str) for name in self.freeze):
            raise TrainingError(f"freeze is a list of names of modules; got {list(self.freeze)!r}")
        if self.aa > 30:
            raise TrainingError(f"aa is RandAugment's magnitude, 1 to 30, or 0 for none; got {self.aa}")
        if self.seed >= 2**63:
            raise TrainingError(f"seed is below 2^63; got {self.seed}")

    @staticmethod
    def _check(name: str, value: float, allowed: str, good: bool) -> None:
        if not math.isfinite(value) or not good:
            raise TrainingError(f"{name} is a number {allowed}; got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, from which `from_dict` makes an equal recipe."""
        return dataclasses.asdict(self) | {"freeze": list(self.freeze)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The recipe with these settings; those that are missing have their default.

        Raises:
            TrainingError: There is no such setting, or it has a value of another kind.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise unknown("setting of a recipe", name, known)
            wanted = type(known[name].default)
            fits = isinstance(value, list | tuple) if wanted is tuple else isinstance(value, wanted)
            if not fits and not (wanted is float and type(value) is int):
                raise TrainingError(f"{name} is a {wanted.__name__}, as {known[name].default!r}; got {value!r}")
        given: dict[str, Any] = {name: tuple(value) if name == "freeze" else value for name, value in data.items()}
        return cls(**given)
