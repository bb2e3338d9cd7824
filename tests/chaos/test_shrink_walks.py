"""How a failing walk gets small: on a model of failure instead of a balancer, so that every play is free."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from limpet.harness.chaos.shrink import Exhausted, Steps, shrink
from limpet.harness.chaos.walk import Step
from limpet.harness.chaos.walk_draw import Dealer
from limpet.harness.targets.load import load


def in_order(*words: str) -> Callable[[Steps], Steps | None]:
    """Fails as soon as these words came in this order and somebody visits after that."""

    def attempt(steps: Steps) -> Steps | None:
        left = list(words)
        for number, step in enumerate(steps):
            if left and step.do == left[0]:
                left.pop(0)
            elif not left and step.do == "visit":
                return steps[: number + 1]
        return None

    return attempt


def dealt(seed: int) -> Steps:
    loaded = load("reference-lb-cookie-idle")
    return Dealer(loaded, random.Random(seed)).walk()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_but_what_it_takes(seed: int) -> None:
    walk = dealt(seed)
    words = [step.do for step in walk if step.do not in ("visit", "hang", "reset", "health")][2:9:3]
    failing = in_order(*words)(walk)
    assert failing is not None
    small, plays = shrink(failing, in_order(*words), plays=200)
    assert [step.do for step in small] == [*words, "visit"]
    assert len(small[-1].users) == 1 and small[-1].strangers == 0
    assert plays <= 80


def test_a_slow_fault_becomes_a_quick_one_where_that_fails_too() -> None:
    walk = (Step("visit", users=(1, 2), strangers=2), Step("hang", backend="of 1"), Step("visit", users=(1,)))
    small, _ = shrink(walk, lambda steps: steps if len(steps) >= 2 and steps[-1].users else None, plays=50)
    assert "hang" not in {step.do for step in small}


def test_a_backend_is_told_by_a_user_who_came_where_that_fails_too() -> None:
    """Users of the next target are elsewhere: whose backend it was counts, not which place in the list it had."""
    walk = (Step("visit", users=(3,)), Step("kill", backend="beside 4"), Step("visit", users=(3,)))

    def attempt(steps: Steps) -> Steps | None:
        return steps if [step.do for step in steps] == ["visit", "kill", "visit"] and steps[0].users else None

    small, _ = shrink(walk, attempt, plays=50)
    assert small[1].backend == "of 3"

    def only_beside(steps: Steps) -> Steps | None:
        return attempt(steps) if all(step.backend in ("", "beside 4") for step in steps) else None

    small, _ = shrink(walk, only_beside, plays=50)
    assert small[1].backend == "beside 4"


def test_only_what_was_seen_to_fail_is_the_result() -> None:
    """A balancer that fails every other time: the result may be longer than need be, and it did fail."""
    walk, failed = dealt(3), []
    luck = random.Random(1)

    def sometimes(steps: Steps) -> Steps | None:
        found = in_order("reload")(steps)
        if found is None or luck.random() < 0.5:
            return None
        failed.append(found)
        return found

    small, _ = shrink(walk, sometimes, plays=60)
    assert small == failed[-1]


def test_the_plays_are_counted_and_end() -> None:
    count = 0

    def never(_steps: Steps) -> None:
        nonlocal count
        count += 1

    walk = dealt(1)
    assert shrink(walk, never, plays=7) == (walk, 7)
    assert count == 7


def test_who_has_no_time_left_says_so() -> None:
    def late(_steps: Steps) -> None:
        raise Exhausted

    walk = dealt(2)
    assert shrink(walk, late, plays=9)[0] == walk


def test_who_visits_while_a_fault_is_unnoticed_comes_after_it_where_that_fails_too() -> None:
    """How many visits there are until then is a matter of luck, and a file is to fail wherever it is played."""
    walk = (Step("visit", users=(1,)), Step("kill", backend="of 1", users=(1,)))

    def attempt(steps: Steps) -> Steps | None:
        killed = [number for number, step in enumerate(steps) if step.do == "kill"]
        came = killed and (steps[killed[0]].users or any(step.do == "visit" for step in steps[killed[0] :]))
        return steps if came and steps[0].do == "visit" else None

    small, _ = shrink(walk, attempt, plays=30)
    assert small == (Step("visit", users=(1,)), Step("kill", backend="of 1"), Step("visit", users=(1,)))
