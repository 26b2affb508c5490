"""Make the records of explanations from what probes find."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.net import Net
from convatlas.probes.attribution import Attribution
from convatlas.probes.gallery.gallery import Exhibition, Gallery
from convatlas.probes.photos import shown, view_of
from convatlas.probes.placement import even_grid, input_grid, traced_grid
from convatlas.probes.probe import Finding, Probe, settings
from convatlas.probes.subject import Subject
from convatlas.weights.user_weights import lineage_of


def attribution_of(
    subject: Subject,
    probe: Probe,
    finding: Finding,
    number: int,
    pixels: NDArray[np.uint8] | None,
    background: object,
    engine: str,
    precision: str,
    agreement: float | None,
) -> Attribution:
    """Return the record of a map, placed on the input and on the photo.

    Raises:
        ConvAtlasError: The map holds numbers that are not finite.
    """
    net = subject.net
    values = finding.values.detach().cpu().numpy()
    cells, size = (values.shape[-2], values.shape[-1]), subject.size
    notes = finding.notes
    grid = input_grid(size) if finding.layer is None and cells == size else even_grid(cells, size)
    if finding.layer is not None:
        traced = traced_grid(net, tuple(subject.x.shape[1:]), finding.layer, cells)
        grid = traced or grid
        if traced is None:
            notes = (*notes, f"where {finding.layer} looks cannot be followed: its cells are spread evenly")
    lineage = lineage_of(net)
    known = pixels is not None and lineage is not None
    if not np.isfinite(values).all():
        raise ConvAtlasError(f"{probe.name} found numbers that are not finite")
    if probe.needs != "nothing" and subject.mixed:
        notes = (*notes, "the net mixes the photos of a batch: each was computed alone")
    notes = (*notes, *_coarse(subject))
    if not values.any():
        notes = (*notes, "the map is blank: every value is 0")
    elif values.max() <= 0:
        notes = (*notes, "no value is positive: nothing speaks for the target")
    return Attribution(
        **_origin(subject, probe, number, precision),
        score=float(subject.own_scores[number]),
        background=background if isinstance(background, str) else "an input of the caller",
        background_score=float(subject.background_scores[number]) if "background_scores" in vars(subject) else None,
        layer=finding.layer,
        values=values,
        reduction=finding.reduction,
        grid=grid,
        size=size,
        residual=finding.residual,
        ledger=finding.ledger,
        condition=finding.condition,
        standard_error=None if finding.standard_error is None else finding.standard_error.detach().cpu().numpy(),
        coverage=finding.coverage,
        engine=engine if subject.session is not None else "eager",
        agreement=agreement,
        notes=notes,
        image_recovery=probe.image_recovery,
        view=view_of(net, pixels),
        photo=pixels if known else None,
        shown=shown(subject.x[0], net),
    )


def gallery_of(subject: Subject, probe: Probe, exhibition: Exhibition, number: int, precision: str) -> Gallery:
    """Return the record of pictures."""
    return Gallery(
        **_origin(subject, probe, number, precision),
        layer=exhibition.layer,
        exhibits=exhibition.exhibits,
        numbers=exhibition.numbers,
        arrays=exhibition.arrays,
        notes=(*exhibition.notes, *_coarse(subject)),
    )


def _origin(subject: Subject, probe: Probe, number: int, precision: str) -> dict[str, Any]:
    """Fields that all records of explanations share: what was explained, by which probe, and what it cost."""
    net, target, certificate = subject.net, subject.targets[number], subject.certificate
    lineage = lineage_of(net)
    return {
        "probe": probe.name,
        "settings": settings(probe),
        "net": net.card.name if isinstance(net, Net) else type(net).__name__ if lineage is None else lineage.net,
        "weights": "" if lineage is None else lineage.name,
        "target": target.name,
        "index": target.index,
        "seed": subject.seed,
        "forwards": subject.forwards,
        "backwards": subject.backwards,
        "derivative": None if certificate is None else certificate.difference,
        "precision": precision,
    }


def _coarse(subject: Subject) -> tuple[str, ...]:
    """Return the note on a gradient that was not checked in float64, if it was not."""
    note = None if subject.certificate is None else subject.certificate.note
    return () if note is None else (note,)
