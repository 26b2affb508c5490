"""Nets of the atlas, each measured once for all tests that only look at it."""

from __future__ import annotations

from functools import cache

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy


@cache
def measured(name: str) -> Anatomy:
    return ca.measure(name)
