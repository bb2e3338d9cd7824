"""Starts all jobs of a run side by side and hands out their results as they come."""

from __future__ import annotations

import itertools
import queue
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.judging import result_of, run_job
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.lanes import Lane, OnlyLane, Shared, SharedLane, Spares
from limpet.harness.engine.ledger import Emit, Ledger
from limpet.harness.engine.plan import Job
from limpet.harness.engine.timeline import Cancelled
from limpet.harness.model.events import Event, ScenarioFinished, ScenarioStarted
from limpet.harness.model.verdict import Result, Verdict

HEALING = 30.0
"""Seconds for bringing a user's own backends back up after the run was cancelled."""

_STACK = 512 * 1024
"""Bytes of stack for each scenario's thread; hundreds of them wait at the same time."""


class Runner(Ledger):
    """Runs jobs; results are asked for by key in any order.

    Args:
        lab: where deployments come from.
        jobs: what to run.
        out: where histories go.
        emit: takes events, in the thread that calls `result` and `drain`.
        name: what tells its requests from those of other runners of the same run.
    """

    def __init__(self, lab: Lab, jobs: Sequence[Job], out: Path, emit: Emit, *, name: str = "") -> None:
        super().__init__(jobs, emit)
        self._lab = lab
        self._out = out
        self._name = name
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._prefixes = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._healing: list[threading.Thread] = []

    def start(self) -> None:
        """Starts every job; those that need not run have their result at once."""
        self._begin()
        for job in self._jobs.values():
            if job.settled is not None:
                self._tell(result_of(job, job.settled, job.reason))
        lanes = self._lanes([job for job in self._jobs.values() if job.settled is None])
        before = threading.stack_size(_STACK)
        try:
            for lane in sorted(lanes, key=lambda lane: lane.priority):
                thread = threading.Thread(target=self._guard, args=(lane,), daemon=True, name=lane.jobs[0].key)
                self._threads.append(thread)
                if isinstance(lane, OnlyLane):
                    self._healing.append(thread)
                thread.start()
        finally:
            threading.stack_size(before)

    def result(self, key: str) -> Result:
        """The result of one job; delivers events while it waits.

        Raises:
            HarnessFault: no such job was planned.
            Cancelled: the run was cancelled meanwhile.
        """
        self._must_be_planned(key)
        while key not in self._results:
            event = self._events.get()
            if event is None:
                raise Cancelled
            self._deliver(event)
        return self._results[key]

    def wait_for_all_but(self, count: int) -> None:
        """Delivers events until at most so many jobs have no result.

        Raises:
            Cancelled: the run was cancelled meanwhile.
        """
        while len(self._jobs) - len(self._results) > count:
            event = self._events.get()
            if event is None:
                raise Cancelled
            self._deliver(event)

    def drain(self) -> None:
        """Delivers what has happened so far."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if event is not None:
                self._deliver(event)

    def cancel(self) -> None:
        """Ends the run: no job starts any more, and those under way lose their processes."""
        self._lab.timeline.cancel()
        for thread in self._healing:
            thread.join(HEALING)
        self._lab.close()
        self._events.put(None)

    def _tell(self, result: Result) -> None:
        self._events.put(ScenarioFinished(result))

    def _guard(self, lane: Lane) -> None:
        """A lane must end in a result for each of its jobs: the main thread waits for them."""
        told: set[str] = set()
        tells = lane.tells

        def tell(result: Result) -> None:
            told.add(result.key)
            tells(result)

        lane.tells = tell
        try:
            lane.run()
        except Exception as err:  # noqa: BLE001 - anything that escapes here is limpet's own error
            if self._lab.timeline.cancelled:
                return
            detail = "".join(traceback.format_exception(err))
            for job in lane.jobs:
                if job.key not in told:
                    reason = f"{type(err).__name__}: {err}"
                    tells(result_of(job, Verdict.HARNESS_ERROR, reason, detail=detail))

    def _run(self, job: Job, deployment: Deployment) -> Result:
        self._events.put(ScenarioStarted(job.loaded.target.name, job.name))
        prefix = f"{self._name}s{next(self._prefixes)}"
        return run_job(
            job, deployment, self._lab.timeline, self._lab.crowding, seed=self._lab.seed, prefix=prefix, out=self._out,
            tell=self._events.put,
        )  # fmt: skip

    def _lanes(self, jobs: Sequence[Job]) -> list[Lane]:
        lanes: list[Lane] = []
        by_target: dict[int, list[Job]] = {}
        for job in jobs:
            by_target.setdefault(id(job.loaded), []).append(job)
        for group in by_target.values():
            target = group[0].loaded.target
            if target.single:
                lanes.append(OnlyLane(group, self._lab, self._run, self._tell, 1))
                continue
            spares = Spares(self._lab, [job for job in group if job.behaviour.own_deployment])
            shared = Shared(self._lab, sum(not job.behaviour.own_deployment for job in group))
            real = not target.control.advance_clock
            for job in group:
                # Whoever loses a datagram misses its answer for all of a client's patience, again and again.
                long = (real and job.behaviour.waits) or target.backends.protocol == "udp"
                priority = 1 if long else 2
                if job.behaviour.own_deployment:
                    lanes.append(Lane([job], self._lab, self._run, self._tell, priority, spares))
                else:
                    lanes.append(SharedLane([job], self._lab, self._run, self._tell, priority, shared=shared))
        return lanes
