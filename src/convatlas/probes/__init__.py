"""Section V: probes, which explain what a net saw in a photo."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.probes.attribution import Attribution as Attribution
    from convatlas.probes.probe import Probe as Probe
    from convatlas.probes.targets import Contrast as Contrast
    from convatlas.probes.targets import Logit as Logit
    from convatlas.probes.targets import Probability as Probability
    from convatlas.probes.targets import Target as Target
else:
    __all__, __getattr__, __dir__ = exports(
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
