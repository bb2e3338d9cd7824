from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.harness.model.statistics import spread

EVEN = {"a": 1.0, "b": 1.0, "c": 1.0}


def tables(n: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in tables(n - first, parts - 1):
            yield (first, *rest)


def multinomial(table: tuple[int, ...], weights: tuple[float, ...]) -> float:
    total = math.fsum(weights)
    log = math.lgamma(sum(table) + 1)
    for count, weight in zip(table, weights, strict=True):
        log += count * math.log(weight / total) - math.lgamma(count + 1)
    return math.exp(log)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3, 1e-6])
@pytest.mark.parametrize(
    ("n", "weights"),
    [(1, (1, 1)), (7, (1, 1, 1)), (40, (1, 1, 1)), (30, (8, 1, 1)), (25, (100, 1)), (14, (1, 2, 3, 4)), (60, (1, 999))],
)
def test_false_accusations_stay_below_alpha(n: int, weights: tuple[float, ...], alpha: float) -> None:
    """Exact, not simulated, and for small expected counts: every possible table, weighted by its probability."""
    names = [f"b{i}" for i in range(len(weights))]
    declared = dict(zip(names, weights, strict=True))
    accused = total = 0.0
    for table in tables(n, len(weights)):
        chance = multinomial(table, weights)
        total += chance
        if spread(dict(zip(names, table, strict=True)), declared, alpha=alpha).worse:
            accused += chance
    assert total == pytest.approx(1)
    assert accused <= alpha


def test_simulated_false_accusations_with_many_backends() -> None:
    rng = random.Random(11)
    weights = {f"b{i}": float(i + 1) for i in range(8)}
    names, alpha, rounds = list(weights), 0.1, 600
    accused = 0
    for _ in range(rounds):
        drawn = rng.choices(names, list(weights.values()), k=400)
        accused += spread({name: drawn.count(name) for name in names}, weights, alpha=alpha).worse
    assert accused / rounds <= alpha


@pytest.mark.parametrize("n", [3, 60, 3000, 1_000_000])
def test_evenness_is_never_rejected(n: int) -> None:
    counts = {"a": n // 3, "b": n // 3, "c": n - 2 * (n // 3)}
    result = spread(counts, EVEN)
    assert not result.worse
    assert result.p_value == 1.0


def test_one_backend_with_everything_is_rejected_once_there_is_enough() -> None:
    assert not spread({"a": 10}, EVEN).worse
    assert not spread({"a": 10}, EVEN).able
    assert "too few" in spread({"a": 10}, EVEN).text
    result = spread({"a": 40}, EVEN)
    assert (result.worse, result.able, result.backend) == (True, True, "a")
    assert "a 40, b 0, c 0 of 40; most out of line: a with 40 for 13.3 declared" in result.text


def test_a_starved_backend_is_rejected() -> None:
    result = spread({"a": 60, "b": 60}, EVEN)
    assert result.worse
    assert result.backend == "c"


def test_declared_weights_count() -> None:
    counts = {"a": 500, "b": 250, "c": 250}
    assert spread(counts, EVEN).worse
    assert not spread(counts, {"a": 2.0, "b": 1.0, "c": 1.0}).worse


def test_a_weight_of_zero_must_not_be_counted() -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 0.0}
    assert spread({"a": 50, "b": 50, "c": 1}, weights).worse
    assert not spread({"a": 50, "b": 50}, weights).worse


def test_many_small_departures_are_rejected_together() -> None:
    """Every second backend at 1.6 times its share: none of them alone is out of line."""
    names = [f"b{i}" for i in range(40)]
    weights = dict.fromkeys(names, 1.0)
    counts = {name: 80 if i % 2 else 20 for i, name in enumerate(names)}
    assert spread(counts, weights).worse
    mild = {name: 65 if i % 2 else 35 for i, name in enumerate(names)}
    visible = spread(mild, weights).visible
    assert visible is not None
    assert max(mild.values()) < 50 + 2000 * visible
    assert spread(mild, weights).worse


@pytest.mark.parametrize("n", [40, 100, 1000])
def test_the_visible_excess_would_have_shown(n: int) -> None:
    visible = spread({"a": n}, EVEN).visible
    assert visible is not None
    high = round(n * (visible + 1 / 3))
    low = (n - high) // 2
    assert spread({"a": high, "b": low, "c": n - high - low}, EVEN).worse
    assert not spread({"a": high - 1, "b": low, "c": n - high + 1 - low}, EVEN).worse


@pytest.mark.parametrize("rotators", [1, 4, 16])
def test_rotators_that_all_begin_at_the_same_backend_are_forgiven(rotators: int) -> None:
    """Every worker process takes turns on its own, first backend first, and is stopped after a few requests."""
    rng = random.Random(rotators)
    for _ in range(50):
        counts = dict.fromkeys(EVEN, 0)
        for _ in range(rotators):
            for i in range(rng.choice([1, 4, 7])):
                counts["abc"[i % 3]] += 1
        assert not spread(counts, EVEN, rotation=True, rotators=rotators, alpha=0.01).worse


def test_a_rotation_that_skips_a_backend_is_still_rejected() -> None:
    assert spread({"a": 60, "b": 60}, EVEN, rotation=True, rotators=4).worse
    assert spread({"a": 80}, EVEN, rotation=True).worse


@given(
    st.lists(st.integers(0, 300), min_size=2, max_size=5),
    st.lists(st.floats(0.01, 50), min_size=5, max_size=5),
    st.booleans(),
)
def test_any_table_has_a_sound_result(counts: list[int], weights: list[float], rotation: bool) -> None:
    table = {f"b{i}": count for i, count in enumerate(counts)}
    declared = {name: weights[i] for i, name in enumerate(table)}
    result = spread(table, declared, rotation=rotation)
    assert 0 <= result.p_value <= 1
    assert result.worse == (result.p_value < 1e-6)
    assert result.able or not result.worse
    assert str(result.samples) in result.text
    if not rotation:
        doubled = spread({name: 2 * count for name, count in table.items()}, declared)
        assert doubled.worse or not result.worse


@pytest.mark.parametrize(
    ("counts", "weights", "alpha"),
    [
        ({"x": 1}, EVEN, 1e-6),
        ({"a": -1}, EVEN, 1e-6),
        ({"a": 1}, {"a": 0.0}, 1e-6),
        ({"a": 1}, {"a": -1.0}, 1e-6),
        ({"a": 1}, {"a": math.nan}, 1e-6),
        ({"a": 1}, EVEN, 0.0),
    ],
)
def test_nonsense_is_refused(counts: dict[str, int], weights: dict[str, float], alpha: float) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        spread(counts, weights, alpha=alpha)
