"""What walks are dealt: only what a target can take, the same for the same luck, and any event upon any other."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from limpet.harness.chaos import random_walk
from limpet.harness.chaos.walk import SPECS, WORDS, Step, problems, unfit, without_user
from limpet.harness.chaos.walk_draw import EVENTS, Dealer, seconds, within
from limpet.harness.targets.load import load

TARGETS = ("reference-lb-cookie-idle", "reference-source-ip", "reference-tcp-source-ip", "reference-round-robin",
           "nginx-sticky-cookie", "haproxy-cookie-insert")  # fmt: skip


def walks(target: str, count: int, seed: int = 1) -> list[tuple[Step, ...]]:
    loaded = load(target)
    dealer = Dealer(loaded, random.Random(seed))
    return [dealer.walk() for _ in range(count)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_dealt_walk_is_whole_and_within_what_the_target_can_take(target: str) -> None:
    loaded = load(target)
    for walk in walks(target, 6):
        assert walk[0].do == "visit"
        assert len([step for step in walk if step.do != "visit"]) <= EVENTS
        for step in walk:
            assert problems(step) == []
            assert unfit(step, loaded) == ""


def test_the_same_luck_deals_the_same_walks_and_another_one_others() -> None:
    assert walks(TARGETS[0], 3, seed=4) == walks(TARGETS[0], 3, seed=4) != walks(TARGETS[0], 3, seed=5)


@pytest.mark.parametrize("seed", range(5))
def test_six_walks_bring_each_kind_of_event_upon_each_other_one(seed: int) -> None:
    """A fault that stays until it is healed, what heals it, and what the operator does: any of them upon any other."""
    words = ("kill", "drain", "add", "remove", "reorder", "weight", "reload", "change", "clock")
    wanted = {(one, other) for one, other in itertools.permutations(words, 2)} | {("revive", each) for each in words}
    met = set()
    for walk in walks(TARGETS[0], 6, seed=seed):
        events = ["kill" if step.do in ("hang", "reset", "health") else step.do for step in walk if step.do != "visit"]
        met |= set(itertools.combinations(events, 2))
    assert wanted <= met


def test_more_happens_to_who_is_in_trouble_already() -> None:
    """The dead are taken out of the list, the drained die: whose users have left it, they hardly ever name it."""
    met = {(step.do, step.backend) for walk in walks(TARGETS[1], 12) for step in walk}
    assert {("remove", "down"), ("remove", "drained"), ("weight", "drained"), ("weight", "down")} <= met
    assert {("kill", "drained"), ("hang", "drained"), ("reset", "drained"), ("health", "drained")} & met
    for walk in walks(TARGETS[1], 12):
        down = drained = False
        for step in walk:
            assert step.backend != "down" or down
            assert step.backend != "drained" or drained
            down |= step.do in ("kill", "hang", "reset", "health")
            drained |= step.do == "drain"


def test_below_layer_7_nothing_is_dealt_that_a_balancer_cannot_see() -> None:
    dealt = {step.do for walk in walks("reference-tcp-source-ip", 12) for step in walk}
    assert "kill" in dealt and not dealt & {"hang", "reset", "health"}
    assert all(step.show == "own" for walk in walks("reference-tcp-source-ip", 6) for step in walk)


def test_a_failure_of_which_the_documentation_says_nothing_is_not_dealt() -> None:
    """Apache says what becomes of a backend that refuses or hangs; one that resets may be asked for ever."""
    dealt = {step.do for walk in walks("apache-routeid", 60) for step in walk}
    assert "kill" in dealt and not dealt & {"reset", "health"}
    assert {"hang", "reset", "health"} <= {step.do for walk in walks("reference-lb-cookie-idle", 60) for step in walk}
    assert "apache/routeid" in unfit(Step("reset", backend="of 1"), load("apache-routeid"))


def test_a_clock_that_cannot_be_moved_is_let_run_for_seconds_only() -> None:
    loaded = load("reference-real-idle")
    lapses = [step.lifetimes for walk in walks("reference-real-idle", 6) for step in walk if step.do == "clock"]
    whole = loaded.contract.duration.value or 0.0
    assert all(lapse * whole <= 3.0 for lapse in lapses)
    assert unfit(Step("clock", lifetimes=0.5), replace(load("reference-round-robin"), contract=loaded.contract)) == ""


def test_what_a_walk_waits_for_is_known_before_it_is_played() -> None:
    loaded = load("haproxy-cookie-insert")
    still = (Step("visit", users=(1,)),)
    assert seconds(still, loaded.target, loaded.contract) == 0.0
    assert seconds((*still, Step("kill", backend="of 1")), loaded.target, loaded.contract) > 0


def test_every_word_says_what_belongs_to_it() -> None:
    assert set(SPECS) == set(WORDS)
    for word in WORDS:
        required = {name: {"users": (1,), "backend": "of 1", "strangers": 1, "lifetimes": 0.5}[name]
                    for name in SPECS[word].must}  # fmt: skip
        assert problems(Step(word, **required)) == []  # type: ignore[arg-type]
        assert len(problems(Step(word))) == len(required)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("kill", backend="b1"), '"b1" names no backend'),
        (Step("reload", users=(1,)), "users does not go with `reload`, which takes nothing more"),
        (Step("visit", users=(0,)), "from 1 to 99"),
        (Step("clock", lifetimes=9.0), "up to 4"),
        (Step("visit", users=(1,), strangers=50), "from 0 to 9"),
    ],
)
def test_what_is_wrong_with_a_step_is_said(step: Step, said: str) -> None:
    assert any(said in each for each in problems(step))


def test_without_a_user_the_others_walk_on() -> None:
    walk = (Step("visit", users=(1, 2)), Step("visit", users=(1,)), Step("kill", backend="of 1", users=(1,)))
    assert without_user(walk, 1) == (Step("visit", users=(2,)), Step("kill", backend="of 1"))


def test_a_walk_is_cut_where_it_would_wait_too_long() -> None:
    loaded = load("nginx-sticky-cookie")
    (walk,) = walks("nginx-sticky-cookie", 1)
    short = within(walk, loaded.target, loaded.contract, 5.0)
    assert short == walk[: len(short)] and seconds(short, loaded.target, loaded.contract) <= 5.0
    assert seconds(walk[: len(short) + 1], loaded.target, loaded.contract) > 5.0


@pytest.mark.parametrize(("decided", "plays"), [([4, 9, 9], 1), ([0, 4, 9], 2), ([0, 0, 4], 3)])
def test_on_a_balancer_that_is_slow_to_notice_walks_go_on_until_one_decides(
    monkeypatch: pytest.MonkeyPatch, decided: list[int], plays: int
) -> None:
    """Each of them alone takes the time of a run."""
    played: list[object] = []

    def play(steps: object) -> Any:
        played.append(steps)
        return SimpleNamespace(violations=(), decided=decided[len(played) - 1], requests=50)

    scenario: Any = SimpleNamespace(
        system=SimpleNamespace(loaded=load(TARGETS[0])), plan_seed="1", cast="1", requests=0, decided=0,
        step=lambda _text: None,
    )  # fmt: skip
    monkeypatch.setattr(random_walk, "Theatre", lambda *_: SimpleNamespace(play=play))
    monkeypatch.setattr(random_walk, "seconds", lambda *_: random_walk.SECONDS + 1)
    random_walk.random_walk(scenario)
    assert len(played) == plays
