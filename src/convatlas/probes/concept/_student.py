"""Student's t-test of two samples whose variances differ (Welch)."""

from __future__ import annotations

import numpy as np


def p_value(first: list[float], second: list[float]) -> float:
    """Two-sided probability that two samples of one mean are as far apart as these."""
    a, b = np.asarray(first), np.asarray(second)
    u, v = (float(each.var(ddof=1)) / len(each) for each in (a, b))
    distance = float(a.mean() - b.mean())
    if u + v == 0:
        return 1.0 if distance == 0 else 0.0
    freedom = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    return two_sided(abs(distance) / (u + v) ** 0.5, freedom)


def two_sided(t: float, freedom: float) -> float:
    """P(|T| ≥ t) for Student's t distribution with any number of degrees of freedom.

    With t = √ν tan θ, its density is proportional to cos^(ν−1) θ, which is integrated by Gauss's rule.
    """
    start = np.arctan(t / np.sqrt(freedom))

    def integral(low: float, high: float) -> float:
        nodes, weights = np.polynomial.legendre.leggauss(128)
        angles = (high - low) / 2 * nodes + (high + low) / 2
        return float((high - low) / 2 * (weights * np.cos(angles) ** (freedom - 1)).sum())

    tail, body = integral(start, np.pi / 2), integral(0.0, start)
    return tail / (tail + body)
