"""Maps that are products: which factor makes one blank."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def blank_factors(factors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return a note for each factor that is 0 everywhere; `factors` says for each what it is."""
    return tuple(f"{name} is blank" for name, factor in factors.items() if not bool(factor.any()))
