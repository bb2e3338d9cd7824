"""How many processes wanted this machine's processors, and when: being late there is nobody's fault.

Ten seconds for an answer are plenty on a machine that has time. Where each core has dozens of processes to serve, a
balancer, its health checks and its servers get a fraction of a second out of those ten, and their being late says
nothing about them. The kernel counts who is ready to run (``procs_running`` in /proc/stat, proc_stat(5)).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path

EVERY = 0.2
"""Seconds between two looks."""

STRETCH = 5.0
"""Seconds over which is averaged: a moment's crowd is nothing, for it is gone before anybody is late."""

_STAT = Path("/proc/stat")
_KEPT = 3600.0


class Crowding:
    """Looks every now and then, in a thread of its own, from the first `watch` until `close`.

    Args:
        stat: the kernel's file; where it is not there nothing is ever crowded.
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._cores = len(os.sched_getaffinity(0))
        self._seen: deque[tuple[float, int]] = deque(maxlen=int(_KEPT / EVERY))
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Begins to look. Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="limpet-crowding", daemon=True)
            self._thread.start()

    def note(self, when: float, running: int) -> None:
        """What was seen at that moment of CLOCK_MONOTONIC."""
        self._seen.append((when, running))

    def worst(self, begin: float, end: float) -> float:
        """Processes for each core, in the most crowded `STRETCH` that touches the time from begin to end; 0.0 where
        nobody looked for half a stretch.

        Args:
            begin: seconds of CLOCK_MONOTONIC.
            end: the same.
        """
        seen = [each for each in list(self._seen) if begin - STRETCH <= each[0] <= end + STRETCH]
        worst, first, total = 0.0, 0, 0
        for last, (when, running) in enumerate(seen):
            total += running
            while when - seen[first][0] > STRETCH:
                total -= seen[first][1]
                first += 1
            if when - seen[first][0] >= STRETCH / 2:
                worst = max(worst, total / (last - first + 1) / self._cores)
        return worst

    def close(self) -> None:
        """Looks no more. Idempotent."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(EVERY):
            running = _running(self._stat)
            if running is None:
                return
            self.note(time.monotonic(), running)


def _running(stat: Path) -> int | None:
    try:
        for line in stat.read_text("ascii").splitlines():
            if line.startswith("procs_running "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return None
