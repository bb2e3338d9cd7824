"""Is the load spread worse than the declared weights explain?

The null is that each sample draws its backend independently by the weights. Whatever is *more even* than that (round
robin, least connections) is never rejected. Two tests share ``alpha``, half each, and both hold for every sample size:

- for each backend the exact binomial tails on both sides, Bonferroni over all of them (sees one backend out of line);
- the relative entropy of the whole table against the bound P(n·D >= e) <= exp(-e) · (e·exp(1)/(m-1))^(m-1) for m
  backends and e > m - 1 (R. Agrawal, "Finite-sample concentration of the multinomial in relative entropy", 2020),
  which sees many small departures. It stands in for chi-square, whose tail is only asymptotic and off at 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from limpet.harness.model.statistics.binomial import binomial_lower_tail, binomial_tail, first_rejected
from limpet.harness.model.statistics.chisquare import chi_square_statistic, shares


@dataclass(frozen=True)
class SpreadResult:
    """The outcome of a test of spread.

    ``statistic`` is Pearson's chi-square, for display. ``p_value`` is corrected for all tests made; below ``alpha`` the
    spread is ``worse``. ``able`` is whether any outcome of this many samples could have been. ``visible`` is the
    smallest excess over its declared share (0 … 1) for which some backend would have been rejected, None if none.
    ``backend`` is the one most out of line.
    """

    worse: bool
    able: bool
    statistic: float
    p_value: float
    alpha: float
    samples: int
    backend: str
    visible: float | None
    text: str


def spread(
    counts: Mapping[str, int],
    weights: Mapping[str, float],
    *,
    alpha: float = 1e-6,
    rotation: bool = False,
    rotators: int = 1,
) -> SpreadResult:
    """Tests whether counts are spread worse than weights explain.

    Args:
        counts: samples for each backend; one without samples may be absent. Each sample must be one fresh decision of
            the balancer (a pinned client's second request is none).
        weights: the declared weights on any scale; a backend of weight 0 must not be counted at all.
        alpha: largest acceptable probability of a false accusation.
        rotation: the balancer takes turns. It is then more even than chance as a whole, but every rotator begins at
            the same backend and may stop in mid-turn, so each count is forgiven what that can cause.
        rotators: how many rotate on their own (worker processes, restarts).

    Raises:
        ValueError: a counted backend has no weight, a number is negative, or alpha is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    declared = shares(counts, weights)
    n = sum(counts.values())
    slack = {name: _slack(weights[name], sum(weights.values())) * rotators if rotation else 0.0 for name in declared}
    tails = {name: _tail(counts.get(name, 0), n, share, slack[name]) for name, share in declared.items()}
    backend = min(tails, key=lambda name: tails[name])
    tests = 2 * len(declared)
    single = min(1.0, 2 * tests * tails[backend])
    whole = min(1.0, 2 * _entropy_bound(counts, declared, n, slack))
    p_value = min(single, whole)
    worse = p_value < alpha
    visible = _visible(n, declared, slack, alpha / (2 * tests))
    statistic = chi_square_statistic(counts, weights)
    text = (
        f"{_listing(counts, declared)} of {n}; most out of line: {backend} with {counts.get(backend, 0)} for "
        f"{n * declared[backend]:.1f} declared; chance alone gives p = {p_value:.2g}; limit {alpha:g}"
    )
    if visible is None and not worse:
        text += "; too few samples to decide"
    elif visible is not None:
        text += f"; an excess of {visible:.1%} of all samples on one backend would have shown"
    return SpreadResult(worse, worse or visible is not None, statistic, p_value, alpha, n, backend, visible, text)


def _slack(weight: float, total: float) -> float:
    """By how many samples one rotation's unfinished turn can put a backend out of line, its burst first."""
    return max(1.0, weight * (1 - weight / total))


def _tail(seen: int, n: int, share: float, slack: float) -> float:
    """The smaller of the two tails of one count, after it has been moved towards what was declared."""
    expected = n * share
    if seen > expected:
        return binomial_tail(math.ceil(max(expected, seen - slack)), n, share)
    return binomial_lower_tail(math.floor(min(expected, seen + slack)), n, share)


def _entropy_bound(
    counts: Mapping[str, int], declared: Mapping[str, float], n: int, slack: Mapping[str, float]
) -> float:
    if any(counts.get(name, 0) and not share for name, share in declared.items()):
        return 0.0
    freedom = sum(1 for share in declared.values() if share) - 1
    if not n or not freedom or any(slack.values()):
        # With slack the table as a whole cannot be moved towards its weights one by one; the tails suffice.
        return 1.0
    entropy = math.fsum(
        seen * math.log(seen / (n * share)) for name, share in declared.items() if (seen := counts.get(name, 0))
    )
    if entropy <= freedom:
        return 1.0
    return min(1.0, math.exp(-entropy + freedom * (1 + math.log(entropy / freedom))))


def _visible(n: int, declared: Mapping[str, float], slack: Mapping[str, float], limit: float) -> float | None:
    excesses: list[float] = []
    for name, share in declared.items():
        if not 0 < share < 1:
            continue
        first = first_rejected(n, share, limit)
        if first is None:
            continue
        seen = first + math.ceil(slack[name])
        if seen <= n:
            excesses.append(seen / n - share)
    return min(excesses, default=None)


def _listing(counts: Mapping[str, int], declared: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {counts.get(name, 0)}" for name in declared)
