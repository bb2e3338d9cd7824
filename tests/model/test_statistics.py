from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from limpet.harness.model.statistics import (
    binomial_lower_tail,
    binomial_pmf,
    binomial_tail,
    chi_square_statistic,
    chi_square_tail,
    distinct_evidence,
    first_rejected,
    goodness_of_fit,
    moves_bound,
    never_leaves,
    proportion_interval,
    runs_needed,
    samples_to_see,
    smallest_visible_rate,
)

SIZES = [1, 2, 3, 10, 60, 500, 10_000, 1_000_000]
RATES = [1e-6, 0.01, 1 / 3, 0.5, 0.9, 0.999999]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", RATES)
def test_binomial_against_scipy(n: int, p: float) -> None:
    width = 3 + math.sqrt(n * p * (1 - p))
    for sigmas in (-20, -6, -2, -0.5, 0, 0.5, 2, 6, 20):
        k = min(n, max(0, round(n * p + sigmas * width)))
        assert binomial_pmf(k, n, p) == pytest.approx(stats.binom.pmf(k, n, p), rel=1e-9, abs=1e-300)
        assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-9, abs=1e-280)
        assert binomial_lower_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-280)


def test_binomial_exactly_by_fractions() -> None:
    n, p = 40, 0.25  # a power of two: every product below is exact in integers
    for k in range(n + 1):
        exact = sum(math.comb(n, j) * 3 ** (n - j) for j in range(k, n + 1)) / 4**n
        assert binomial_tail(k, n, p) == pytest.approx(exact, rel=1e-12)
        assert binomial_lower_tail(n - k, n, 1 - p) == pytest.approx(exact, rel=1e-12)


@given(st.integers(0, 300), st.floats(0, 1), st.integers(-2, 302))
def test_tails_complement_each_other(n: int, p: float, k: int) -> None:
    assert binomial_tail(k, n, p) + binomial_lower_tail(k - 1, n, p) == pytest.approx(1, abs=1e-9)
    assert 0 <= binomial_tail(k + 1, n, p) <= binomial_tail(k, n, p) <= 1


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainties(p: float) -> None:
    assert binomial_tail(1, 5, p) == p
    assert binomial_tail(5, 5, p) == p
    assert binomial_lower_tail(4, 5, p) == 1 - p
    assert binomial_tail(0, 0, p) == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 10), (47, 60), (1, 100_000), (500_000, 1_000_000)])
@pytest.mark.parametrize("confidence", [0.95, 0.999999])
def test_clopper_pearson_against_scipy(k: int, n: int, confidence: float) -> None:
    interval = proportion_interval(k, n, confidence)
    oracle = stats.binomtest(k, n).proportion_ci(confidence, "exact")
    assert interval.low == pytest.approx(oracle.low, rel=1e-8, abs=1e-12)
    assert interval.high == pytest.approx(oracle.high, rel=1e-8, abs=1e-12)
    assert k / n in interval


@pytest.mark.parametrize("p", [0.02, 1 / 3, 0.8])
def test_clopper_pearson_covers(p: float) -> None:
    n = 50
    covered = sum(binomial_pmf(k, n, p) for k in range(n + 1) if p in proportion_interval(k, n, 0.9))
    assert covered >= 0.9


def test_sample_sizes_of_the_design() -> None:
    assert samples_to_see(1 / 500, 0.95) == 1497
    assert runs_needed(1 / 3, 1e-6) == 13
    assert samples_to_see(1, 0.95) == 1
    assert runs_needed(0.0, 1e-6) == 1


@given(st.floats(1e-4, 0.99), st.floats(0.5, 0.9999))
def test_samples_to_see_is_the_smallest(rate: float, confidence: float) -> None:
    n = samples_to_see(rate, confidence)
    assert 1 - (1 - rate) ** n >= confidence - 1e-9
    assert n == 1 or 1 - (1 - rate) ** (n - 1) < confidence + 1e-9
    assert smallest_visible_rate(n, confidence) <= rate * (1 + 1e-6)


def test_nothing_seen_excludes_nothing() -> None:
    assert smallest_visible_rate(0, 0.95) == 1.0
    assert smallest_visible_rate(1497, 0.95) == pytest.approx(0.002, rel=1e-3)


@given(st.floats(0.01, 0.99), st.floats(1e-12, 0.5))
def test_runs_needed_is_the_smallest(p: float, alpha: float) -> None:
    n = runs_needed(p, alpha)
    assert p**n < alpha
    assert n == 1 or p ** (n - 1) >= alpha * (1 - 1e-9)


@given(st.integers(0, 400), st.floats(0.01, 0.99), st.sampled_from([0.05, 1e-3, 1e-6]))
def test_first_rejected_is_the_smallest(n: int, p: float, alpha: float) -> None:
    k = first_rejected(n, p, alpha)
    if k is None:
        assert p**n >= alpha * (1 - 1e-9)
    else:
        assert binomial_tail(k, n, p) < alpha <= binomial_tail(k - 1, n, p)


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 200])
@pytest.mark.parametrize("statistic", [0.0, 0.01, 1.0, 5.0, 12.5, 60.0, 199.0, 400.0])
def test_chi_square_against_scipy(freedom: int, statistic: float) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)


def test_goodness_of_fit_against_scipy() -> None:
    counts, weights = {"a": 44, "b": 30, "c": 26}, {"a": 2.0, "b": 1.0, "c": 1.0}
    oracle = stats.chisquare([44, 30, 26], [50, 25, 25])
    assert chi_square_statistic(counts, weights) == pytest.approx(oracle.statistic)
    assert goodness_of_fit(counts, weights) == pytest.approx(oracle.pvalue)
    assert goodness_of_fit({"a": 5}, {"a": 1.0}) == 1.0
    assert goodness_of_fit({"a": 5, "b": 1}, {"a": 1.0, "b": 0.0}) == 0.0


def test_who_never_leaves_is_found() -> None:
    result = never_leaves(47, 60, 1 / 3)
    assert result.rejected
    assert result.text.startswith("47 of 60 stayed; chance alone gives p = ")
    assert result.text.split(";")[1].endswith(f"{stats.binom.sf(46, 60, 1 / 3):.2g}")
    assert "limit 1e-06" in result.text


def test_chance_is_not_accused_and_says_what_would_have_shown() -> None:
    result = never_leaves(20, 60, 1 / 3)
    assert (result.rejected, result.able) == (False, True)
    assert result.critical is not None
    assert never_leaves(result.critical, 60, 1 / 3).rejected
    assert not never_leaves(result.critical - 1, 60, 1 / 3).rejected
    assert f"from {result.critical} on" in result.text


def test_too_few_samples_decide_nothing() -> None:
    assert not never_leaves(12, 12, 1 / 3).able
    assert not never_leaves(12, 12, 1 / 3).decided
    assert "too few" in never_leaves(12, 12, 1 / 3).text
    assert never_leaves(13, 13, 1 / 3).rejected
    assert not never_leaves(500, 500, 1.0).able  # a single backend
    assert not never_leaves(0, 0, 0.5).able


def test_the_visible_share_would_have_shown() -> None:
    result = never_leaves(20, 60, 1 / 3)
    assert result.visible is not None
    rng = random.Random(5)
    found = 0
    trials = 2000
    for _ in range(trials):
        stays = sum(rng.random() < result.visible or rng.random() < 1 / 3 for _ in range(60))
        found += never_leaves(stays, 60, 1 / 3).rejected
    assert found / trials == pytest.approx(0.95, abs=0.02)


@given(st.integers(1, 120), st.floats(0.05, 0.9), st.sampled_from([0.05, 1e-3, 1e-6]))
def test_false_accusations_of_group_tests_stay_below_alpha(n: int, p: float, alpha: float) -> None:
    """Exact, not simulated: the probability of all outcomes that are rejected."""
    accused = sum(binomial_pmf(k, n, p) for k in range(n + 1) if never_leaves(k, n, p, alpha).rejected)
    assert accused < alpha


def test_more_moves_than_the_bound_explains() -> None:
    assert not moves_bound(260, 1000, 1 / 4).rejected
    result = moves_bound(750, 1000, 1 / 4)
    assert result.rejected
    assert "750 of 1000 moved" in result.text
    assert moves_bound(1, 10, 0.0).rejected  # where nothing may move, one is enough
    assert not moves_bound(0, 10, 0.0).rejected


def test_distinct_evidence() -> None:
    assert distinct_evidence([1 / 3] * 13).enough
    some = distinct_evidence([1 / 3] * 10)
    assert (some.enough, some.missing) == (False, 3)
    assert distinct_evidence([0.5, 1e-6], 1e-6).enough
    assert distinct_evidence(1e-7).enough
    assert not distinct_evidence([], 1e-6).enough
    assert distinct_evidence([1.0], 1e-6).missing == -1


@pytest.mark.parametrize(
    "call",
    [
        lambda: binomial_tail(1, -1, 0.5),
        lambda: binomial_pmf(1, 2, 1.5),
        lambda: proportion_interval(3, 2, 0.9),
        lambda: proportion_interval(0, 0, 0.9),
        lambda: samples_to_see(0, 0.95),
        lambda: samples_to_see(0.5, 1),
        lambda: smallest_visible_rate(-1, 0.9),
        lambda: runs_needed(1, 1e-6),
        lambda: never_leaves(3, 2, 0.5),
        lambda: never_leaves(1, 2, 0.5, 0),
        lambda: distinct_evidence([2.0]),
        lambda: chi_square_tail(1, 0),
        lambda: goodness_of_fit({"x": 1}, {"a": 1.0}),
    ],
)
def test_nonsense_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=r"."):
        call()


def test_a_million_samples_take_no_time_to_speak_of() -> None:
    results = [never_leaves(k, 1_000_000, 1 / 3).rejected for k in (333_333, 340_000)]
    assert results == [False, True]
