"""How jobs get their deployments: a fresh one each, one that several share, or the only one there is."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.judging import result_of
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.steady import restore, verify
from limpet.harness.engine.timeline import Cancelled
from limpet.harness.engine.wiring import why_not_wired
from limpet.harness.model.errors import HarnessFault, LimpetFault, SetupFault, UsageFault
from limpet.harness.model.verdict import Result, Verdict

_PREFLIGHT = 5.0
"""Seconds that a balancer of which there is only one may take to answer from every backend before anything is judged,
unless its target says that it takes longer to come up, or to notice backends."""

Runs = Callable[[Job, Deployment], Result]
Tells = Callable[[Result], None]


@dataclass
class Spares:
    """Deployments that one scenario after another has to itself, as long as none of them disturbs anything lasting.

    Moving the affinity clock lasts for nobody: the next scenario has keys of its own and only sees that time went by.
    Starting a balancer and its backends costs more than most scenarios, so those that can take over do.

    Args:
        lab: where deployments come from.
        jobs: all that will come, so that the last one of a kind can clear up.
    """

    lab: Lab
    jobs: Iterable[Job]
    _left: Counter[Hashable] = field(init=False)
    _idle: dict[Hashable, list[Deployment]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._left = Counter(self._kind(job) for job in self.jobs)

    def take(self, job: Job) -> Deployment:
        """A started deployment for this job alone.

        Raises:
            LimpetFault: it could not be started.
        """
        with self._lock:
            idle = self._idle.get(self._kind(job))
            if idle:
                return idle.pop()
        deployment = self.lab.deployment(job.loaded, job.behaviour.weights_for(job.variant), wired=_wired(job))
        try:
            deployment.start()
        except BaseException:
            deployment.stop()
            raise
        return deployment

    def give_back(self, job: Job, deployment: Deployment | None, *, sound: bool) -> None:
        """The job is done with it; ``sound``: its verdict gives no reason to distrust the deployment."""
        kind = self._kind(job)
        over: list[Deployment] = []
        with self._lock:
            self._left[kind] -= 1
            if deployment is not None:
                harmless = job.behaviour.touches in ("nothing", "clock") and not deployment.disturbed
                keep = sound and harmless and self._left[kind] > 0
                (self._idle.setdefault(kind, []) if keep else over).append(deployment)
            if self._left[kind] == 0:
                over += self._idle.pop(kind, [])
        for each in over:
            each.stop()

    @staticmethod
    def _kind(job: Job) -> Hashable:
        return id(job.loaded), job.behaviour.weights_for(job.variant), _wired(job)


@dataclass
class Lane:
    """Jobs that run one after the other in one thread.

    Args:
        jobs: in order.
        lab: where deployments come from.
        runs: runs a job on a started deployment.
        tells: takes each result.
        priority: which lane gets a traffic slot first; lower goes first.
        spares: where a deployment for one scenario alone comes from.
    """

    jobs: list[Job]
    lab: Lab
    runs: Runs
    tells: Tells
    priority: int = 2
    spares: Spares | None = None

    def run(self) -> None:
        """Runs all jobs; each ends in exactly one result, unless the run is cancelled."""
        try:
            with self.lab.timeline.slot(self.priority):
                self.lab.timeline.check()
                self._run()
        except Cancelled:
            return

    def _run(self) -> None:
        assert self.spares is not None
        for job in self.jobs:
            deployment, sound = None, False
            try:
                deployment = self.spares.take(job)
                result = self.runs(job, deployment)
                sound = result.verdict in (Verdict.HELD, Verdict.OBSERVED) and deployment.target.alive()
            except LimpetFault as err:
                result = failed(job, err)
            finally:
                self.spares.give_back(job, deployment, sound=sound)
            self.tells(result)


@dataclass
class Shared:
    """One deployment for all jobs of a target that disturb nothing; stopped when the last one is done.

    The first job that needs it starts it. Nobody ever waits for a traffic slot while holding the lock: whoever holds
    a slot and wants the lock would wait for ever.
    """

    lab: Lab
    jobs: int
    _deployment: Deployment | None = None
    _fault: LimpetFault | None = None
    _begun: bool = False
    _settled: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, job: Job) -> Deployment:
        """The deployment, started.

        Raises:
            LimpetFault: it could not be started, now or for an earlier job.
        """
        with self._lock:
            mine, self._begun = not self._begun, True
        if mine:
            self._start(job)
        else:
            with self.lab.timeline.patience():
                self._settled.wait()
        if self._deployment is None:
            raise self._fault or HarnessFault("the shared deployment did not start", where=job.loaded.target.name)
        return self._deployment

    def _start(self, job: Job) -> None:
        deployment = self.lab.deployment(job.loaded)
        try:
            deployment.start()
            self._deployment = deployment
        except LimpetFault as err:
            deployment.stop()
            self._fault = err
        finally:
            self._settled.set()

    def give_back(self) -> None:
        """One job is done with it."""
        with self._lock:
            self.jobs -= 1
            last = self.jobs == 0
        if last and self._deployment is not None:
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
    """All jobs of a target of which there is only one, so that they take turns, the harmless ones first.

    The balancer runs already, or it is limpet's and its backends are not: what one scenario does to them would be an
    outage in every other one.

    After each job that disturbs it, it is brought back to a verified steady state; where that fails, what comes after
    would judge the wreck, so the rest is *setup failed*.
    """

    def _run(self) -> None:
        jobs = sorted(self.jobs, key=lambda job: job.behaviour.touches != "nothing")
        deployment = self.lab.deployment(jobs[0].loaded)
        try:
            self._in_turn(jobs, deployment)
        finally:
            # Also after Ctrl-C: what limpet broke of the user's own must not stay broken.
            try:
                deployment.heal()
            except LimpetFault as err:
                sys.stderr.write(f"limpet: {err}\n")
            deployment.stop()

    def _in_turn(self, jobs: Sequence[Job], deployment: Deployment) -> None:
        fault: LimpetFault | None = None
        try:
            deployment.start()
            target = deployment.loaded.target
            verify(deployment, max(_PREFLIGHT, target.endpoint.wait, target.timing.up_noticed.value))
        except LimpetFault as err:
            fault = err
        for job in jobs:
            if fault is not None:
                self.tells(failed(job, fault))
                continue
            self.lab.timeline.check()
            result = self.runs(job, deployment)
            try:
                if job.behaviour.touches != "nothing":
                    deployment.heal()
            except LimpetFault as err:
                fault = _left_over(job, err)
                if result.verdict is not Verdict.BROKEN:  # what was seen before stays what it is
                    result = failed(job, fault)
            self.tells(result)
            try:
                if fault is None and job.behaviour.touches != "nothing":
                    restore(deployment)
            except LimpetFault as err:
                fault = _left_over(job, err)


def _left_over(job: Job, err: LimpetFault) -> SetupFault:
    where = err.where or job.loaded.target.name
    return SetupFault(f"after {job.name} it could not be brought back: {err.what}", where=where, do=err.do)


def _wired(job: Job) -> bool:
    """Whether fault proxies are to stand before the backends: where the behaviour wants any, and they can."""
    return job.behaviour.wired and not why_not_wired(job.loaded)


def failed(job: Job, fault: LimpetFault) -> Result:
    """The result of a job whose deployment did not come up; a wrong target file is a set-up that fails too."""
    verdict = Verdict.SETUP_FAILED if isinstance(fault, SetupFault | UsageFault) else Verdict.HARNESS_ERROR
    return result_of(job, verdict, fault.reason, detail=fault.detail)
