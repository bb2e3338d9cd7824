"""Keeps a target's requests below the rate that it allows."""

from __future__ import annotations

import threading
import time

from limpet.harness.engine.timeline import Timeline


class Pace:
    """Call it before each request; it returns when the request may go. Thread-safe.

    Args:
        rate: requests a second; None for as many as limpet can.
        timeline: whose slots others use meanwhile.
    """

    def __init__(self, rate: float | None, timeline: Timeline) -> None:
        self._rate = rate
        self._timeline = timeline
        self._lock = threading.Lock()
        self._next = 0.0

    def __call__(self) -> None:
        """Waits as long as the rate demands."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + 1 / self._rate
        if due > now:
            with self._timeline.patience():  # others may send meanwhile: this one only waits
                time.sleep(due - now)
