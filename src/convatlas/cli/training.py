"""The commands that train."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from convatlas.cli.app import app
from convatlas.cli.options import Csv, Device, Genes, Json, Markdown, SizeOption, WeightsOption, genes_of, size_of
from convatlas.cli.terminal import complain, one_format, show_table, watched

Whole = int | None
Number = float | None


@app.command()
def train(
    net: Annotated[str, typer.Argument(help="A net of the atlas, or your own as package.module:callable.")],
    data: Annotated[str, typer.Option(help="mnist, fashion_mnist, a folder of folders of classes, or a CSV file.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="Folder of the run; runs/NET-DATA.")] = None,
    config: Annotated[str | None, typer.Option(help="A TOML file of settings; options go before it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the folder's run was stopped.")] = False,
    weights: WeightsOption = None,
    gene: Genes = None,
    size: SizeOption = None,
    workers: Annotated[int, typer.Option("-j", "--workers", help="Processes that read photos ahead.")] = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write for TensorBoard too.")] = False,
    device: Device = "auto",
    epochs: Annotated[Whole, typer.Option(help="How often each photo is shown.")] = None,
    batch_size: Annotated[Whole, typer.Option("-b", "--batch-size", help="Photos a step.")] = None,
    opt: Annotated[str | None, typer.Option(help="sgd, nesterov or adamw.")] = None,
    lr: Annotated[Number, typer.Option(help="The largest learning rate.")] = None,
    momentum: Annotated[Number, typer.Option(help="Of the gradient.")] = None,
    weight_decay: Annotated[Number, typer.Option(help="Of weights, not of norms and biases.")] = None,
    sched: Annotated[str | None, typer.Option(help="constant, cosine, onecycle or step.")] = None,
    warmup_epochs: Annotated[Number, typer.Option(help="In which the rate grows from 0.")] = None,
    min_lr: Annotated[Number, typer.Option(help="Where the cosine ends.")] = None,
    decay_epochs: Annotated[Number, typer.Option(help="For --sched step.")] = None,
    decay_rate: Annotated[Number, typer.Option(help="For --sched step.")] = None,
    layer_decay: Annotated[Number, typer.Option(help="Each stage's rate is the next one's times this.")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="A stage or module, as stem or block1.*; again.")] = None,
    clip_grad: Annotated[Number, typer.Option(help="The gradient's largest norm.")] = None,
    loss: Annotated[str | None, typer.Option(help="auto, cross_entropy, mse, map or net.")] = None,
    smoothing: Annotated[Number, typer.Option(help="Share of the target that all classes get alike.")] = None,
    class_weights: Annotated[str | None, typer.Option(help="balanced: each class counts alike.")] = None,
    mixup: Annotated[Number, typer.Option(help="Alpha of mixup.")] = None,
    cutmix: Annotated[Number, typer.Option(help="Alpha of cutmix.")] = None,
    aa: Annotated[Whole, typer.Option(help="Magnitude of RandAugment, 1 to 30.")] = None,
    distort: Annotated[Number, typer.Option(help="Distort digits; 1 is far.")] = None,
    deslant: Annotated[bool | None, typer.Option("--deslant", help="Set digits upright.")] = None,
    hflip: Annotated[Number, typer.Option(help="Probability that a photo is mirrored.")] = None,
    scale: Annotated[Number, typer.Option(help="The smallest share of a photo that is cut out.")] = None,
    model_ema: Annotated[Number, typer.Option(help="Decay of the running mean of the weights.")] = None,
    amp: Annotated[str | None, typer.Option(help="bfloat16 or float16.")] = None,
    channels_last: Annotated[
        bool | None, typer.Option("--channels-last/--no-channels-last", help="Channels innermost; faster on a CPU.")
    ] = None,
    torchcompile: Annotated[bool | None, typer.Option("--torchcompile", help="Compile net and loss.")] = None,
    val_split: Annotated[Number, typer.Option(help="Share of photos held out to choose the epoch.")] = None,
    patience: Annotated[Whole, typer.Option(help="Stop after so many epochs without a better one.")] = None,
    checkpoint_steps: Annotated[Whole, typer.Option(help="A checkpoint after so many steps too.")] = None,
    seed: Annotated[Whole, typer.Option(help="Of weights, order, augmentation and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Train a net; --resume goes on, to the same bits, where it was stopped. Many processes: torchrun -m convatlas."""
    given = dict(locals())
    from convatlas.training.distributed import is_main_process
    from convatlas.training.recipe import Recipe, read_settings
    from convatlas.training.train import output_folder
    from convatlas.training.train import train as trained

    settings = read_settings(config) if config else {}
    settings |= {field.name: given[field.name] for field in fields(Recipe) if given[field.name] not in (None, [])}
    folder = output_folder(net, data, output)
    if resume and is_main_process() and not (folder / "run.json").exists():
        complain(f"{folder} holds no run to resume: it begins there")
    steps = trained.steps(
        net,
        data,
        recipe=settings,
        output=output,
        weights=weights,
        genes=genes_of(gene),
        size=size_of(size),
        resume=resume,
        device=device,
        workers=workers,
        tensorboard=tensorboard,
    )
    found = watched(steps, "training")
    if is_main_process():
        print(found.to_json() if as_json else found)


@app.command()
def reproduce(
    study: Annotated[
        str | None, typer.Argument(help="Name of the study, as errors; by default all are listed.")
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Folder of all runs; runs/STUDY.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the training, one seed.")] = False,
    seeds: Annotated[Whole, typer.Option(help="Runs of each kind; 1 if quick.")] = None,
    row: Annotated[list[str] | None, typer.Option(help="Only this row, as lenet5-error; repeatable.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Runs at a time.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads of each run.")] = 1,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Reproduce a published experiment; interrupted runs are resumed."""
    one_format(as_json, markdown, csv)
    from convatlas.studies.reproduce import reproduce as reproduced
    from convatlas.studies.study import study_table

    if study is None:
        show_table(study_table(), as_json, markdown, csv)
        return
    runs = reproduced.steps(study, output, quick=quick, seeds=seeds, rows=row or [], jobs=jobs, threads=threads)
    result = watched(runs, "reproducing")
    if as_json:
        print(result.to_json())
    else:
        show_table(result.table(), False, markdown, csv)
