"""Lets scenarios run side by side: traffic takes a slot, waiting gives it back, and all waits overlap.

A run costs its longest scenario, not the sum of them. Who comes back from a wait goes before who has not begun yet: a
sample that is due just before the end of a duration must not queue behind fresh work. Who hangs in a request or in the
start of a balancer gives its slot back too, as soon as it has taken longer than a healthy one would.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.03
"""Seconds that a slot is held by something that merely blocks; healthy requests take a few milliseconds."""


class Cancelled(BaseException):
    """The run was cancelled while this scenario waited. No `Exception`: nothing in a scenario may swallow it."""


class Timeline:
    """Traffic slots and the waits between them.

    Args:
        slots: how many scenarios may send traffic at the same time.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._queue: list[tuple[int, int, threading.Event]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._waited = 0.0
        self._holders: set[int] = set()
        self._blocked: dict[int, float] = {}
        self._lent: set[int] = set()
        self._watch: threading.Thread | None = None

    @property
    def waited(self) -> float:
        """The sum of all waits so far, in seconds: what a run one after the other would have waited."""
        return self._waited

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends all waiting; every scenario that waits or asks for a slot gets `Cancelled`."""
        self._cancelled.set()
        with self._lock:
            for _, _, event in self._queue:
                event.set()

    @contextmanager
    def slot(self, priority: int = 1) -> Iterator[None]:
        """Holds a traffic slot. Lower ``priority`` goes first; `wait` comes back with priority 0."""
        self._acquire(priority)
        self._holders.add(threading.get_ident())
        try:
            yield
        finally:
            self._holders.discard(threading.get_ident())
            self._release()

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Around what may block for long: after `PATIENCE` the slot goes to others, and is taken again at the end.

        Threads without a slot (a scenario's helpers) just pass through.
        """
        me = threading.get_ident()
        if me not in self._holders or me in self._blocked:
            yield
            return
        self.check()
        with self._lock:
            self._blocked[me] = time.monotonic()
        self._watch_over()
        try:
            yield
        finally:
            with self._lock:
                del self._blocked[me]
                lent = me in self._lent
                self._lent.discard(me)
            if lent:
                self._acquire(0)

    def _watch_over(self) -> None:
        with self._lock:
            if self._watch is None:
                self._watch = threading.Thread(target=self._lend, name="limpet-timeline", daemon=True)
                self._watch.start()

    def _lend(self) -> None:
        while not self._cancelled.wait(PATIENCE / 2):
            now = time.monotonic()
            with self._lock:
                late = [each for each, since in self._blocked.items() if now - since > PATIENCE]
                fresh = [each for each in late if each not in self._lent]
                self._lent.update(fresh)
            for _ in fresh:
                self._release()

    def wait(self, seconds: float) -> None:
        """Gives the slot back, waits so many real seconds, and takes a slot again.

        The wait may be longer than asked for when the machine is busy; what counts is when requests were really
        sent, which their records tell.
        """
        if seconds <= 0:
            return
        self._release()
        begin = time.monotonic()
        try:
            self._cancelled.wait(seconds)
        finally:
            with self._lock:
                self._waited += time.monotonic() - begin
            self._acquire(0)
        self.check()

    def check(self) -> None:
        """Raises `Cancelled` when the run was cancelled."""
        if self.cancelled:
            raise Cancelled

    def _acquire(self, priority: int) -> None:
        with self._lock:
            if self._free > 0 or self._cancelled.is_set():
                self._free -= 1
                return
            event = threading.Event()
            heapq.heappush(self._queue, (priority, next(self._order), event))
        event.wait()
        if self._cancelled.is_set():  # nobody handed a slot over; the books must still balance
            with self._lock:
                self._free -= 1

    def _release(self) -> None:
        with self._lock:
            if self._queue and not self._cancelled.is_set():
                _, _, event = heapq.heappop(self._queue)
                event.set()  # the slot passes over to who waited first
            else:
                self._free += 1
