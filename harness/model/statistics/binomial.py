"""The binomial distribution, to about ten digits for any n up to a million, also far out in its tails.

Single probabilities follow C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000): deviances in
place of differences of huge log-gammas. Tails are sums of them, so a small tail has the same relative accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_NEGLIGIBLE = 1e-18
_STIRLING_FROM = 16


@dataclass(frozen=True)
class Interval:
    """A closed interval of probabilities."""

    low: float
    high: float

    def __contains__(self, rate: float) -> bool:
        return self.low <= rate <= self.high


def binomial_pmf(k: int, n: int, p: float) -> float:
    """P(X = k) for X successes in n trials of probability p; 0.0 below about 1e-308.

    Raises:
        ValueError: n is negative or p is no probability.
    """
    _check(n, p)
    if not 0 <= k <= n:
        return 0.0
    if p in (0.0, 1.0):
        return 1.0 if k == n * p else 0.0
    if k == 0:
        return math.exp(n * math.log1p(-p))
    if k == n:
        return math.exp(n * math.log(p))
    deviance = _deviance(k, n * p) + _deviance(n - k, n * (1 - p))
    log = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k) - deviance
    return math.exp(log) * math.sqrt(n / (2 * math.pi * k * (n - k)))


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X successes in n trials of probability p.

    Raises:
        ValueError: n is negative or p is no probability.
    """
    _check(n, p)
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    if p in (0.0, 1.0):
        return p
    if k > n * p:
        return min(1.0, _sum(k, n, p, upwards=True))
    return max(0.0, 1.0 - _sum(k - 1, n, p, upwards=False))


def binomial_lower_tail(k: int, n: int, p: float) -> float:
    """P(X <= k) for X successes in n trials of probability p.

    Raises:
        ValueError: n is negative or p is no probability.
    """
    return binomial_tail(n - k, n, 1.0 - p) if p > 0.5 else _lower(k, n, p)


def proportion_interval(k: int, n: int, confidence: float) -> Interval:
    """The Clopper-Pearson interval of a rate of which k in n were seen: it covers the truth at least that often.

    Raises:
        ValueError: not 0 <= k <= n, or a confidence outside (0, 1).
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} of {n} is no proportion")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    side = (1 - confidence) / 2
    low = 0.0 if k == 0 else _crossing(lambda p: binomial_tail(k, n, p) > side, upper=False)
    high = 1.0 if k == n else _crossing(lambda p: binomial_lower_tail(k, n, p) <= side, upper=True)
    return Interval(low, high)


def first_rejected(n: int, p: float, alpha: float) -> int | None:
    """The smallest k with P(X >= k) < alpha, None where even k = n is that likely.

    Raises:
        ValueError: n is negative, p is no probability or alpha not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    if binomial_tail(n, n, p) >= alpha:
        return None
    low, high = -1, n  # P(X >= low) >= alpha > P(X >= high)
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_tail(middle, n, p) < alpha:
            high = middle
        else:
            low = middle
    return high


def _lower(k: int, n: int, p: float) -> float:
    _check(n, p)
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if p == 0.0:
        return 1.0
    if k < n * p:
        return min(1.0, _sum(k, n, p, upwards=False))
    return max(0.0, 1.0 - _sum(k + 1, n, p, upwards=True))


def _sum(k: int, n: int, p: float, *, upwards: bool) -> float:
    """P(X >= k) or P(X <= k) by adding up from k away from the mean, where the terms fall."""
    term = total = binomial_pmf(k, n, p)
    odds = p / (1 - p)
    while term > total * _NEGLIGIBLE:
        if upwards:
            if k == n:
                break
            term *= (n - k) / (k + 1) * odds
            k += 1
        else:
            if k == 0:
                break
            term *= k / ((n - k + 1) * odds)
            k -= 1
        total += term
    return total


def _crossing(above: Callable[[float], bool], *, upper: bool) -> float:
    """Where a monotone condition turns true between 0 and 1; ``upper`` says which end of the last bracket to give."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high) or high - low <= 1e-13 * high:
            break
        low, high = (low, middle) if above(middle) else (middle, high)
    return high if upper else low


def _stirling_error(n: int) -> float:
    """log(n!) minus Stirling's approximation of it."""
    if n < _STIRLING_FROM:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = float(n) * n
    series = 1 / 1260 - (1 / 1680 - 1 / (1188 * square)) / square
    return (1 / 12 - (1 / 360 - series / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x log(x / mean) + mean - x, without cancellation where both are close."""
    difference = x - mean
    if abs(difference) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    ratio = difference / (x + mean)
    total = difference * ratio
    term = 2 * x * ratio
    for step in range(1, 1000):
        term *= ratio * ratio
        following = total + term / (2 * step + 1)
        if following == total:
            break
        total = following
    return total


def _check(n: int, p: float) -> None:
    if n < 0:
        raise ValueError(f"{n} is no number of trials")
    if not 0 <= p <= 1:
        raise ValueError(f"{p} is no probability")
