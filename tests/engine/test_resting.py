"""An accusation names the target's own timing values that it rests on, and no others."""

from __future__ import annotations

from pathlib import Path

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.resting import rests_on
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Control
from limpet.harness.model.verdict import RequirementRef, Verdict
from limpet.harness.model.violation import Kind, Violation
from limpet.harness.targets.granted import Lag, Timing
from limpet.harness.targets.load import load

TIMING = Timing(down_noticed=Lag(value=4, reason="two checks, 2 s apart"), retried=Lag(value=10))
KILL = Control("kill", 10.0, 14.0, "b1", rests_on=("down_noticed",))


def violation(t: float) -> Violation:
    return Violation(Kind.ERROR, "an error", t=t)


def lines(controls: list[Control], t: float = 20.0, *, waited: bool = False) -> list[str]:
    return rests_on(TIMING, controls, [violation(t)], waited=waited).splitlines()


def test_what_decided_when_a_fault_was_noticed_is_named_with_value_and_reason() -> None:
    assert lines([KILL])[0] == "rests on timing.down_noticed = 4s (two checks, 2 s apart)"
    assert lines([KILL])[1:] == ["rests on timing.retried = 10s"]


def test_what_came_later_or_was_read_back_decided_nothing() -> None:
    assert lines([KILL], t=5.0) == []
    assert lines([Control("remove", 10.0, 10.1, "b1")]) == []


def test_a_violation_without_a_time_comes_after_everything() -> None:
    assert len(lines([KILL], t=0.0)) == 2


def test_clocks_rest_on_their_resolution() -> None:
    moved = Control("advance-clock", 1.0, 1.0, value=60)
    expected = ["rests on timing.clock_resolution = 1s (limpet's default: cookie dates are whole seconds)"]
    assert lines([moved]) == expected
    assert lines([], waited=True) == expected
    assert rests_on(TIMING, [moved], [], waited=True) == ""


def test_switching_stickiness_rests_on_settling_and_grace() -> None:
    found = lines([Control("affinity-off", 1.0, 1.5, rests_on=("apply_settles",))])
    assert [each.split()[2] for each in found] == ["timing.apply_settles", "timing.grace"]


def test_a_broken_row_carries_them(tmp_path: Path) -> None:
    def breaks(s: Scenario) -> None:
        user = s.pinned(s.names[0])
        s.system.remove(s.names[1])
        user.visit()
        s.broken(Kind.MOVED, "moved on purpose", user.last)

    loaded = load("reference-lb-cookie-idle")
    spec = Behaviour("some.behaviour", breaks, 0.0, 99, touches="membership")
    job = Job(loaded, spec, "", (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),))
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        result = runner.result(job.key)
    assert result.verdict is Verdict.BROKEN
    assert result.detail.startswith("rests on timing.apply_settles = ")
    assert "down_noticed" not in result.detail
