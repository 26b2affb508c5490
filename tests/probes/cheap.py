"""The smallest budgets with which each probe still does all that it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from convatlas.probes.probe import Probe
from convatlas.probes.registry import all_probes

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "occlusion": {"window": 16, "stride": 16},
    "prediction_difference": {"window": 16, "stride": 16, "samples": 2},
    "rise": {"masks": 8},
    "lime": {"players": 8, "samples": 32},
    "shapley": {"players": 6, "budget": 32},
    "sobol": {"cells": 2, "design": 4},
    "wavelet_attribution": {"levels": 1, "cells": 1, "design": 4},
    "hsic": {"cells": 3, "masks": 16},
    "meaningful_perturbation": {"steps": 3},
    "extremal_perturbation": {"areas": (0.2,), "steps": 3},
    "expected_gradients": {"samples": 2},
    "integrated_gradients": {"steps": 32, "tolerance": 0.5},
    "smooth_grad": {"samples": 2},
    "square_grad": {"samples": 2},
    "var_grad": {"samples": 2},
    "libra_grad": {},
    "smooth_grad_cam_plus_plus": {"samples": 2},
    "is_cam": {"steps": 1},
    "ss_cam": {"samples": 1},
    "deep_lift_shap": {"samples": 1},
    "fem": {"deviations": 1.0},
    "craft": {"factors": 3, "crop": 0.6, "designs": 8, "examples": 2},
    "capsule_ablation": {"unit": "place"},
    "maximal_patches": {"channels": 2, "patches": 2},
    "relevant_patches": {"channels": 2, "patches": 2},
    "pose_sweep": {"step": 0.25},
    "d_rise": {"masks": 8, "cells": 4},
    "tcav": {"runs": 4},
}
"""Settings by the name of the probe; those of all others are the defaults."""

BY_FIELD: Mapping[str, Any] = {"samples": 2, "steps": 4, "iterations": 4, "masks": 8}
"""Settings of probes without a row, by the name of the setting."""

EARLY = frozenset(["ablation_cam", "score_cam", "is_cam", "ss_cam", "shapley_cam"])
"""Probes that ask the net once for each channel: they explain at the first layer, which has the fewest."""


def cheap(name: str) -> Probe:
    """A probe with its smallest budget."""
    probe = all_probes()[name]
    names = {field.name for field in fields(probe)}
    chosen = SETTINGS.get(name, {key: value for key, value in BY_FIELD.items() if key in names})
    return replace(probe, **chosen)


def layer_for(probe: str) -> int | None:
    """The layer at which a probe explains; None for its own choice."""
    return 1 if probe in EARLY else None
