"""Command `train`."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

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

Whole = int | None
Number = float | None


def command(
    net: AnyNet,
    data: Annotated[
        str, typer.Option(help="mnist, fashion_mnist, a folder with a folder for each class, or a CSV file.")
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
    epochs: Annotated[Whole, typer.Option(help="Number of epochs.")] = None,
    batch_size: Annotated[Whole, typer.Option("-b", "--batch-size", help="Photos per step.")] = None,
    opt: Annotated[str | None, typer.Option(help="Optimizer: sgd, nesterov or adamw.")] = None,
    lr: Annotated[Number, typer.Option(help="Largest learning rate.")] = None,
    momentum: Annotated[Number, typer.Option(help="Momentum of the optimizer.")] = None,
    weight_decay: Annotated[Number, typer.Option(help="Weight decay; norms and biases have none.")] = None,
    sched: Annotated[
        str | None, typer.Option(help="Schedule of the learning rate: constant, cosine, onecycle or step.")
    ] = None,
    warmup_epochs: Annotated[Number, typer.Option(help="Epochs in which the learning rate grows from 0.")] = None,
    min_lr: Annotated[Number, typer.Option(help="Learning rate at which the cosine schedule ends.")] = None,
    decay_epochs: Annotated[Number, typer.Option(help="Epochs between two decays, for --sched step.")] = None,
    decay_rate: Annotated[Number, typer.Option(help="Factor of each decay, for --sched step.")] = None,
    layer_decay: Annotated[
        Number, typer.Option(help="Learning rate of each stage, relative to the next stage's.")
    ] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="Stages or modules to freeze: stem,block1.*")] = None,
    clip_grad: Annotated[Number, typer.Option(help="Largest norm of the gradient.")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss: auto, cross_entropy, mse, map or net.")] = None,
    smoothing: Annotated[Number, typer.Option(help="Label smoothing.")] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="balanced: every class counts the same, however few photos it has.")
    ] = None,
    mixup: Annotated[Number, typer.Option(help="Alpha of mixup.")] = None,
    cutmix: Annotated[Number, typer.Option(help="Alpha of cutmix.")] = None,
    aa: Annotated[Whole, typer.Option(help="Magnitude of RandAugment, 1 to 30.")] = None,
    distort: Annotated[Number, typer.Option(help="Strength of affine distortions of digits; 1 is strong.")] = None,
    deslant: Annotated[bool | None, typer.Option("--deslant", help="Deslant digits.")] = None,
    hflip: Annotated[Number, typer.Option(help="Probability of a horizontal flip.")] = None,
    scale: Annotated[Number, typer.Option(help="Smallest share of a photo that a random crop keeps.")] = None,
    model_ema: Annotated[Number, typer.Option(help="Decay of the moving average of the weights.")] = None,
    amp: Annotated[str | None, typer.Option(help="Mixed precision: bfloat16 or float16.")] = None,
    channels_last: Annotated[
        bool | None,
        typer.Option("--channels-last/--no-channels-last", help="Memory format channels last; faster on a CPU."),
    ] = None,
    torchcompile: Annotated[bool | None, typer.Option("--torchcompile", help="Compile the net and the loss.")] = None,
    val_split: Annotated[
        Number, typer.Option(help="Share of the training photos held out to choose the best epoch.")
    ] = None,
    patience: Annotated[Whole, typer.Option(help="Epochs without improvement after which training stops.")] = None,
    checkpoint_steps: Annotated[Whole, typer.Option(help="Steps between checkpoints within an epoch.")] = None,
    seed: Annotated[Whole, typer.Option(help="Seed of weights, order, augmentation and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Train a net; --resume continues a run bit-identically. For several processes: torchrun -m convatlas."""
    freeze = parse_list(freeze)
    options = dict(locals())
    from convatlas.training.distributed import is_main_process
    from convatlas.training.recipe import Recipe, read_settings
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
