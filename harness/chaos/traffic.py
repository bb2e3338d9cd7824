"""Users who go on while the nemesis is at work, each in one of a few threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.timeline import Cancelled

_THREADS = 3
"""So many requests are under way at the same time; one that waits for a silent backend stops one of them only."""

_ARRIVE = 0.25
"""The probability with which, after a round of everybody in a thread, somebody new comes."""

_CROWD = 8
"""Users of a thread; for whoever comes then, somebody leaves. Else all would end where nothing ever goes wrong."""

_LEAVING = 60.0
"""Seconds until a thread must have ended: a client's own patience, and what the machine adds to it."""


class Traffic:
    """Users who come again and again until the ``with`` ends.

    While it goes on, the scenario's own thread may steer the deployment, and must not use these users or make others.

    Args:
        scenario: whose history it goes into.
        users: who comes; each stays in one thread, so that one user's requests follow each other.
        pause: seconds between two requests of a thread.
        newcomers: users who come for the first time, one now and then, and go on like the others.
    """

    def __init__(
        self, scenario: Scenario, users: Sequence[Client], *, pause: float = 0.02, newcomers: Sequence[Client] = ()
    ) -> None:
        self._pause = pause
        self._stop = threading.Event()
        self._faults: list[BaseException] = []
        self._lock = threading.Lock()
        self.answers: list[Exchange] = []
        self._cancelled = scenario.cancelled
        count = min(_THREADS, len(users))
        self._threads = []
        for number in range(count):
            rng = random.Random(scenario.rng.getrandbits(64))
            mine, fresh = users[number::count], newcomers[number::count]
            self._threads.append(
                threading.Thread(
                    target=self._run, args=(rng, list(mine), list(fresh)), daemon=True, name=f"traffic-{number}"
                )
            )

    @property
    def failed(self) -> int:
        """How many requests had no good answer so far."""
        with self._lock:
            return sum(not each.ok for each in self.answers)

    @property
    def sent(self) -> int:
        """How many requests were sent so far."""
        return len(self.answers)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        deadline = time.monotonic() + _LEAVING
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._faults and value is None:
            raise self._faults[0]

    def _run(self, rng: random.Random, users: list[Client], fresh: list[Client]) -> None:
        try:
            while not self._stop.is_set() and not self._cancelled():
                if fresh and rng.random() < _ARRIVE:
                    if len(users) >= _CROWD:
                        users.remove(rng.choice(users))
                    users.append(fresh.pop())
                for user in rng.sample(users, len(users)):
                    if self._stop.is_set() or self._cancelled():
                        return
                    answer = user.visit(new_connection=rng.random() < 0.5)
                    with self._lock:
                        self.answers.append(answer)
                    self._stop.wait(self._pause)
        except Cancelled:
            return
        except BaseException as err:  # noqa: BLE001 - raised again in the scenario's thread
            self._faults.append(err)
