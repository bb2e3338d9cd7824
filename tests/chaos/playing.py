"""One scenario on a deployment of its own."""

from __future__ import annotations

from collections.abc import Callable
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


def play(
    out: Path, test: Callable[[Scenario], None], target: str = TARGET, *, wired: bool = False, seed: int = 1
) -> Result:
    """What becomes of this scenario."""
    spec = Behaviour("some.behaviour", test, error_rate=0.0, budget=999, touches="backends", wired=wired)
    job = Job(load(target), spec, "", (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),))
    with Lab(seed, [job.loaded], wires=embedded) as lab:
        runner = Runner(lab, [job], out, lambda _event: None)
        runner.start()
        return runner.result(job.key)
