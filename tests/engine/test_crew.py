"""Several processes share the jobs of a run, and none of them can be lost unnoticed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.crew import Crew, split
from limpet.harness.engine.plan import Job
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import RequirementRef, Verdict
from limpet.harness.targets.load import load

REQUIREMENT = RequirementRef("X-1", "must", "some sentence", ("docs/x.md",))
LOADED = load("reference-lb-cookie-idle")


def traffic(s: Scenario) -> None:
    user = s.pinned()
    for _ in range(3):
        user.visit()


def waits(s: Scenario) -> None:
    s.real_wait(3600)


def job(name: str, test: object = traffic, **facts: object) -> Job:
    return Job(LOADED, Behaviour(name, test, 0.0, 99, **facts), "", (REQUIREMENT,))  # type: ignore[arg-type]


def test_what_shares_a_deployment_stays_together_and_the_rest_is_shared_out() -> None:
    shared = [job(f"shared.{number}") for number in range(4)]
    own = [job(f"own.{number}", touches="backends") for number in range(6)]
    parts = split([*shared, *own], 2)
    assert sorted(each.key for part in parts for each in part) == sorted(each.key for each in (*shared, *own))
    keys = [{each.key for each in part} for part in parts]
    assert any({each.key for each in shared} <= part for part in keys)
    assert all(part for part in parts)


def test_every_job_has_its_result_whoever_ran_it(tmp_path: Path) -> None:
    jobs = [job(f"own.{number}", touches="backends") for number in range(4)]
    crew = Crew(1, jobs, tmp_path, lambda _event: None, processes=2)
    crew.start()
    try:
        assert [crew.result(each.key).verdict for each in jobs] == [Verdict.HELD] * 4
    finally:
        crew.close()


def test_a_worker_that_is_lost_is_limpets_error_and_never_the_balancers(tmp_path: Path) -> None:
    jobs = [job("own.waits", waits, touches="backends")]
    crew = Crew(1, jobs, tmp_path, lambda _event: None, processes=2)
    crew.start()
    try:
        if not crew._workers[0].pid:
            return  # this test process has threads, so the worker is one too
        os.kill(crew._workers[0].pid, signal.SIGKILL)
        result = crew.result(jobs[0].key)
        assert result.verdict is Verdict.HARNESS_ERROR
        assert "signal 9" in result.reason
    finally:
        crew.close()


def test_close_ends_what_is_under_way(tmp_path: Path) -> None:
    crew = Crew(1, [job("own.waits", waits, touches="backends")], tmp_path, lambda _event: None, processes=1)
    crew.start()
    pids = [worker.pid for worker in crew._workers if worker.pid]
    begin = time.monotonic()
    crew.close()
    assert time.monotonic() - begin < 30
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
