from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from limpet.harness.model.statistics import dealing
from limpet.harness.model.statistics.dealing import hypergeometric_tail


def hands(order: list[str], answers: list[str]) -> dict[str, Counter[str]]:
    dealt: dict[str, Counter[str]] = {user: Counter() for user in order}
    for user, backend in zip(order, answers, strict=True):
        dealt[user][backend] += 1
    return dealt


def test_the_tail_is_that_of_drawing_without_replacement() -> None:
    draws = list(itertools.combinations([1, 1, 1, 0, 0, 0, 0], 4))
    for seen in range(4):
        share = sum(sum(draw) >= seen for draw in draws) / len(draws)
        assert hypergeometric_tail(seen, 7, 3, 4) == pytest.approx(share)


def test_users_who_stay_where_they_are_are_recognised() -> None:
    stays = {"A": {"b1": 16}, "B": {"b2": 16}, "C": {"b3": 16}, "D": {"b1": 16}, "E": {"b2": 16}}
    result = dealing(stays)
    assert result.recognised
    assert result.backend == "b3"


@pytest.mark.parametrize(
    "period", [("b1", "b2", "b3"), ("b1",) * 8 + ("b2",) * 8 + ("b3",) * 8, ("b1", "b3", "b1", "b2", "b1")]
)
def test_whatever_a_balancer_that_looks_at_nobody_deals_no_one_is_accused(period: tuple[str, ...]) -> None:
    rng = random.Random(7)
    answers = [period[number % len(period)] for number in range(120)]
    lowest = 1.0
    for _ in range(500):
        order = list("ABCDEF") * 20
        rng.shuffle(order)
        result = dealing(hands(order, answers))
        assert result.able
        lowest = min(lowest, result.p_value)
    # 500 runs of a test that holds its level: one of them below 1e-4 has a chance of at most 5 %.
    assert lowest > 1e-4


def test_one_user_in_six_who_is_recognised_shows() -> None:
    rng = random.Random(3)
    order = list("ABCDEF") * 20
    rng.shuffle(order)
    turns = itertools.cycle(["b1", "b2", "b3"])
    assert dealing(hands(order, ["b2" if user == "C" else next(turns) for user in order])).recognised


@pytest.mark.parametrize("few", [{}, {"A": {"b1": 3}, "B": {"b2": 3}}, {"A": {"b1": 40}, "B": {"b1": 40}}])
def test_too_few_answers_or_one_backend_alone_decide_nothing(few: dict[str, dict[str, int]]) -> None:
    result = dealing(few)
    assert not result.able
    assert not result.recognised
    assert "too few samples" in result.text


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        dealing({"A": {"b1": -1}})
    with pytest.raises(ValueError, match="between 0 and 1"):
        dealing({"A": {"b1": 1}}, alpha=0.0)
