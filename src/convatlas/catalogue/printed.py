"""Numbers as publications print them."""

from __future__ import annotations

import math
import re

from convatlas.base.errors import ConvAtlasError

UNITS = {"": 1.0, "%": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, " Bn": 1e9}

NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?:(?:e|×10\^)(\d+))?([%KMB]?| Bn)", re.ASCII)


def parse_figure(printed: str) -> float:
    """Parse a printed figure: "22.9M" is 22.9e6, "60,000" is 6e4, "3.8×10^9" and "3.8e9" are 3.8e9.

    Percentages stay in percent ("79.0%" is 79.0); a dash, which means that nothing was printed, gives nan.

    Raises:
        ConvAtlasError: The text is not a figure.
    """
    text = printed.strip()
    if text == "-":
        return math.nan
    match = NUMBER.fullmatch(text)
    if match is None:
        raise ConvAtlasError(f"{printed!r} is not a figure; figures look like 25.6M, 79.0%, 3.8e9, 109.42 or -")
    digits, exponent, unit = match.groups()
    return float(f"{digits.replace(',', '')}e{exponent or 0}") * UNITS[unit]
