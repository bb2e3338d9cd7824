"""Chi-square: the familiar number for a table of counts. For display and for large counts; verdicts use ``spread``."""

from __future__ import annotations

import math
from collections.abc import Mapping

_STEPS = 100_000
_PRECISION = 1e-16
_TINY = 1e-300


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) for a chi-square variable (the survival function).

    Raises:
        ValueError: fewer than one degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom")
    if statistic <= 0:
        return 1.0
    return _upper_gamma(freedom / 2, statistic / 2)


def chi_square_statistic(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """Pearson's statistic of counts against weights (any scale); infinite where a weight of zero was counted.

    Raises:
        ValueError: as for ``shares``.
    """
    expected = shares(counts, weights)
    n = sum(counts.values())
    statistic = 0.0
    for name, share in expected.items():
        seen = counts.get(name, 0)
        if share:
            statistic += (seen - n * share) ** 2 / (n * share) if n else 0.0
        elif seen:
            return math.inf
    return statistic


def goodness_of_fit(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """The p-value of Pearson's test that counts follow weights.

    An approximation: good to a few percent near p = 0.01 when every expected count is above 5, and off by factors in
    the far tail (p < 1e-4) unless they are in the hundreds. Do not accuse by it.

    Raises:
        ValueError: as for ``shares``.
    """
    freedom = sum(1 for share in shares(counts, weights).values() if share) - 1
    statistic = chi_square_statistic(counts, weights)
    if math.isinf(statistic):
        return 0.0
    return chi_square_tail(statistic, freedom) if freedom else 1.0


def shares(counts: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as shares that add up to 1.

    Raises:
        ValueError: a negative count or weight, no positive weight, or a counted name without a weight.
    """
    unknown = sorted(set(counts) - set(weights))
    if unknown:
        raise ValueError(f"counted, but without a weight: {', '.join(unknown)}")
    if any(count < 0 for count in counts.values()):
        raise ValueError("a count is negative")
    if any(not (weight >= 0 and math.isfinite(weight)) for weight in weights.values()):
        raise ValueError("a weight is negative or no number")
    total = math.fsum(weights.values())
    if total <= 0:
        raise ValueError("no weight is positive")
    return {name: weight / total for name, weight in weights.items()}


def _upper_gamma(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x)."""
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, _STEPS):
            term *= x / (a + step)
            total += term
            if term < total * _PRECISION:
                break
        return max(0.0, 1 - front * total)
    # Lentz's continued fraction.
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    fraction = d
    for step in range(1, _STEPS):
        numerator = -step * (step - a)
        b += 2
        d = numerator * d + b
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = b + numerator / c
        c = c if abs(c) > _TINY else _TINY
        fraction *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return min(1.0, front * fraction)
