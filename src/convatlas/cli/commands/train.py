"""Command `train`."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from convatlas.cli.options import (
    AnyNet,
    Convention,
    Device,
    Genes,
    Json,
    Size,
    Weights,
    Workers,
    parse_genes,
    parse_list,
    parse_size,
)
from convatlas.cli.terminal import print_error, run_steps
from convatlas.training.recipe import Recipe

Whole = int | None
Number = float | None


def _setting(name: str, text: str, *flags: str) -> Any:
    """Return the option for a setting of the recipe; its help says the default, unless it is off."""
    default = getattr(Recipe, name)
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default not in (0, "none"):
        text = f"{text.removesuffix('.')}; by default {default}."
    return typer.Option(*flags, help=text)


def command(
    net: AnyNet,
    data: Annotated[
        str,
        typer.Option(
            help="mnist, fashion_mnist, a folder with a folder for each class, or a CSV file; for detectors a JSON "
            "file of COCO's format, or a folder with images and labels."
        ),
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder of the run; by default runs/NET-DATA.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="TOML file of settings; options override it.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in the folder; a finished one for more --epochs.")
    ] = False,
    weights: Weights = None,
    convention: Convention = None,
    genes: Genes = None,
    size: Size = None,
    workers: Workers = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write logs for TensorBoard too.")] = False,
    device: Device = "auto",
    epochs: Annotated[Whole, _setting("epochs", "Number of epochs.")] = None,
    batch_size: Annotated[Whole, _setting("batch_size", "Photos per step.", "-b", "--batch-size")] = None,
    opt: Annotated[str | None, _setting("opt", "Optimizer: sgd, nesterov or adamw.")] = None,
    lr: Annotated[Number, _setting("lr", "Largest learning rate.")] = None,
    momentum: Annotated[Number, _setting("momentum", "Momentum of the optimizer.")] = None,
    weight_decay: Annotated[Number, _setting("weight_decay", "Weight decay; not for norms and biases.")] = None,
    sched: Annotated[
        str | None, _setting("sched", "Schedule of the learning rate: constant, cosine, onecycle or step.")
    ] = None,
    warmup_epochs: Annotated[
        Number, _setting("warmup_epochs", "Epochs in which the learning rate grows from 0.")
    ] = None,
    min_lr: Annotated[Number, _setting("min_lr", "Learning rate at which the cosine schedule ends.")] = None,
    decay_epochs: Annotated[Number, _setting("decay_epochs", "Epochs between two decays, for --sched step.")] = None,
    decay_rate: Annotated[Number, _setting("decay_rate", "Factor of each decay, for --sched step.")] = None,
    layer_decay: Annotated[
        Number, _setting("layer_decay", "Learning rate of each stage, relative to the next stage's.")
    ] = None,
    freeze: Annotated[list[str] | None, _setting("freeze", "Stages or modules to freeze: stem,block1.*")] = None,
    clip_grad: Annotated[Number, _setting("clip_grad", "Largest norm of the gradient.")] = None,
    loss: Annotated[str | None, _setting("loss", "Loss: auto, cross_entropy, mse, map or net.")] = None,
    smoothing: Annotated[Number, _setting("smoothing", "Label smoothing.")] = None,
    class_weights: Annotated[
        str | None, _setting("class_weights", "balanced: every class counts the same, however few photos it has.")
    ] = None,
    mixup: Annotated[Number, _setting("mixup", "Alpha of mixup.")] = None,
    cutmix: Annotated[Number, _setting("cutmix", "Alpha of cutmix.")] = None,
    aa: Annotated[Whole, _setting("aa", "Magnitude of RandAugment, 1 to 30.")] = None,
    distort: Annotated[Number, _setting("distort", "Strength of affine distortions of digits; 1 is strong.")] = None,
    shift: Annotated[Whole, _setting("shift", "Largest random shift of digits, in pixels.")] = None,
    deslant: Annotated[bool | None, _setting("deslant", "Deslant digits.", "--deslant")] = None,
    hflip: Annotated[Number, _setting("hflip", "Probability of a horizontal flip.")] = None,
    scale: Annotated[Number, _setting("scale", "Smallest share of a photo that a random crop keeps.")] = None,
    model_ema: Annotated[Number, _setting("model_ema", "Decay of the moving average of the weights.")] = None,
    amp: Annotated[str | None, _setting("amp", "Mixed precision: bfloat16 or float16.")] = None,
    channels_last: Annotated[
        bool | None,
        _setting(
            "channels_last",
            "Memory format channels last (default); faster on a CPU.",
            "--channels-last/--no-channels-last",
        ),
    ] = None,
    torchcompile: Annotated[
        bool | None, _setting("torchcompile", "Compile the net and the loss.", "--torchcompile")
    ] = None,
    val_split: Annotated[
        Number, _setting("val_split", "Share of the training photos held out to choose the best epoch.")
    ] = None,
    patience: Annotated[Whole, _setting("patience", "Epochs without improvement after which training stops.")] = None,
    checkpoint_steps: Annotated[
        Whole, _setting("checkpoint_steps", "Steps between checkpoints within an epoch.")
    ] = None,
    seed: Annotated[Whole, _setting("seed", "Seed of weights, order, augmentation and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Train a net; --resume continues a run bit-identically. For several processes: torchrun -m convatlas."""
    freeze = parse_list(freeze)
    options = dict(locals())
    from convatlas.training.distributed import is_main_process
    from convatlas.training.recipe import read_settings
    from convatlas.training.train import output_folder, train

    settings = read_settings(config) if config else {}
    settings |= {field.name: options[field.name] for field in fields(Recipe) if options[field.name] not in (None, [])}
    folder = output_folder(net, data, output)
    if resume and is_main_process() and not (folder / "run.json").exists():
        print_error(f"{folder} has no run to resume: training starts from the beginning")
    steps = train.steps(
        net,
        data,
        recipe=settings,
        output=output,
        weights=weights,
        convention=convention,
        genes=parse_genes(genes),
        size=parse_size(size),
        resume=resume,
        device=device,
        workers=workers,
        tensorboard=tensorboard,
    )
    result = run_steps(steps, "training")
    if is_main_process():
        print(result.to_json() if as_json else result)
