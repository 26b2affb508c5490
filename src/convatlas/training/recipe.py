"""Settings of a training, with the names of timm's command line options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from convatlas.base.errors import TrainingError, unknown
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, excerpt, read_toml
from convatlas.base.terminal.brief import Brief

OPTIMIZERS = ("sgd", "nesterov", "adamw")
SCHEDULES = ("constant", "cosine", "onecycle", "step")
LOSSES = ("auto", "cross_entropy", "mse", "map", "net")
PRECISIONS = ("none", "bfloat16", "float16")
WEIGHTINGS = ("none", "balanced")
MOST, LARGEST = 10**9, 1e9
"""Largest whole number, and largest number, that a setting may have; the seed may be larger."""


@dataclass(frozen=True)
class Recipe(Brief):
    """Settings of a training.

    Attributes:
        epochs: Number of passes over the training photos.
        batch_size: Photos in a step, over all processes.
        opt: "sgd" (with momentum), "nesterov" or "adamw".
        lr: Largest learning rate.
        momentum: Momentum of the gradient; with adamw the first beta.
        weight_decay: Weight decay; not applied to norms and biases.
        sched: "constant"; "cosine" down to `min_lr`; "onecycle" (Smith & Topin 2017: up from lr / 25 for 30 % of the
            steps, then down to lr / 250,000, both by a cosine); "step", times `decay_rate` every `decay_epochs`.
        warmup_epochs: Epochs in which the rate grows from 0; ignored with onecycle, which has a warmup of its own.
        min_lr: Final rate of the cosine.
        decay_epochs: Epochs between two steps of `sched` = "step".
        decay_rate: Factor of each step of `sched` = "step".
        layer_decay: Ratio of each stage's learning rate to that of the next stage; 1 for equal rates.
        freeze: Names or patterns of stages and modules ("stem", "block1.*") whose weights are not trained.
        clip_grad: Largest norm of the gradient; 0 for no limit.
        loss: "auto": the net's own if it has one, else the one for its kind of outputs; "cross_entropy"; "mse", to
            targets of 1 and -1; "map", on LeNet-5's distances (LeCun et al. 1998, eq. 9); "net".
        smoothing: Label smoothing: share of the target that is spread over all classes.
        class_weights: "balanced" to give all classes equal weight, however many photos each has; "none".
        mixup: Alpha of the Beta distribution that mixup draws its shares from; 0 for none.
        cutmix: Alpha of the Beta distribution that CutMix draws its shares from; 0 for none. With both, each step
            uses one of the two at random.
        aa: Magnitude of RandAugment, which applies two operations to each photo, 1 to 30; 0 for none.
        distort: Strength of random shifts, scalings, squeezes and shears of digits; 0 for none, 1 is strong.
        shift: Largest random shift of digits in pixels, in either direction of both axes; 0 for none.
        deslant: Whether to deslant the digits of all splits.
        hflip: Probability of a horizontal flip.
        scale: Smallest share of a photo that a random crop keeps; 1 for the centre crop, as in testing. For detectors
            the smallest share of a photo in a window of it, which may also be larger than the photo, up to 1 / scale.
        model_ema: Decay of the exponential moving average of the weights, which is reported instead of them; 0 for
            none.
        amp: Dtype of automatic mixed precision, "bfloat16" or "float16"; "none".
        channels_last: Whether to use the memory format channels last, for nets of the atlas: on a CPU a step of
            ResNet-18 takes 0.9 of the time, one of MobileNetV2 0.6.
        torchcompile: Whether to compile net and loss with `torch.compile`.
        val_split: Share of the training photos that is held out to choose the best epoch, if the data set has no
            validation split.
        patience: Epochs without improvement after which to stop; 0 to never stop early.
        checkpoint_steps: Steps between two checkpoints within an epoch; 0 for checkpoints after each epoch only.
        seed: Seed of order, augmentation and dropout.

    Raises:
        TrainingError: A value is out of its range.
        UnknownName: The optimizer, schedule, loss, precision or class weighting is unknown.
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
    shift: int = 0
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
        for kind, name, known in (
            ("optimizer", self.opt, OPTIMIZERS),
            ("schedule", self.sched, SCHEDULES),
            ("loss", self.loss, LOSSES),
            ("precision", self.amp, PRECISIONS),
            ("class weighting", self.class_weights, WEIGHTINGS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        at_least = {"epochs": 1, "batch_size": 1, "patience": 0, "checkpoint_steps": 0, "seed": 0, "aa": 0, "shift": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise TrainingError(f"{name} is a whole number from {least} up; got {excerpt(value)}")
            if name != "seed" and value > MOST:
                raise TrainingError(f"{name} is a whole number up to {MOST:,}; got {excerpt(value)}")
        for name in ("lr", "decay_epochs", "decay_rate", "layer_decay", "scale"):
            self._check(name, getattr(self, name), "above 0", getattr(self, name) > 0)
        for name in ("weight_decay", "warmup_epochs", "min_lr", "clip_grad", "mixup", "cutmix", "distort"):
            self._check(name, getattr(self, name), "from 0 up", getattr(self, name) >= 0)
        for name in ("momentum", "smoothing", "model_ema", "val_split"):
            self._check(name, getattr(self, name), "from 0 to less than 1", 0 <= getattr(self, name) < 1)
        for name in ("hflip", "scale", "layer_decay"):
            self._check(name, getattr(self, name), "at most 1", 0 <= getattr(self, name) <= 1)
        if not all(isinstance(name, str) for name in self.freeze):
            raise TrainingError(f"freeze is a list of names of modules; got {excerpt(list(self.freeze))}")
        if self.aa > 30:
            raise TrainingError(f"aa is RandAugment's magnitude, 1 to 30, or 0 for none; got {excerpt(self.aa)}")
        if self.seed >= 2**63:
            raise TrainingError(f"seed is below 2^63; got {excerpt(self.seed)}")

    @staticmethod
    def _check(name: str, value: float, allowed: str, good: bool) -> None:
        # Not with `math.isfinite`, which a very long number breaks.
        if not abs(value) <= LARGEST or not good:
            raise TrainingError(f"{name} is a number {allowed}; got {excerpt(value)}")

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values; `from_dict` is the inverse."""
        return dataclasses.asdict(self) | {"freeze": list(self.freeze)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a recipe with these settings, and defaults for all others.

        Raises:
            TrainingError: A setting has a value of the wrong type.
            UnknownName: There is no such setting.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise unknown("setting of a recipe", name, known)
            expected = type(known[name].default)
            valid = isinstance(value, list | tuple) if expected is tuple else isinstance(value, expected)
            if not valid and not (expected is float and type(value) is int):
                raise TrainingError(
                    f"{name} is of type {expected.__name__}, as {known[name].default!r}; got {excerpt(value)}"
                )
        settings: dict[str, Any] = {name: tuple(value) if name == "freeze" else value for name, value in data.items()}
        return cls(**settings)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML file.

    Raises:
        TrainingError: The file cannot be read, or is not TOML.
    """
    try:
        return read_toml(path)
    except (OSError, SchemaError) as error:
        raise TrainingError(f"{path} cannot be read as settings ({reason(error)})") from None
