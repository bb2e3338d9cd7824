"""Does the outcome depend on who asked?

Requests of several users are put into one random order by limpet. A balancer that looks at nobody deals its backends
out to that order in whatever sequence it likes (turns, loads, several workers, chance); given the sequence, who got
what is limpet's shuffle alone. So the number of one user's requests that met one backend is hypergeometric, exactly,
whatever the algorithm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DealingResult:
    """The outcome. ``p_value`` is corrected for all users and backends; below ``alpha`` users are ``recognised``.

    ``able`` is whether users would be found out who stay each on one backend and are spread over all of them.
    ``user`` and ``backend`` are the pair most out of line.
    """

    recognised: bool
    able: bool
    p_value: float
    alpha: float
    user: str
    backend: str
    text: str


def dealing(hands: Mapping[str, Mapping[str, int]], *, alpha: float = 1e-6) -> DealingResult:
    """Tests whether some user met one backend more often than limpet's shuffle explains.

    Args:
        hands: for each user how many of its requests each backend answered. The order of all requests must have been
            drawn at random, independently of every answer.
        alpha: largest acceptable probability of a false accusation.

    Raises:
        ValueError: alpha is not in (0, 1), or a count is negative.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    if any(count < 0 for hand in hands.values() for count in hand.values()):
        raise ValueError("a negative count")
    totals: Counter[str] = Counter()
    for hand in hands.values():
        totals.update(hand)
    everything = sum(totals.values())
    tests = max(1, len(hands) * len(totals))
    best = (1.0, "", "")
    # What it would take: users who stay each on one backend, and are spread over all of them.
    share = -(-everything // max(1, len(totals)))
    able = False
    for user, hand in hands.items():
        size = sum(hand.values())
        for backend, total in totals.items():
            best = min(best, (hypergeometric_tail(hand.get(backend, 0), everything, total, size), user, backend))
            able = able or hypergeometric_tail(size, everything, max(share, size), size) * tests < alpha
    chance, user, backend = best
    p_value = min(1.0, chance * tests)
    seen, size = hands.get(user, {}).get(backend, 0), sum(hands.get(user, {}).values())
    text = (
        f"{user or 'nobody'} met {backend or 'no backend'} {seen} times of {size}, everybody {totals[backend]} of "
        f"{everything}; chance alone gives p = {p_value:.2g}; limit {alpha:g}"
    )
    if not able and p_value >= alpha:
        text += "; too few samples to decide"
    return DealingResult(p_value < alpha, able or p_value < alpha, p_value, alpha, user, backend, text)


def hypergeometric_tail(seen: int, everything: int, marked: int, drawn: int) -> float:
    """P(X >= seen) for the marked ones among ``drawn`` out of ``everything`` of which ``marked`` are marked."""
    whole = math.comb(everything, drawn)
    ways = sum(
        math.comb(marked, k) * math.comb(everything - marked, drawn - k) for k in range(seen, min(marked, drawn) + 1)
    )
    return ways / whole
