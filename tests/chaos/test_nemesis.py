"""The nemesis on a real deployment: every fault happens, is told to the history, and heals."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playing import play, plays

from limpet.harness.chaos.fault import KINDS, SPECS, Fault
from limpet.harness.chaos.nemesis import Nemesis, by_hand, never
from limpet.harness.engine.client import Client
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.wires import LINKS
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.model.history import Control
from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.load import load

TARGET = "reference-lb-cookie-idle"


def verbs(s: Scenario) -> list[str]:
    return [f"{each.verb} {each.backend}".strip() for each in s.controls]


def everybody(s: Scenario, users: list[Client]) -> bool:
    answers = [user.visit(new_connection=True) for user in users]
    return all(each.ok for each in answers)


def test_what_is_done_to_processes_wires_and_pool_at_once_is_healed_at_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def test(s: Scenario) -> None:
        users = [s.pinned(name) for name in s.names]
        with Nemesis(s.system) as nemesis:
            nemesis.inflict(Fault("kill", "b1"))
            nemesis.inflict(Fault("partition", "b2"), settle=False)
            nemesis.inflict(Fault("latency", "b3", 0.05))
            added = nemesis.inflict(Fault("add"))
            nemesis.inflict(Fault("reload"))
            assert added.whom == "b4"
            assert nemesis.troubled == {"b1", "b2", "b3"}
            assert everybody(s, users)
        assert nemesis.active == ()
        assert s.names == ("b1", "b2", "b3")
        for _ in range(3):
            assert everybody(s, users)
        assert s.pinned("b1").backend == "b1"  # takes new sessions again
        seen.extend(verbs(s))

    result = play(tmp_path, test, wired=True)
    assert result.verdict is Verdict.HELD, result.reason
    assert [each for each in seen if each.split()[0] in ("kill", "blackhole", "impair", "add", "reload", "remove")] == [
        "kill b1", "blackhole b2", "impair b3", "add b4", "reload", "remove b4",
    ]  # fmt: skip
    assert {"revive b1", "normal b1", "normal b2", "normal b3"} <= set(seen)


TOGETHER = (
    [Fault("hang", "b1"), Fault("reset", "b2")],
    [Fault("accept-close", "b1"), Fault("blackhole", "b2"), Fault("restart")],
    [Fault("slow", "b1", 0.05), Fault("status", "b2", 502), Fault("health", "b3", 503), Fault("reorder")],
    [Fault("kill", "b3"), Fault("jitter", "b1", 0.05), Fault("bandwidth", "b1", 50), Fault("slow-close", "b2", 0.1)],
    [Fault("cut", "b1", 150), Fault("latency", "b1", 0.05), Fault("remove", "b2"), Fault("change")],
    [Fault("drain", "b1"), Fault("weight", "b2", 5), Fault("affinity-off"), Fault("clock", "", 60)],
    [Fault("partition", "b1"), Fault("add"), Fault("reload")],
)


def under(faults: list[Fault]) -> Callable[[Scenario], None]:
    def test(s: Scenario) -> None:
        users = [s.pinned(name) for name in s.names for _ in range(2)]
        with Nemesis(s.system) as nemesis:
            inflicted = [nemesis.inflict(fault) for fault in faults]
            assert len(nemesis.active) == sum(bool(fault.spec.healed_by) for fault in faults)
            for user in users:
                user.visit(new_connection=True)
            nemesis.heal_all()
            nemesis.heal(inflicted[0])  # once is enough
            assert not nemesis.active
        assert set(s.names) == {"b1", "b2", "b3"}
        assert everybody(s, users)
        assert everybody(s, users)

    return test


def test_faults_that_come_together_leave_a_right_balancer_right(tmp_path: Path) -> None:
    # Links are cut in a lab: tests/lab/test_links.py.
    assert {fault.kind for faults in TOGETHER for fault in faults} == set(KINDS) - set(LINKS)
    results = plays(tmp_path, [under(faults) for faults in TOGETHER], wired=True)
    for faults, result in zip(TOGETHER, results, strict=True):
        assert result.verdict is Verdict.HELD, f"{' + '.join(map(str, faults))}: {result.reason} {result.detail}"


def test_every_kind_is_known() -> None:
    assert set(SPECS) == set(KINDS)


def test_what_does_not_go_together_is_refused_with_the_reason(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        s.pinned().visit()
        nemesis = Nemesis(s.system)
        assert "no fault proxies" in nemesis.why_not(Fault("latency", "b1", 0.1))
        assert "no member" in nemesis.why_not(Fault("kill", "b9"))
        nemesis.inflict(Fault("kill", "b1"))
        assert nemesis.why_not(Fault("hang", "b1")) == "kill b1 is in force"
        assert nemesis.why_not(Fault("hang", "b2")) == ""
        with pytest.raises(HarnessFault, match="kill b1 is in force"):
            nemesis.inflict(Fault("status", "b1", 500))
        nemesis.heal_all()

    result = play(tmp_path, test)
    assert result.verdict is Verdict.HELD, result.reason


def test_a_member_that_is_removed_while_it_is_drained_and_hangs_comes_back_as_it_was(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        users = [s.pinned(name) for name in s.names]
        with Nemesis(s.system) as nemesis:
            drained = nemesis.inflict(Fault("drain", "b1"))
            nemesis.inflict(Fault("hang", "b1"))
            nemesis.inflict(Fault("remove", "b1"))
            nemesis.heal(drained)  # not possible yet: done as soon as it is a member again
            assert everybody(s, users)
        member = next(each for each in s.system.target.members if each.name == "b1")
        assert not member.drain
        assert s.pinned("b1").backend == "b1"

    result = play(tmp_path, test)
    assert result.verdict is Verdict.HELD, result.reason


def test_a_nemesis_that_cannot_heal_says_so_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def test(s: Scenario) -> None:
        s.pinned().visit()

        def no(_self: object, name: str) -> None:
            raise SetupFault("its disk is gone", where=name)

        with Nemesis(s.system) as nemesis:
            nemesis.inflict(Fault("kill", "b2"))
            nemesis.inflict(Fault("add"))
            monkeypatch.setattr(type(s.system), "_bring_back", no)
        raise AssertionError("nobody was told")

    result = play(tmp_path, test)
    assert result.verdict is Verdict.SETUP_FAILED
    assert "kill b2 could not be healed" in result.reason
    assert "its disk is gone" in result.reason
    assert "By hand: revive b2" in result.reason


def test_what_a_target_can_never_do_is_known_before() -> None:
    nginx, tcp = load("nginx-sticky-cookie"), load("haproxy-tcp")
    assert "advance_clock" in never(nginx, "clock")
    assert "health path" in never(nginx, "health")
    assert "connections" in never(tcp, "hang")
    assert never(tcp, "kill") == ""


def test_by_hand_names_the_targets_own_command() -> None:
    assert by_hand(load(TARGET), "hang", "b1").startswith("By hand: revive b1")


def test_controls_of_wires_say_what_was_done(tmp_path: Path) -> None:
    found: list[Control] = []

    def test(s: Scenario) -> None:
        user = s.pinned("b1")
        with Nemesis(s.system) as nemesis:
            nemesis.inflict(Fault("latency", "b1", 0.05))
            nemesis.inflict(Fault("cut", "b1", 100_000))
            user.visit()
            nemesis.heal(nemesis.active[0])
        user.visit()
        user.visit()
        found.extend(s.controls)

    assert play(tmp_path, test, wired=True).verdict is Verdict.HELD
    assert [(each.verb, each.detail, each.value) for each in found] == [
        ("impair", "latency", 0.05), ("impair", "cut", 100_000), ("mend", "", 0), ("normal", "", 0),
        ("normal", "noticed", 0),
    ]  # fmt: skip


def test_nobody_is_accused_of_a_backend_whose_partition_ended_before_its_latency(tmp_path: Path) -> None:
    left: list[float] = []

    def test(s: Scenario) -> None:
        user = s.pinned("b1")
        with Nemesis(s.system) as nemesis:
            cut = nemesis.inflict(Fault("partition", "b1"))
            user.visit()
            slow = nemesis.inflict(Fault("latency", "b1", 0.05))
            nemesis.heal(cut, settle=False)
            until = time.monotonic() + 20
            while s.client().visit().backend != "b1":
                assert time.monotonic() < until, "the balancer has not found out that b1 is back"
            cut = nemesis.inflict(Fault("partition", "b1"))
            nemesis.heal(slow, settle=False)
        user.visit()
        left.extend(each.value for each in s.controls if each.verb == "mend")

    result = play(tmp_path, test, wired=True)
    assert result.verdict is Verdict.HELD, result.reason
    assert left == [0, 1], "how much of what is left cuts it off"
