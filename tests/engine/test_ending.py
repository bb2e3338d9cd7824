"""A balancer that ends in the middle of a run: whose doing that was, and that nobody else suffers from it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.nodes import second_node
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.ending import End
from limpet.harness.targets.load import load
from limpet.harness.targets.running import RunningTarget

PLAIN = "reference-lb-cookie-idle"
REQUIREMENTS = (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),)
Test = Callable[[Scenario], None]


def judged(tmp_path: Path, *tests: tuple[str, str, Test], alone: bool = True) -> list[Result]:
    """One result for each (target, behaviour, test)."""
    known = {target: load(target) for target in {target for target, _, _ in tests}}
    jobs = [Job(known[target], Behaviour(name, test, 0.0, 99, alone=alone), "", REQUIREMENTS)
            for target, name, test in tests]  # fmt: skip
    with Lab(1, list(known.values())) as lab:
        runner = Runner(lab, jobs, tmp_path, lambda _event: None)
        runner.start()
        return [runner.result(job.key) for job in jobs]


def end(s: Scenario, number: int, target: RunningTarget | None = None) -> None:
    """The process gets a signal, and is seen to be gone."""
    target = target or s.system.target
    target.signal(number)
    assert s.until(lambda: not target.alive(), 20)


def traffic(s: Scenario) -> None:
    user = s.pinned()
    for _ in range(3):
        user.visit()


@pytest.mark.parametrize(
    ("number", "verdict", "words"),
    [
        (signal.SIGSEGV, Verdict.BROKEN, "ended in mid-run with signal 11 (SIGSEGV)"),
        (signal.SIGKILL, Verdict.SETUP_FAILED, "ended in mid-run with signal 9 (SIGKILL), which comes from elsewhere"),
        (signal.SIGTERM, Verdict.SETUP_FAILED, "ended in mid-run with "),
    ],
)
def test_a_crash_is_the_balancers_and_a_signal_from_outside_is_nobodys(
    tmp_path: Path, number: int, verdict: Verdict, words: str
) -> None:
    def test(s: Scenario) -> None:
        traffic(s)
        end(s, number)
        s.client().visit()

    (result,) = judged(tmp_path, (PLAIN, "some.behaviour", test))
    assert result.verdict is verdict and words in result.reason, result.reason
    assert (Kind.ERROR in {each.kind for each in result.violations}) is (verdict is Verdict.BROKEN)


@pytest.mark.parametrize("held", [True, False])
def test_a_crash_of_a_shared_balancer_accuses_only_whose_request_was_open(tmp_path: Path, held: bool) -> None:
    def test(s: Scenario) -> None:
        traffic(s)
        with s.client().raw() as connection:
            if held:
                head = [b"GET / HTTP/1.1", b"Host: shop.example", b"Limpet-Hold: 20"]
                request = connection.send(head, client="who waits")
                assert s.until(lambda: any(each.id == request for each in s.system.arrived()), 20)
            end(s, signal.SIGSEGV)

    (result,) = judged(tmp_path, (PLAIN, "some.behaviour", test), alone=False)
    assert result.verdict is (Verdict.BROKEN if held else Verdict.SETUP_FAILED), result.reason
    assert held or "no request of this scenario was open" in result.reason


def test_who_comes_to_a_dead_balancer_says_nothing_about_it(tmp_path: Path) -> None:
    def kills(s: Scenario) -> None:
        end(s, signal.SIGSEGV)
        traffic(s)

    (result,) = judged(tmp_path, (PLAIN, "some.behaviour", kills))
    assert result.verdict is Verdict.SETUP_FAILED
    assert "before this scenario had sent anything" in result.reason


@pytest.mark.parametrize(
    ("number", "verdict"), [(signal.SIGABRT, Verdict.BROKEN), (signal.SIGKILL, Verdict.SETUP_FAILED)]
)
def test_of_a_second_node_the_same_is_said(tmp_path: Path, number: int, verdict: Verdict) -> None:
    def test(s: Scenario) -> None:
        user = s.pinned()
        with second_node(s) as node:
            node.visit(user)
            end(s, number, node.target)

    (result,) = judged(tmp_path, (PLAIN, "some.behaviour", test))
    assert result.verdict is verdict and "the second node's process ended" in result.reason, result.reason


def test_what_limpet_stops_itself_has_not_ended(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        traffic(s)
        s.system.restart()
        traffic(s)

    assert judged(tmp_path, ("reference-lb-cookie-idle", "some.behaviour", test))[0].verdict is Verdict.HELD


def test_a_restart_does_not_hide_that_it_was_dead_before(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        traffic(s)
        end(s, signal.SIGBUS)
        with pytest.raises(SetupFault, match="had ended before"):
            s.system.restart()

    assert judged(tmp_path, (PLAIN, "some.behaviour", test))[0].verdict is Verdict.BROKEN


@pytest.mark.balancers
def test_one_killed_master_is_its_targets_affair_alone(tmp_path: Path) -> None:
    """nginx's workers outlive a killed master and go on serving: nobody would notice it by their answers."""
    killed, *others = "nginx-sticky-cookie", "nginx-sticky-cookie-bare", PLAIN
    if reason := missing(load(killed)):
        pytest.skip(reason)

    def test(s: Scenario) -> None:
        user = s.pinned()
        end(s, signal.SIGKILL)
        for _ in range(3):
            user.visit()

    jobs = [(killed, "some.behaviour", test), (killed, "other.behaviour", traffic)]
    first, second, *rest = judged(tmp_path, *jobs, *((name, "some.behaviour", traffic) for name in others))
    assert first.verdict is Verdict.SETUP_FAILED
    assert "SIGKILL" in first.reason and "The balancer's last output" in first.reason + first.detail
    assert second.verdict is Verdict.HELD, "the next scenario has a balancer of its own"
    assert [each.verdict for each in rest] == [Verdict.HELD] * 2


@pytest.mark.parametrize(
    ("code", "crashed", "text"),
    [
        (-11, True, "signal 11 (SIGSEGV)"),
        (-9, False, "signal 9 (SIGKILL)"),
        (139, True, "signal 11 (SIGSEGV)"),
        (137, False, "signal 9 (SIGKILL)"),
        (143, False, "signal 15 (SIGTERM)"),
        (0, False, "exit code 0"),
        (1, True, "exit code 1"),
        (255, True, "exit code 255"),
    ],
)
def test_what_an_exit_code_says(code: int, crashed: bool, text: str) -> None:
    ending = End(code, 0.0)
    assert (ending.crashed, str(ending)) == (crashed, text)
