"""Probes, which explain what a net saw in a photo.

The settings of each probe are here too: `from convatlas.probes import Rise`.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convatlas.base.lazy import exports

_exported: Callable[[str], Any]

if TYPE_CHECKING:
    from convatlas.probes.attribution import Attribution as Attribution
    from convatlas.probes.probe import Probe as Probe
    from convatlas.probes.targets import Contrast as Contrast
    from convatlas.probes.targets import Logit as Logit
    from convatlas.probes.targets import Probability as Probability
    from convatlas.probes.targets import Target as Target
else:
    __all__, _exported, __dir__ = exports(
        __name__,
        {
            "Attribution": "attribution",
            "Contrast": "targets",
            "Logit": "targets",
            "Probability": "targets",
            "Probe": "probe",
            "Target": "targets",
        },
    )


def __getattr__(name: str) -> Any:
    """Return what is exported, or the settings of a probe: those of `deep_lift` are `DeepLift`."""
    from convatlas.probes.registry import modules

    for probe, module in modules().items():
        if probe.replace("_", "") == name.lower() != name:
            return importlib.import_module(module).PROBE
    return _exported(name)
