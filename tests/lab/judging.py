"""What the tests of the lab share: running jobs in a network of their own."""

from __future__ import annotations

import threading
from pathlib import Path

from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.model.verdict import Result
from limpet.harness.network.site import Name


def judged(jobs: list[Job], out: Path, network: Name = "namespace") -> list[Result]:
    """Their results, in a lab of a thread's own."""
    results: list[Result] = []

    def live() -> None:
        with Lab(1, [job.loaded for job in jobs], network=network) as lab:
            runner = Runner(lab, jobs, out, lambda _event: None)
            runner.start()
            results.extend(runner.result(job.key) for job in jobs)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    return results
