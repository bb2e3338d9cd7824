"""How jobs get their deployments: a fresh one each, one that several share, or the only one there is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.judging import result_of
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.steady import restore
from limpet.harness.engine.timeline import Cancelled
from limpet.harness.model.errors import LimpetFault, SetupFault, UsageFault
from limpet.harness.model.verdict import Result, Verdict

Runs = Callable[[Job, Deployment], Result]
Tells = Callable[[Result], None]


@dataclass
class Lane:
    """Jobs that run one after the other in one thread.

    Args:
        jobs: in order.
        lab: where deployments come from.
        runs: runs a job on a started deployment.
        tells: takes each result.
        priority: which lane gets a traffic slot first; lower goes first.
    """

    jobs: list[Job]
    lab: Lab
    runs: Runs
    tells: Tells
    priority: int = 2

    def run(self) -> None:
        """Runs all jobs; each ends in exactly one result, unless the run is cancelled."""
        try:
            with self.lab.timeline.slot(self.priority):
                self.lab.timeline.check()
                self._run()
        except Cancelled:
            return

    def _run(self) -> None:
        for job in self.jobs:
            deployment = self.lab.deployment(job.loaded, job.behaviour.weights_for(job.variant))
            try:
                deployment.start()
                result = self.runs(job, deployment)
            except LimpetFault as err:
                result = failed(job, err)
            finally:
                deployment.stop()
            self.tells(result)


@dataclass
class Shared:
    """One deployment for all jobs of a target that disturb nothing; stopped when the last one is done."""

    lab: Lab
    jobs: int
    _deployment: Deployment | None = None
    _fault: LimpetFault | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, job: Job) -> Deployment:
        """The deployment, started.

        Raises:
            LimpetFault: it could not be started, now or for an earlier job.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._deployment is None:
                deployment = self.lab.deployment(job.loaded)
                try:
                    deployment.start()
                except LimpetFault as err:
                    deployment.stop()
                    self._fault = err
                    raise
                self._deployment = deployment
            return self._deployment

    def give_back(self) -> None:
        """One job is done with it."""
        with self._lock:
            self.jobs -= 1
            if self.jobs == 0 and self._deployment is not None:
                self._deployment.stop()


@dataclass
class SharedLane(Lane):
    """A job on a shared deployment."""

    shared: Shared | None = None

    def _run(self) -> None:
        assert self.shared is not None
        for job in self.jobs:
            try:
                result = self.runs(job, self.shared.take(job))
            except LimpetFault as err:
                result = failed(job, err)
            finally:
                self.shared.give_back()
            self.tells(result)


@dataclass
class OnlyLane(Lane):
    """All jobs of a balancer that runs already: there is one, so they take turns, the harmless ones first.

    After each job that disturbs it, it is brought back to a verified steady state; where that fails, what comes after
    would judge the wreck, so the rest is *setup failed*.
    """

    def _run(self) -> None:
        jobs = sorted(self.jobs, key=lambda job: job.behaviour.touches != "nothing")
        deployment = self.lab.deployment(jobs[0].loaded)
        fault: LimpetFault | None = None
        try:
            deployment.start()
        except LimpetFault as err:
            fault = err
        for job in jobs:
            if fault is not None:
                self.tells(failed(job, fault))
                continue
            self.lab.timeline.check()
            self.tells(self.runs(job, deployment))
            try:
                if job.behaviour.touches != "nothing":
                    restore(deployment)
            except LimpetFault as err:
                fault = SetupFault(
                    f"after {job.name} it could not be brought back: {err}", where=job.loaded.target.name
                )
        deployment.stop()


def failed(job: Job, fault: LimpetFault) -> Result:
    """The result of a job whose deployment did not come up; a wrong target file is a set-up that fails too."""
    verdict = Verdict.SETUP_FAILED if isinstance(fault, SetupFault | UsageFault) else Verdict.HARNESS_ERROR
    return result_of(job, verdict, str(fault))
