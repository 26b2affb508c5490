"""Explain what a net saw in a photo."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, first_line
from convatlas.base.terminal.arguments import argument
from convatlas.base.untouched import evaluating, same_buffers, same_random_state
from convatlas.base.verbs import Steps, verb
from convatlas.engines.accelerated_net import AcceleratedNet
from convatlas.probes.attribution import Attribution
from convatlas.probes.backgrounds import background_of
from convatlas.probes.certificate import Imprecise
from convatlas.probes.checks import check_whole
from convatlas.probes.explaining.opened import open_net, placed, session_for
from convatlas.probes.explaining.records import attribution_of, gallery_of
from convatlas.probes.gallery.gallery import Exhibition
from convatlas.probes.layers import ALL, LAST, layer_named, named_maps, several_layers
from convatlas.probes.photos import Image, concepts_of, input_of, view_of
from convatlas.probes.placement import traced_grids
from convatlas.probes.probe import Probe
from convatlas.probes.registry import as_probe
from convatlas.probes.subject import MEMORY, ForwardPass, Subject
from convatlas.probes.tape.doubled import doubled
from convatlas.probes.targets import targets_of
from convatlas.weights.user_weights import lineage_of


@verb
def explain(
    net: str | nn.Module | AcceleratedNet,
    image: Image,
    probe: object = "grad_cam",
    target: object = None,
    *,
    layer: str | int | list[str | int] | None = None,
    background: object = "mean",
    concepts: Mapping[str, str | Path | Sequence[Any]] | None = None,
    weights: str | None = None,
    seed: int = 0,
    engine: str | None = None,
    precision: str = "float32",
    device: str = "auto",
    memory: int = MEMORY,
) -> Steps[Attribution | list[Attribution]]:
    """Explain a net's score for a photo by one probe or several.

    Args:
        net: A net's name, any module that takes photos (N, C, h, w), or a net in an engine, as `accelerate` returns it,
            which computes the scores of black-box probes then.
        image: A photo (path, bytes, array or PIL image) for a net that knows its preprocessing; or the net's input as a
            tensor, (C, h, w) or (1, C, h, w). It is never written to.
        probe: Name of a probe, a settings object such as `Rise(masks=4000)`, or a list of them.
        target: A class by number or name, "top" (default), `Logit`, `Probability`, `Contrast`, a text like
            "probability:tabby" or "contrast:tabby/tiger cat", or a function of the net's output that returns (N,). For
            a detector a class (its best box), `Box`, or a text like "box:0", the best box, or "box:0/dog". A list of
            targets shares one set of perturbations.
        layer: Name or number of a layer with maps, for probes that explain at one; by default the last one. A list of
            these, or "all" for every layer with maps, shares one forward pass; layers that return the same maps, as a
            block and its last layer, are one of them.
        background: "black", "mean" (the photo's average colour), "blur", "noise", another photo, or an input tensor.
        concepts: Photos of each concept by its name, for the probes that compare with concepts: a folder, or a list of
            photos or inputs, or of pairs of one and its mask (an array of the photo's size). "photos" are those that
            probes search for patches and concepts, "random" those that stand for no concept.
        weights: Weights of a net by its name, as in `load`; "none" for random ones.
        seed: Seed of everything random.
        engine: Engine that computes the scores of black-box probes, as in `accelerate`; by default one for which these
            weights were exported before, else eager mode.
        precision: "float32", "float64" (eager mode), or "bfloat16" (engines only; `agreement` is measured).
        device: "auto", "cpu", "cuda" or "mps".
        memory: Bytes that perturbed inputs may take at a time, with all that the net computes for them if gradients or
            what follows a layer are asked for.

    Returns:
        One `Attribution` (or, for probes that show something else, a `Gallery`). A list of probes gives a list with
        one entry each; several layers make each entry a list, and a list of targets makes a list of what would be one
        `Attribution`: `result[probe][layer][target]` if there are several of each.

    Raises:
        UnknownName: There is no such net, probe, class, layer or background.
        ConvAtlasError: The probe cannot be certified for this net; the text names the operation, and another probe.
        ImageError: The photo cannot be read.
    """
    probes = [as_probe(each) for each in probe] if isinstance(probe, list) else [as_probe(probe)]
    if not probes:
        raise ConvAtlasError("no probe is given")
    _check_layers(layer, probes)
    check_whole("seed", seed, 0, 2**63 - 1)
    check_whole("memory", memory, 1, 2**63 - 1)
    module, session, engine, precision, agreement, taken = open_net(net, weights, engine, precision, device)
    place = device_of("cpu" if session is not None else device)
    with evaluating(module), same_buffers(module), same_random_state():
        x, pixels = input_of(module, image)
        module, x = placed(module, x, place, precision)
        size, view = (x.shape[2], x.shape[3]), view_of(module, pixels)
        forward = ForwardPass(module, x, lambda output: targets_of(target, module, output, size, view))
        _run(forward, probes)
        forward.check_settled()
        prepare = _preparer(module)
        empty = background_of(background, pixels, x, prepare, seed)
        photos, masks = concepts_of(module, concepts, x)
        shared = Subject(
            net=module,
            x=x,
            targets=forward.targets,
            background=empty,
            concepts=photos,
            masks=masks,
            seed=seed,
            memory=memory,
            forward_pass=forward,
            coarse=precision == "bfloat16",
        )
        layers = _layers(layer, forward, probes)
        count = len(probes) * len(layers)
        results: list[Any] = []
        for number, (each, chosen_layer) in enumerate(product(probes, layers)):
            chosen = replace(shared, layer=chosen_layer)
            subject = chosen.with_session(session_for(each, session, chosen, engine, taken))
            try:
                findings = yield from _attributed(each, subject, number, count)
            except Imprecise as imprecise:
                # Sums of large numbers of both signs may be too coarse for the net's own precision.
                if subject.x.dtype == torch.float64:
                    raise
                subject = _in_float64(subject)
                try:
                    findings = yield from _attributed(each, subject, number, count)
                except (RuntimeError, TypeError):
                    # The net holds tensors or casts that only fit its own precision.
                    raise imprecise from None
            in_engine = subject.session is not None
            used = precision if in_engine else "float64" if subject.x.dtype == torch.float64 else "float32"
            made = [
                gallery_of(subject, each, finding, k, used)
                if isinstance(finding, Exhibition)
                else attribution_of(
                    subject, each, finding, k, pixels, background, engine, used, agreement if in_engine else None
                )
                for k, finding in enumerate(findings)
            ]
            results.append(made if isinstance(target, list) else made[0])
    if several_layers(layer):
        results = [results[start : start + len(layers)] for start in range(0, count, len(layers))]
    yield 1000 * count, 1000 * count, results if isinstance(probe, list) else results[0]


def _check_layers(layer: object, probes: Sequence[Probe]) -> None:
    """Refuse several layers for a probe that explains at none, and a layer that no probe would look at.

    Raises:
        ConvAtlasError: There is such a probe, or the list is empty.
    """
    if isinstance(layer, list) and not layer:
        raise ConvAtlasError('no layer is given: pass names or numbers of layers, or "all"')
    other = next((each for each in probes if not each.spatial), None)
    if several_layers(layer) and other is not None:
        raise ConvAtlasError(f"{other.name} explains at no layer: several layers are for probes such as grad_cam")
    # Capsules have layers of their own.
    if layer in (None, LAST) or any(each.spatial or each.family == "capsule" for each in probes):
        return
    assert other is not None
    raise ConvAtlasError(f"{other.name} explains at no layer: leave out {argument('layer')}, or use grad_cam")


def _layers(
    layer: str | int | list[str | int] | None, forward: ForwardPass, probes: Sequence[Probe]
) -> Sequence[str | int | None]:
    """The layers to explain at, one after the other; where their maps lie is found by one trace of the net.

    Raises:
        UnknownName: There is no such layer.
        ConvAtlasError: One of them outputs no maps.
    """
    if isinstance(layer, list):
        # Capsules have layers of their own, which are no maps.
        if any(probe.family == "capsule" for probe in probes):
            return layer
        named = [layer_named(forward.tape, each) for each in layer]
    elif layer == ALL:
        named = [(name, index) for index, name in named_maps(forward.tape).items()]
        layer = [name for name, _ in named] or [LAST]
    else:
        return [layer]
    shapes = [(name, forward.tape.values[index].shape) for name, index in named]
    traced_grids(forward.net, tuple(forward.x.shape[1:]), {name: (shape[2], shape[3]) for name, shape in shapes})
    return layer


def _attributed(
    probe: Probe, subject: Subject, number: int, count: int
) -> Generator[tuple[int, int, Any], None, Sequence[Any]]:
    """Yield the progress of one of several probes, and return what it finds."""
    # The photo's own score is asked for by every probe, and costs none of its forwards.
    subject.check_finite()
    subject.forwards = 0
    results = yield from _findings(probe, subject, number, count)
    if "place" not in vars(subject) or probe.pictures or len(subject.targets) == 1:
        return results
    # The probe looked at one layer for all targets, but a box belongs to one of a detector's heads.
    places, used = [subject.place_of(k) for k in range(len(subject.targets))], subject.place
    for place in dict.fromkeys(places):
        if place != used:
            subject.place = place
            others = yield from _findings(probe, subject, number, count)
            results = [other if at == place else own for own, other, at in zip(results, others, places, strict=True)]
    return results


def _findings(
    probe: Probe, subject: Subject, number: int, count: int
) -> Generator[tuple[int, int, Any], None, Sequence[Any]]:
    for done, total, findings in probe.attribute(subject):
        if findings is not None:
            return findings
        yield int(1000 * (number + done / max(total, 1))), 1000 * count, None
    raise AssertionError(f"{probe.name} found nothing")


def _in_float64(subject: Subject) -> Subject:
    """Return the subject in float64."""
    tensors = {name: photos.double() for name, photos in subject.concepts.items()}
    return replace(
        subject,
        net=doubled(subject.net),
        x=subject.x.double(),
        background=subject.background.double(),
        concepts=tensors,
        session=None,
        forwards=0,
        backwards=0,
        certificate=None,
        forward_pass=None,
    )


def _run(forward: ForwardPass, probes: Sequence[Probe]) -> None:
    """Run the net on the photo, in the way in which the probes will ask about it, and choose the targets.

    Raises:
        ConvAtlasError: The net does not run, or has no such targets.
    """
    try:
        inside = [each for each in probes if each.needs in ("gradients", "relevance")]
        if any(each.tape for each in inside):
            _ = forward.tape
        elif inside:
            forward.try_autograd()
        _ = forward.scores
    except ConvAtlasError:
        raise
    # The user's own code may raise anything.
    except Exception:
        _check_runs(forward.net, forward.x)
        raise


def _check_runs(net: nn.Module, x: Tensor) -> None:
    try:
        with torch.inference_mode():
            net(x.clone())
    except Exception as error:
        raise ConvAtlasError(
            f"the net does not run on an input of the shape {tuple(x.shape)}: {first_line(error)}"
        ) from error


def _preparer(module: nn.Module) -> Any:
    return None if lineage_of(module) is None else lambda pixels: input_of(module, pixels)[0]
