"""Group tests: what one request cannot show, many decisive samples can.

Every test rejects only where the null's own binomial tail is below ``alpha``, so its false accusations are at most
``alpha`` for independent samples. It says whether it could have rejected at all: if not, the outcome is undecided, not
a pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from limpet.harness.model.statistics.binomial import binomial_tail, first_rejected
from limpet.harness.model.statistics.sizes import runs_needed

POWER = 0.95
"""The probability with which ``visible`` faults would have been rejected."""


@dataclass(frozen=True)
class GroupResult:
    """The outcome of one group test.

    ``able`` is whether any outcome of this many samples could have been rejected; where it is false, nothing is
    decided. ``critical`` is the number of hits from which on it rejects. ``visible`` is the smallest share of faulty
    samples that would have been rejected with 95 % power, None where there is none.
    """

    rejected: bool
    able: bool
    hits: int
    samples: int
    p_value: float
    alpha: float
    critical: int | None
    visible: float | None
    text: str

    @property
    def decided(self) -> bool:
        """Whether the result means anything: it rejects, or it would have, had things been bad enough."""
        return self.able


@dataclass(frozen=True)
class Evidence:
    """Whether independent coincidences are too many to be luck. ``missing`` is how many more like the last it takes."""

    enough: bool
    p_value: float
    alpha: float
    missing: int
    text: str


def never_leaves(stays: int, samples: int, p_same: float, alpha: float = 1e-6) -> GroupResult:
    """Tests "who should have been let go came back by chance" against "is never let go" (expiry not enforced …).

    Args:
        stays: samples that met their former backend again.
        samples: decisive samples in all, each independent of the others.
        p_same: the chance that a client balanced anew meets its former backend: 1/n for n equal backends. Where it
            differs between samples (weights), pass the largest: the limit on false accusations then holds.
        alpha: largest acceptable probability of a false accusation.

    Raises:
        ValueError: the numbers contradict each other.
    """
    return _group(stays, samples, p_same, alpha, words=("stayed", "of sessions that do not expire"))


def moves_bound(moved: int, samples: int, bound: float, alpha: float = 1e-6) -> GroupResult:
    """Tests whether more moved than an algorithm's bound explains (1/(n+1) for a consistent hash that gains a backend).

    Args:
        moved: samples (distinct keys, drawn at random) that changed their backend.
        samples: keys in all.
        bound: the largest lawful *true* share. A hash ring with few points departs from 1/(n+1) by its own luck, which
            is the same for all keys: its allowance belongs into the bound.
        alpha: largest acceptable probability of a false accusation.

    Raises:
        ValueError: the numbers contradict each other.
    """
    return _group(moved, samples, bound, alpha, words=("moved", "of keys that move needlessly"))


def distinct_evidence(p: float | Sequence[float], alpha: float = 1e-6) -> Evidence:
    """Whether independent coincidences that *all* happened, each of its own probability, are too many to be luck.

    Name the coincidences before looking: picking the ones that came true out of many is no evidence.

    Args:
        p: the probability of each, if nothing were wrong.
        alpha: largest acceptable probability of a false accusation.

    Raises:
        ValueError: a p outside [0, 1] or an alpha outside (0, 1).
    """
    chances = [p] if isinstance(p, float | int) else list(p)
    if any(not 0 <= chance <= 1 for chance in chances):
        raise ValueError(f"not probabilities: {chances}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    joint = math.prod(chances)
    enough = joint < alpha
    missing = 0
    if not enough:
        last = chances[-1] if chances else 1.0
        missing = runs_needed(last, min(alpha / joint, 1 - 1e-16)) if last < 1 else -1
    text = f"{len(chances)} coincidences; chance alone gives p = {joint:.2g}; limit {alpha:g}"
    return Evidence(enough, joint, alpha, missing, text)


def _group(hits: int, samples: int, p: float, alpha: float, *, words: tuple[str, str]) -> GroupResult:
    verb, fault = words
    if not 0 <= hits <= samples:
        raise ValueError(f"{hits} of {samples} is no proportion")
    p_value = binomial_tail(hits, samples, p)
    critical = first_rejected(samples, p, alpha)
    rejected = p_value < alpha
    visible = None if critical is None else _visible(samples, p, critical)
    text = f"{hits} of {samples} {verb}; chance alone gives p = {p_value:.2g}; limit {alpha:g}"
    if critical is None:
        text += "; too few samples to decide"
    elif not rejected:
        text += f"; would have been rejected from {critical} on"
        if visible is not None:
            text += f", {visible:.1%} {fault} would have shown"
    return GroupResult(rejected, critical is not None, hits, samples, p_value, alpha, critical, visible, text)


def _visible(samples: int, p: float, critical: int) -> float | None:
    """The smallest share of faulty samples (sure hits, on top of the lucky ones) rejected with 95 % power."""
    if p >= 1:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if binomial_tail(critical, samples, middle + (1 - middle) * p) >= POWER:
            high = middle
        else:
            low = middle
    return high
