"""Statistics for verdicts: exact where it matters, each test with a stated limit on false accusations. Pure."""

from __future__ import annotations

from limpet.harness.model.statistics.binomial import (
    Interval,
    binomial_lower_tail,
    binomial_pmf,
    binomial_tail,
    first_rejected,
    proportion_interval,
)
from limpet.harness.model.statistics.chisquare import chi_square_statistic, chi_square_tail, goodness_of_fit
from limpet.harness.model.statistics.dealing import DealingResult, dealing
from limpet.harness.model.statistics.groups import (
    Evidence,
    GroupResult,
    distinct_evidence,
    moves_bound,
    never_leaves,
)
from limpet.harness.model.statistics.sizes import runs_needed, samples_to_see, smallest_visible_rate
from limpet.harness.model.statistics.spread import SpreadResult, spread

__all__ = [
    "DealingResult",
    "Evidence",
    "GroupResult",
    "Interval",
    "SpreadResult",
    "binomial_lower_tail",
    "binomial_pmf",
    "binomial_tail",
    "chi_square_statistic",
    "chi_square_tail",
    "dealing",
    "distinct_evidence",
    "first_rejected",
    "goodness_of_fit",
    "moves_bound",
    "never_leaves",
    "proportion_interval",
    "runs_needed",
    "samples_to_see",
    "smallest_visible_rate",
    "spread",
]
