"""Runs the jobs of a run in several processes, one for each core: threads of one Python cannot use two.

Each worker is a fork of this process with a `Lab` and a `Runner` of its own; what it has to tell comes over a socket.
When that socket ends, however this process ended, the worker takes its lab apart; if it cannot, the kernel ends it and
its keeper does the rest.

What could not be decided beside everything else is played once more at the end, by itself: see `SecondLook`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import socket
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from limpet.harness.engine.ground import SOAK
from limpet.harness.engine.judging import result_of
from limpet.harness.engine.ledger import Emit, Ledger
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import HEALING
from limpet.harness.engine.second_look import SecondLook
from limpet.harness.engine.wires import WireMaker
from limpet.harness.engine.worker import SLOTS, Done, Worker, Workplace, receive, work
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.events import Event, ScenarioFinished
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.network.site import Name

_FAREWELL = HEALING + 10.0
"""Seconds that a worker may take to take its lab apart before it is killed."""


class Crew(Ledger):
    """The workers of one run; results are asked for by key in any order.

    Args:
        seed: of the run.
        jobs: what to run.
        out: where histories go.
        emit: takes events, in the thread that calls `result` and `drain`.
        processes: how many workers; None for one each core. Where this process has threads already, which a fork would
            lose in mid-step, there is one worker, in this process.
        network: where traffic comes from; each worker has one of its own.
        run: the id that all that is made for it carries.
        wires: what stands before the backends of deployments that are wired; None: none can be.
        soak: seconds that a soak lasts.
    """

    def __init__(self, seed: int, jobs: Sequence[Job], out: Path, emit: Emit, *, processes: int | None = None,
                 network: Name = "loopback", run: str = "", wires: WireMaker | None = None,
                 soak: float = SOAK) -> None:  # fmt: skip
        super().__init__(jobs, emit)
        self._seed = seed
        self._out = out
        self._network = network
        self._run = run
        self._wires = wires
        self._soak = soak
        self._processes = processes or len(os.sched_getaffinity(0))
        self._workers: list[Worker] = []
        self._told: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._second = SecondLook(())
        self.waited = 0.0

    def start(self) -> None:
        """Starts the workers; jobs that need not run have their result at once."""
        self._begin()
        for job in self._jobs.values():
            if job.settled is not None:
                self._told.put(ScenarioFinished(result_of(job, job.settled, job.reason)))
        todo = [job for job in self._jobs.values() if job.settled is None]
        parts = [part for part in split(todo, self._processes if _alone() else 1) if part]
        self._second = SecondLook(todo)
        for part in parts:
            self._hire(part)

    def result(self, key: str) -> Result:
        """The result of one job; delivers events while it waits.

        Raises:
            HarnessFault: no such job was planned.
        """
        self._must_be_planned(key)
        self.drain()
        while key not in self._results:
            self._listen(None)
        return self._results[key]

    def drain(self) -> None:
        """Delivers what has happened so far."""
        while not self._told.empty():
            self._deliver(self._told.get())
        while self._listen(0):
            pass

    def close(self) -> None:
        """Ends every worker, at once where it has not ended by itself. Idempotent."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.channel.shutdown(socket.SHUT_RDWR)
        for worker in self._workers:
            worker.end(_FAREWELL)
        self._selector.close()
        self._workers = []

    def _hire(self, jobs: Sequence[Job], *, slots: int = SLOTS) -> None:
        place = Workplace(
            self._seed, tuple(jobs), self._out, f"w{len(self._workers) + 1}", self._network, self._run, self._wires,
            self._soak, slots,
        )  # fmt: skip
        worker = self._fork(place) if _alone() else self._thread(place)
        self._workers.append(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _fork(self, place: Workplace) -> Worker:
        ours, theirs = socket.socketpair()
        me = os.getpid()
        pid = os.fork()
        if pid:
            theirs.close()
            return Worker(place, ours, pid)
        code = 1
        try:
            ours.close()
            for other in self._workers:
                other.channel.close()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to understand
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = work(place, theirs, parent=me)
        except BaseException:  # noqa: BLE001 - nothing of a fork may run on into its parent's code
            traceback.print_exc()
        finally:
            os._exit(code)

    def _thread(self, place: Workplace) -> Worker:
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=work, args=(place, theirs), daemon=True, name="limpet-worker")
        thread.start()
        return Worker(place, ours, 0, thread)

    def _listen(self, timeout: float | None) -> bool:
        """Takes what workers tell; whether any did."""
        if not self._selector.get_map() and (undecided := self._second.begin()):
            self._hire(undecided, slots=1)
        if not self._selector.get_map():
            if timeout is None:
                raise HarnessFault("every worker has ended, and a result is missing")
            return False
        ready = self._selector.select(timeout)
        for entry, _ in ready:
            worker: Worker = entry.data
            message = receive(worker.channel)
            if message is None:
                self._selector.unregister(worker.channel)
                self._missing(worker)
            elif isinstance(message, Done):
                self.waited += message.waited
            elif (event := self._second.take(message)) is not None:
                self._deliver(event)
        return bool(ready)

    def _missing(self, worker: Worker) -> None:
        """A worker that ended owes a result for each job it did not tell of."""
        for job in worker.place.jobs:
            if job.key not in self._results and not self._second.knows(job.key):
                reason = f"the process that ran it ended unexpectedly ({worker.fate(_FAREWELL)})"
                self._deliver(ScenarioFinished(result_of(job, Verdict.HARNESS_ERROR, reason)))


def split(jobs: Sequence[Job], count: int) -> list[list[Job]]:
    """The jobs in so many parts of about the same weight.

    What shares a deployment stays together, and so does all that concerns a target of which there is only one.
    """
    parts: list[list[Job]] = [[] for _ in range(count)]
    weights = [0.0] * count
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        together = job.loaded.target.single or not job.behaviour.own_deployment
        groups.setdefault((str(id(job.loaded)), "" if together else job.key), []).append(job)
    for group in sorted(groups.values(), key=len, reverse=True):
        lightest = weights.index(min(weights))
        parts[lightest] += group
        # A deployment of its own costs about as much as the traffic of a scenario.
        weights[lightest] += sum(2.0 if job.behaviour.own_deployment else 1.0 for job in group)
    order = {job.key: number for number, job in enumerate(jobs)}
    return [sorted(part, key=lambda job: order[job.key]) for part in parts]


def _alone() -> bool:
    return threading.active_count() == 1
