"""Whole scenarios on real deployments: what a test does becomes the right verdict, and nothing stays behind."""

from __future__ import annotations

import queue
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.samples import require_others
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Arrived, Control, Received, Sent, read
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.processes.crowding import Crowding
from limpet.harness.targets.load import LoadedTarget, load

REQUIREMENT = RequirementRef("X-1", "must", "some sentence", ("docs/x.md",))
TARGET = "reference-lb-cookie-idle"


def job(test: Callable[[Scenario], None], loaded: LoadedTarget, level: str = "must", **facts: object) -> Job:
    spec = Behaviour("some.behaviour", test, **{"error_rate": 0.0, "budget": 99, **facts})  # type: ignore[arg-type]
    requirement = RequirementRef("X-1", level, "some sentence", ("docs/x.md",))
    return Job(loaded, spec, "", (requirement,))


def judged(tmp_path: Path, *jobs: Job) -> list[Result]:
    with Lab(1, [each.loaded for each in jobs]) as lab:
        runner = Runner(lab, jobs, tmp_path, lambda _event: None)
        runner.start()
        return [runner.result(each.key) for each in jobs]


def one(tmp_path: Path, test: Callable[[Scenario], None], target: str = TARGET, **facts: object) -> Result:
    return judged(tmp_path, job(test, load(target), **facts))[0]  # type: ignore[arg-type]


def pinned_traffic(s: Scenario) -> None:
    user = s.pinned()
    for _ in range(5):
        user.visit()


def test_a_pin_that_holds_is_held_and_its_history_is_on_disk(tmp_path: Path) -> None:
    result = one(tmp_path, pinned_traffic)
    assert (result.verdict, result.decided, result.requests) == (Verdict.HELD, 5, 6)
    records = list(read((tmp_path / result.history).read_bytes().splitlines(keepends=True)))
    assert sum(isinstance(each, Sent) for each in records) == 6
    assert sum(isinstance(each, Received) for each in records) == 6
    assert {each.id for each in records if isinstance(each, Arrived)} == {
        each.id for each in records if isinstance(each, Sent)
    }


def test_who_sends_another_users_key_on_purpose_does_not_fool_the_oracle(tmp_path: Path) -> None:
    """Judged by the value sent: a thief of a cookie is on the right backend when it is the cookie's."""

    def test(s: Scenario) -> None:
        first, second = s.pinned("b1"), s.pinned("b2")
        stolen = first.cookie_header()
        for _ in range(3):
            second.request("GET", "/", cookie=stolen)
        assert second.backend == "b1"

    assert one(tmp_path, test).verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("late", "kind", "verdict"),
    [
        (0.0, Kind.MOVED, Verdict.BROKEN),
        (4000.0, Kind.MOVED, Verdict.INCONCLUSIVE),
        (4000.0, Kind.COOKIE_TWIN, Verdict.BROKEN),
    ],
)
def test_nobody_is_accused_of_a_pin_that_a_slow_machine_outlived(
    tmp_path: Path, late: float, kind: Kind, verdict: Verdict
) -> None:
    def test(s: Scenario) -> None:
        s.begin -= late  # as if it had taken so long; the pins last for less than an hour
        s.expect(False, kind, "it is elsewhere")

    assert one(tmp_path, test).verdict is verdict


@pytest.mark.parametrize(
    ("kind", "facts", "verdict"),
    [
        (Kind.MOVED, {}, Verdict.INCONCLUSIVE),
        (Kind.COOKIE_TWIN, {}, Verdict.BROKEN),
        (Kind.MOVED, {"luck": "shared with a right balancer"}, Verdict.BROKEN),
        (Kind.MOVED, {"requirements": (RequirementRef("X-1", "observe", "so", ("docs/x.md",)),)}, Verdict.OBSERVED),
    ],
)
def test_a_crowd_excuses_lateness_where_nothing_else_shows_what_the_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, facts: dict[str, Any], verdict: Verdict
) -> None:
    monkeypatch.setattr(Crowding, "worst", lambda *_: 99.0)
    this = job(lambda s: s.broken(kind, "it is elsewhere"), load(TARGET))
    (found,) = judged(tmp_path, replace(this, **facts))
    assert found.verdict is verdict
    assert ("99 processes" in found.reason) == (verdict is Verdict.INCONCLUSIVE)


def test_meeting_one_backend_again_shows_no_pin_where_all_others_are_out(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        user = s.pinned("b1")
        user.visit()
        require_others(s, "b1", 12)
        for name in ("b2", "b3"):
            s.system.kill(name)
        with pytest.raises(Inconclusive, match="12 strangers met b1 too"):
            require_others(s, "b1", 12)

    assert one(tmp_path, test).verdict is Verdict.HELD


def test_a_scenario_that_decides_nothing_is_never_held(tmp_path: Path) -> None:
    result = one(tmp_path, lambda s: [s.client().visit() for _ in range(3)] and None)  # type: ignore[arg-type]
    assert result.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        (Inconclusive("too few"), Verdict.INCONCLUSIVE),
        (NotCheckable("no such thing here"), Verdict.NOT_CHECKABLE),
        (SetupFault("no more ports"), Verdict.SETUP_FAILED),
        (ZeroDivisionError("mine"), Verdict.HARNESS_ERROR),
        (AssertionError("mine too"), Verdict.HARNESS_ERROR),
    ],
)
def test_what_a_scenario_raises_is_never_the_balancers_fault(
    tmp_path: Path, raised: Exception, verdict: Verdict
) -> None:
    def test(s: Scenario) -> None:
        pinned_traffic(s)
        raise raised

    result = one(tmp_path, test)
    assert result.verdict is verdict
    assert str(raised) in result.reason


def test_a_violation_that_was_seen_counts_although_the_rest_was_inconclusive(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        s.broken(Kind.NEVER_EXPIRED, "it stayed")
        raise Inconclusive("and then nobody answered")

    result = one(tmp_path, test)
    assert result.verdict is Verdict.BROKEN
    assert result.violations[0].kind is Kind.NEVER_EXPIRED


def test_what_no_single_request_shows_has_a_reproduction_too(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        s.step("three strangers ask\nrm -rf /")
        s.broken(Kind.SETTING_ACCEPTED, "before any request")
        for _ in range(3):
            s.client().visit()
        s.broken(Kind.STICKY_UNASKED, "the three of them together")

    nothing_sent, group = one(tmp_path, test).violations
    for lines in (nothing_sent.curl, group.curl):
        assert lines[0].startswith("# +") and lines[0].endswith("s: three strangers ask rm -rf /")
        assert [line for line in lines if not line.startswith("#")] == [lines[-1]]
    assert shlex.split(nothing_sent.curl[-1])[0] == "curl"
    loop = shlex.split(group.curl[-1])
    assert loop[:7] == ["for", "i", "in", "$(seq", "3);", "do", "curl"]


def test_what_is_only_to_be_observed_is_never_broken(tmp_path: Path) -> None:
    result = one(tmp_path, lambda s: s.broken(Kind.MOVED, "it moved"), level="observe")
    assert result.verdict is Verdict.OBSERVED
    assert "it moved" in result.reason


def test_the_clock_moves_balancer_and_jar_together(tmp_path: Path) -> None:
    seen: queue.Queue[tuple[str, str]] = queue.Queue()

    def test(s: Scenario) -> None:
        user = s.pinned()
        before = user.cookie_header()
        s.wait(s.duration + 5)
        seen.put((before, user.cookie_header()))
        pinned_traffic(s)

    result = one(tmp_path, test, touches="clock")
    before, after = seen.get_nowait()
    assert result.verdict is Verdict.HELD
    assert before and not after, "the jar's clock did not move, or its cookie has no expiry"
    assert result.waited == 0


def test_faults_are_in_the_history_with_the_moment_of_their_certainty(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        pinned_traffic(s)
        s.system.kill("b1")
        s.system.revive("b1")
        pinned_traffic(s)

    result = one(tmp_path, test, touches="backends")
    assert result.verdict is Verdict.HELD
    controls = [
        each
        for each in read((tmp_path / result.history).read_bytes().splitlines(keepends=True))
        if isinstance(each, Control)
    ]
    assert [(each.verb, each.backend) for each in controls] == [("kill", "b1"), ("revive", "b1")]
    assert controls[0].t < controls[0].done <= controls[1].t < controls[1].done
    assert [step.text for step in result.steps] == ["kill b1", "revive b1"]


def test_three_waits_of_two_seconds_are_waited_together(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        s.real_wait(2)
        pinned_traffic(s)

    loaded = load("reference-real-idle")
    jobs = [
        Job(loaded, Behaviour(f"wait.{number}", test, 0.0, 99, touches="clock", waits=True), "", (REQUIREMENT,))
        for number in range(3)
    ]
    begin = time.monotonic()
    results = judged(tmp_path, *jobs)
    wall = time.monotonic() - begin
    assert [each.verdict for each in results] == [Verdict.HELD] * 3
    assert sum(each.waited for each in results) >= 6
    assert wall < sum(each.waited for each in results)


def test_who_was_placed_elsewhere_while_somebody_was_looked_for_is_told_apart(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        users = [s.pinned(name) for name in reversed(s.names)]
        users += [user for group in s.pinned_to_each(2).values() for user in group]
        for user in users:
            user.visit()
        s.observe(f"{len(users)} users")

    result = one(tmp_path, test)
    assert result.observations == ("9 users",)
    assert result.elsewhere > 0, "no rotation meets its members backwards"
    assert result.requests - result.elsewhere == 18


def test_many_share_one_deployment_although_there_is_one_slot(tmp_path: Path) -> None:
    """Who waits for another to start it must not hold the slot that the other one needs: this once was a deadlock."""
    loaded = load(TARGET)
    jobs = [
        Job(loaded, Behaviour(f"shared.{number}", pinned_traffic, 0.0, 99), "", (REQUIREMENT,)) for number in range(8)
    ]
    results: list[Verdict] = []
    with Lab(1, [loaded], slots=1) as lab:
        runner = Runner(lab, jobs, tmp_path, lambda _event: None)
        runner.start()
        waiting = threading.Thread(target=lambda: results.extend(runner.result(job.key).verdict for job in jobs))
        waiting.start()
        waiting.join(timeout=60)
        assert not waiting.is_alive()
    assert results == [Verdict.HELD] * 8


def test_cancel_in_the_middle_ends_soon_and_leaves_nothing(tmp_path: Path) -> None:
    started = threading.Event()

    def test(s: Scenario) -> None:
        pinned_traffic(s)
        started.set()
        s.real_wait(3600)

    loaded = load(TARGET)
    lab = Lab(1, [loaded])
    runner = Runner(lab, [job(test, loaded, touches="clock")], tmp_path, lambda _event: None)
    runner.start()
    assert started.wait(30)
    runner.cancel()
    for thread in runner._threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert not lab.workdir.exists()
    assert lab.keeper.ended
    assert (tmp_path / "histories").exists(), "the history so far belongs to the user"
