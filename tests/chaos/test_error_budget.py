"""What a target grants itself: the share of requests that may fail while faults are in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from playing import play

from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import load

TARGET = "nginx-sticky-cookie"


def test_a_real_target_states_one() -> None:
    assert load(TARGET).target.budget.errors == 0.25
    assert load("reference-lb-cookie-idle").target.budget.errors is None


@pytest.mark.parametrize(("sick", "well", "verdict"), [(4, 8, Verdict.BROKEN), (2, 8, Verdict.HELD)])
def test_more_failures_than_it_grants_are_broken(tmp_path: Path, sick: int, well: int, verdict: Verdict) -> None:
    if reason := missing(load(TARGET)):
        pytest.skip(reason)
    (steady,) = [each for each in behaviours((SUITES,)) if each.id == "chaos.steady-state"]
    errors = steady.test.__globals__["errors"]

    def test(s: Scenario) -> None:
        one, other = s.pinned("b1"), s.pinned("b2")
        s.system.status("b1", 503)  # its own answers, which it gives to nobody else to answer
        during = [one.visit() for _ in range(sick)] + [other.visit() for _ in range(well)]
        assert [each.ok for each in during] == [False] * sick + [True] * well
        s.system.revive("b1")
        errors(s, during)

    result = play(tmp_path, test, TARGET)
    assert result.verdict is verdict, result.reason
    if verdict is Verdict.BROKEN:
        (violation,) = result.violations
        assert violation.kind is Kind.ERROR
        assert f"{sick / (sick + well):.1%}, and the budget is 25.0%" in violation.text
