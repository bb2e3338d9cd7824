"""Keys of one balancer replayed to another: what is shown, what fails a strict run, and what cannot be tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import plan
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.upgrade import unfit
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.session import Options, RunSession
from limpet.harness.targets.load import LoadedTarget, load

OLD = "reference-lb-cookie-idle"


@pytest.fixture(scope="module")
def row() -> Behaviour:
    (found,) = (each for each in behaviours((SUITES,)) if each.id == "balancer.upgrade")
    return found


def judged(row: Behaviour, newer: LoadedTarget, out: Path) -> Result:
    jobs = plan(replace(load(OLD), newer=newer), [row])
    with Lab(1, [job.loaded for job in jobs]) as lab:
        runner = Runner(lab, jobs, out, lambda _event: None)
        runner.start()
        return runner.result(jobs[0].key)


def test_the_same_balancer_again_understands_its_keys(row: Behaviour, tmp_path: Path) -> None:
    result = judged(row, load(OLD), tmp_path)
    assert result.verdict is Verdict.HELD and result.only_should
    assert result.observations[0].startswith(f"12 of 12 users stayed with their backend on {OLD}")


def test_one_that_lost_its_stickiness_fails_a_strict_run_only(row: Behaviour, tmp_path: Path) -> None:
    result = judged(row, replace(load(OLD), sticky=False), tmp_path)
    assert result.verdict is Verdict.BROKEN and result.only_should
    assert Kind.MOVED in {each.kind for each in result.violations}


def test_one_that_promises_nothing_is_only_shown(row: Behaviour, tmp_path: Path) -> None:
    result = judged(row, load("reference-round-robin"), tmp_path)
    assert result.verdict is Verdict.OBSERVED
    stayed, of = result.observations[0].split()[0:3:2]
    assert int(stayed) < int(of) == 12


def test_nobody_is_asked_what_an_upgrade_does_without_one(row: Behaviour) -> None:
    assert plan(load(OLD), [row]) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (OLD, "reference-tcp-source-ip", "same protocol"),
        ("reference-round-robin", OLD, "not sticky"),
        (OLD, OLD, ""),
    ],
)
def test_what_cannot_be_upgraded_says_why(old: str, new: str, why: str) -> None:
    reason = unfit(load(old), load(new))
    assert (why in reason) if why else not reason


def test_many_targets_have_no_single_upgrade() -> None:
    with pytest.raises(UsageFault, match="--upgrade-to: 2 targets"):
        RunSession(Options(targets=(OLD, "reference-round-robin"), upgrade_to=OLD), [])
    with pytest.raises(UsageFault, match="no target"):
        RunSession(Options(targets=(OLD,), upgrade_to="reference-lb-cookie-idel"), [])
