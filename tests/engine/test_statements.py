"""What each check states of itself: how often it may be wrong, what it costs, and what it would see."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import ERROR_RATE, Behaviour, behaviour
from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.statistics import smallest_visible_rate
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.targets.load import load

SCALE = {"network.spoofed-sources"}
"""What is about very many users costs very many requests, most of them in a lab of network namespaces only."""

UNDER_LOAD = {"chaos.soak", "chaos.steady-state"}
"""What sends for as long as it is told to, as fast as it may."""


@pytest.mark.parametrize("each", behaviours(), ids=lambda each: each.id)
def test_every_bundled_behaviour_states_error_rate_budget_and_what_it_sees(each: Behaviour) -> None:
    assert 0 <= each.error_rate <= ERROR_RATE == 1e-6
    assert each.id in UNDER_LOAD or 0 <= each.budget <= (200_000 if each.id in SCALE else 2000)
    assert each.lengthy or each.id not in UNDER_LOAD
    assert each.doc, "says nothing about what it checks"
    if each.sees is None:
        assert each.error_rate or each.certainty, "it says neither which share it sees nor why it cannot"


def test_what_decides_by_luck_states_more_than_zero() -> None:
    stated = {each.id: each.error_rate for each in behaviours()}
    assert stated["affinity.holds"] == 0
    assert stated["duration.expires"] == stated["affinity.new-sessions-spread"] == ERROR_RATE


@pytest.mark.parametrize("missing", ["error_rate", "budget"])
def test_neither_is_left_to_a_default(missing: str) -> None:
    stated = {"error_rate": 0.0, "budget": 9}
    del stated[missing]
    with pytest.raises(TypeError, match=missing):
        behaviour("own.thing", **stated)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"error_rate": 1e-5}, {"error_rate": -1.0}, {"budget": -1}, {"sees": 0.0}, {"sees": 1.5}], ids=str
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"own\.thing"):
        behaviour("own.thing", **{"error_rate": 0.0, "budget": 9, **wrong})  # type: ignore[arg-type]


def judged(tmp_path: Path, spec: Behaviour) -> Result:
    loaded = load("reference-lb-cookie-idle")
    job = Job(loaded, spec, "", (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),))
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        return runner.result(job.key)


def test_a_result_carries_what_its_samples_would_have_shown(tmp_path: Path) -> None:
    def holds(s: Scenario) -> None:
        user = s.pinned(s.names[0])
        for _ in range(12):
            user.visit()

    result = judged(tmp_path, Behaviour("some.behaviour", holds, 0.0, 40, sees=0.3))
    assert result.verdict is Verdict.HELD
    assert (result.error_rate, result.budget, result.sees) == (0.0, 40, 0.3)
    assert result.smallest_visible == smallest_visible_rate(result.decided, 0.95)
    assert result.smallest_visible is not None and 0.1 < result.smallest_visible < 0.3


def test_samples_that_are_judged_together_are_as_sharp_as_their_bluntest_test(tmp_path: Path) -> None:
    def spread(s: Scenario) -> None:
        s.decide_together(60, 0.2)
        s.decide_together(60, 0.9)
        s.decide_together(60, None)

    result = judged(tmp_path, Behaviour("some.behaviour", spread, 1e-6, 40))
    assert (result.verdict, result.decided, result.smallest_visible) == (Verdict.HELD, 180, 0.9)


def test_where_no_share_can_be_said_none_is(tmp_path: Path) -> None:
    def one(s: Scenario) -> None:
        s.decided += 1

    assert judged(tmp_path, Behaviour("some.behaviour", one, 0.0, 40)).smallest_visible is None
