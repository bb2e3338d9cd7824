"""How much must be seen before silence, or a run of luck, means something."""

from __future__ import annotations

import math


def samples_to_see(rate: float, confidence: float) -> int:
    """Independent samples after which a fault of this rate has shown at least once with this confidence.

    1,497 for 1 in 500 at 95 %.

    Raises:
        ValueError: a rate outside (0, 1] or a confidence outside (0, 1).
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate {rate} is not in (0, 1]")
    _open("confidence", confidence)
    if rate == 1:
        return 1
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-rate) - 1e-9))


def smallest_visible_rate(n: int, confidence: float) -> float:
    """The fault rate that n clean independent samples exclude with this confidence; 1.0 for no samples at all.

    Raises:
        ValueError: a negative n or a confidence outside (0, 1).
    """
    if n < 0:
        raise ValueError(f"{n} is no number of samples")
    _open("confidence", confidence)
    return 1.0 if n == 0 else -math.expm1(math.log1p(-confidence) / n)


def runs_needed(p_same: float, alpha: float) -> int:
    """Coincidences in a row, each of probability ``p_same``, that have a probability below alpha.

    13 for one in three backends at 1e-6.

    Raises:
        ValueError: a ``p_same`` outside [0, 1) (a certainty is no coincidence) or an alpha outside (0, 1).
    """
    if not 0 <= p_same < 1:
        raise ValueError(f"p_same {p_same} is not in [0, 1)")
    _open("alpha", alpha)
    if p_same == 0:
        return 1
    runs = max(1, math.floor(math.log(alpha) / math.log(p_same)))
    while p_same**runs >= alpha:
        runs += 1
    return runs


def _open(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} {value} is not between 0 and 1")
