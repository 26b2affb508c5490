"""All probes, known by listing the folders of the families."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.checks import check_types
from convatlas.probes.probe import Probe

FAMILIES = (
    "perturbation",
    "gradient",
    "relevance",
    "recovery",
    "cam",
    "activation",
    "concept",
    "detector",
    "capsule",
    "controls",
)
"""Folders of the families, in the order of the documentation."""


@cache
def modules() -> dict[str, str]:
    """Module of each probe by the probe's name, without importing any."""
    here = Path(__file__).parent
    return {
        module.name: f"convatlas.probes.{family}.{module.name}"
        for family in FAMILIES
        for module in pkgutil.iter_modules([str(here / family)])
        if not module.name.startswith("_")
    }


def probe_type(name: str) -> type[Probe]:
    """The class of a probe.

    Raises:
        UnknownName: No probe has this name.
    """
    key = name.lower().replace("-", "_").replace(" ", "_")
    if key not in modules():
        raise unknown("probe", name, modules())
    kind: type[Probe] = importlib.import_module(modules()[key]).PROBE
    return kind


def as_probe(probe: object) -> Probe:
    """The probe that a name or a settings object stands for.

    Raises:
        UnknownName: No probe has this name.
        ConvAtlasError: It is neither, or a setting is of another type than its own.
    """
    if isinstance(probe, Probe):
        check_types(probe)
        return probe
    if isinstance(probe, type) and issubclass(probe, Probe):
        return probe()
    if not isinstance(probe, str):
        raise ConvAtlasError(f"a probe is a name or a settings object such as Rise(masks=4000), not {probe!r:.60}")
    return probe_type(probe)()


def all_probes() -> dict[str, Probe]:
    """All probes with their default settings, by name, in the order of the families."""
    return {name: probe_type(name)() for name in modules()}
