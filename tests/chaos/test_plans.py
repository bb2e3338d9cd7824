"""Plans: drawn from a seed, sparing somebody, and printed for people."""

from __future__ import annotations

import random

import pytest

from limpet.harness.chaos.fault import KINDS, Fault
from limpet.harness.chaos.plan import DEAD, STEADY, draw, names_of, possible, printed, steady_plan
from limpet.harness.targets.load import load

NAMES = ("b1", "b2", "b3")


@pytest.mark.parametrize("seed", range(40))
def test_a_plan_leaves_somebody_well_and_begins_with_an_outage_upon_an_outage(seed: int) -> None:
    plan = draw(random.Random(seed), STEADY, NAMES, rounds=5)
    first, second, *_ = plan
    assert {first.kind, second.kind} <= set(DEAD)
    assert first.whom != second.whom
    # The first is back while the second is not.
    assert first.at < second.at < first.at + first.lasts < second.at + second.lasts
    for moment in (each.at for each in plan):
        now = {each.whom for each in plan if each.at <= moment < each.at + each.lasts}
        assert len(now) <= 2
    assert all(each.lasts > 0 for each in plan)
    assert plan == draw(random.Random(seed), STEADY, NAMES, rounds=5)


def test_two_backends_are_never_down_together() -> None:
    for seed in range(20):
        plan = draw(random.Random(seed), STEADY, NAMES[:2], rounds=6)
        for one in plan:
            assert not [each for each in plan if each.whom != one.whom and each.at <= one.at < each.at + each.lasts]


def test_what_a_target_cannot_have_is_not_drawn() -> None:
    tcp = load("haproxy-tcp-source")
    assert set(possible(tcp, STEADY, wired=True)) == {"kill", "blackhole"}
    idle = load("reference-lb-cookie-idle")
    assert not {"latency", "partition"} & set(possible(idle, KINDS, wired=False))
    assert {"latency", "partition"} <= set(possible(idle, KINDS, wired=True))
    assert names_of(idle) == NAMES
    assert steady_plan(idle, "x", 3, wired=True) != steady_plan(idle, "y", 3, wired=True)


def test_a_plan_is_printed_with_what_heals_it() -> None:
    lines = printed([Fault("reload", at=1), Fault("latency", "b2", 0.2, at=0.5, lasts=2)]).splitlines()
    assert lines[0].split() == ["+0.5", "s", "latency", "b2", "0.2", "s,", "for", "2", "s,", "healed", "by", "mend"]
    assert lines[1].split() == ["+1.0", "s", "reload,", "at", "once", "over"]
    assert printed(()) == "nothing"
