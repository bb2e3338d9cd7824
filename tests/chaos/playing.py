"""Scenarios on a deployment of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from limpet.harness.chaos.proxies.wires import embedded
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import RequirementRef, Result
from limpet.harness.targets.load import load

TARGET = "reference-lb-cookie-idle"


def plays(
    out: Path, tests: Sequence[Callable[[Scenario], None]], target: str = TARGET, *, wired: bool = False, seed: int = 1
) -> list[Result]:
    """What becomes of these scenarios, each on a deployment of its own, all at the same time: their waits overlap."""
    loaded = load(target)
    reference = (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),)
    jobs = []
    for number, test in enumerate(tests):
        spec = Behaviour(f"some.behaviour{number}", test, error_rate=0.0, budget=999, touches="backends", wired=wired)
        jobs.append(Job(loaded, spec, "", reference))
    with Lab(seed, [loaded], wires=embedded) as lab:
        runner = Runner(lab, jobs, out, lambda _event: None)
        runner.start()
        return [runner.result(job.key) for job in jobs]


def play(
    out: Path, test: Callable[[Scenario], None], target: str = TARGET, *, wired: bool = False, seed: int = 1
) -> Result:
    """What becomes of this scenario."""
    return plays(out, [test], target, wired=wired, seed=seed)[0]
