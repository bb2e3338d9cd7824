"""What restarts, switches and time may do to a pin. One rule a test, on hand-written histories."""

from __future__ import annotations

from typing import Any

import pytest
from limpet_oracle_tale import Tale, contract, kinds

from limpet.harness.model.contract import Contract
from limpet.harness.model.violation import Kind

# The balancer's own life.


@pytest.mark.parametrize(("verb", "field"), [("restart", "restart"), ("reload", "reload")])
def test_restarts_lose_pins_only_where_they_may(pinned: Tale, verb: str, field: str) -> None:
    pinned.do(2.0, verb, done=3.0)
    pinned.ask(2.5, "k", "", error="refused")
    pinned.ask(4.0, "k", "b")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]
    assert kinds(pinned.judge(contract(**{field: "lose"}))) == []
    assert kinds(pinned.judge(contract(**dict[str, Any]({field: None})))) == []


def test_a_value_that_was_lost_in_a_restart_is_placed_anew_each_time(pinned: Tale) -> None:
    pinned.do(2.0, "restart")
    pinned.ask(3.0, "k", "b", sets="m")
    pinned.ask(4.0, "k", "c", sets="n")
    pinned.ask(5.0, "m", "c")
    assert [each.request for each in pinned.judge(contract(restart="lose")).violations] == ["r5"]


def test_stickiness_off_and_on_again(pinned: Tale) -> None:
    pinned.do(2.0, "affinity-off")
    pinned.ask(3.0, "k", "b")
    pinned.do(4.0, "affinity-on", done=5.0)
    pinned.ask(4.5, "k", "c")
    pinned.ask(6.0, "k", "a")
    assert kinds(pinned.judge(contract())) == []
    pinned.ask(7.0, "k", "b")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]


# Time.


def test_a_pin_ends_neither_early_nor_is_it_expected_to_outlive_its_duration(pinned: Tale) -> None:
    duration = {"value": "100s", "clock": "idle", "kept_by": "balancer"}
    pinned.offset = 90.0
    pinned.ask(3.0, "k", "b")
    assert kinds(pinned.judge(contract(duration=duration))) == [Kind.EXPIRED_EARLY]
    pinned.records[-2:] = []
    pinned.offset = 99.5
    pinned.ask(3.0, "k", "b")
    assert kinds(pinned.judge(contract(duration=duration))) == []


def test_an_idle_clock_restarts_and_an_absolute_one_does_not(pinned: Tale) -> None:
    def promise(clock: Any, kept_by: str = "balancer") -> Contract:
        return contract(duration={"value": "100s", "clock": clock, "kept_by": kept_by})

    pinned.offset = 60.0
    pinned.ask(3.0, "k", "a")
    pinned.offset = 120.0
    pinned.ask(5.0, "k", "b")
    assert kinds(pinned.judge(promise("idle"))) == [Kind.EXPIRED_EARLY]
    assert kinds(pinned.judge(promise("absolute"))) == []
    assert kinds(pinned.judge(promise(["idle", "absolute"]))) == []
    assert kinds(pinned.judge(promise("absolute", "client"))) == [Kind.MOVED]
    assert kinds(pinned.judge(promise("session"))) == [Kind.MOVED]


def test_the_clock_of_a_stale_value_may_stand_in_the_value(tale: Tale) -> None:
    duration = {"value": "100s", "clock": "idle", "kept_by": "balancer"}
    tale.ask(0.0, None, "a", sets="k")
    tale.offset = 60.0
    tale.ask(1.0, "k", "a", sets="m")
    tale.offset = 120.0
    tale.ask(2.0, "k", "b", sets="n")
    tale.ask(3.0, "m", "b", sets="o")
    assert [each.request for each in tale.judge(contract(duration=duration)).violations] == ["r4"]


def test_an_absolute_clock_runs_on_in_the_values_that_replace_the_first(tale: Tale) -> None:
    promised = contract(duration={"value": "100s", "clock": "absolute", "kept_by": "balancer"})
    tale.ask(0.0, None, "a", sets="k")
    tale.offset = 60.0
    tale.ask(1.0, "k", "a", sets="m")
    tale.offset = 90.0
    tale.ask(2.0, "m", "a")
    tale.offset = 120.0
    tale.ask(3.0, "m", "b")
    assert kinds(tale.judge(promised)) == []


def test_a_session_that_may_have_begun_anew_near_the_end_of_the_old_one_may_end_by_either() -> None:
    promised = contract("source-ip", duration={"value": "100s", "clock": "absolute", "kept_by": "balancer"})
    for moved, expected in ((190.0, [Kind.EXPIRED_EARLY]), (199.9, [])):
        tale = Tale()
        for t in (0.0, 99.8, 105.0):
            tale.ask(t, None, "a")
        tale.ask(moved, None, "b")
        assert kinds(tale.judge(promised)) == expected


def test_a_home_that_has_expired_calls_nobody_back(pinned: Tale) -> None:
    promised = contract(recovered="return", duration={"value": "100s", "clock": "idle", "kept_by": "balancer"})
    pinned.do(2.0, "health", "c", value=503)
    pinned.offset = 150.0
    pinned.ask(4.0, "k", "b")
    pinned.do(5.0, "health", "c", value=200)
    pinned.ask(6.0, "k", "b")
    assert kinds(pinned.judge(promised)) == []


def test_who_comes_back_after_the_end_by_every_clock_begins_a_session_of_full_length(tale: Tale) -> None:
    duration = {"value": "100s", "clock": ["idle", "absolute"], "kept_by": ["balancer", "client", "both"]}
    tale.ask(0.0, None, "a", sets="k")
    tale.offset = 102.0
    tale.ask(1.0, "k", "a", sets="m")
    tale.ask(2.0, "m", "b")
    assert kinds(tale.judge(contract(duration=duration))) == [Kind.MOVED]
    tale.records[-2:] = []
    tale.offset = 202.0
    tale.ask(3.0, "m", "b")
    assert kinds(tale.judge(contract(duration=duration))) == []


ABSOLUTE: dict[str, Any] = {"value": "100s", "clock": "absolute", "kept_by": "balancer"}


@pytest.mark.parametrize(("verb", "word"), [("kill", "unhealthy"), ("remove", "removed")])
def test_a_new_pin_after_a_loss_begins_its_own_time_and_a_later_use_is_no_other_beginning(
    tale: Tale, verb: Any, word: str
) -> None:
    tale.ask(0.0, None, "a", sets="k1")
    tale.do(60.0, verb, "a")
    tale.ask(80.0, "k1", "b", sets="k2")
    tale.ask(120.0, "k2", "b", sets="k3")
    tale.ask(185.0, "k3", "c", sets="k4")
    reaction: dict[str, Any] = {word: "repin"}
    assert kinds(tale.judge(contract(duration=ABSOLUTE, **reaction))) == []


def test_a_visit_at_the_very_end_may_have_begun_the_next_session(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="k1")
    tale.ask(100.3, "k1", "a", sets="k2")
    tale.ask(103.0, "k2", "a", sets="k3")
    tale.ask(200.8, "k3", "c", sets="k4")
    assert kinds(tale.judge(contract(duration=ABSOLUTE, unhealthy="repin"))) == []


def test_the_early_end_of_a_later_session_is_seen(tale: Tale) -> None:
    promised = contract(duration=ABSOLUTE, unhealthy="repin")
    tale.ask(0.0, None, "a", sets="k1")
    tale.ask(150.0, "k1", "b", sets="k2")
    tale.ask(200.0, "k2", "b", sets="k3")
    tale.ask(220.0, "k3", "c", sets="k4")
    assert len(tale.judge(promised).violations) == 1
    tale.records[-4:] = []
    tale.ask(240.0, "k2", "b", sets="k3")
    tale.ask(300.0, "k3", "c", sets="k4")
    tale.ask(390.0, "k4", "a", sets="k5")
    assert [each.request for each in tale.judge(promised).violations] == ["r7"]
