"""One deadline that moves often and passes rarely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """Moving the deadline later costs nothing: the loop's timer looks again when it fires too early."""

    __slots__ = ("_call", "_deadline", "_fires", "_handle", "_loop", "_now")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._now = loop.time
        self._call = call
        self._deadline: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._fires = 0.0  # when the loop's timer does

    def start(self, seconds: float) -> None:
        """Call in `seconds`, instead of at the deadline before."""
        self._deadline = deadline = self._now() + seconds
        if self._handle is not None:
            if self._fires <= deadline:
                return
            self._handle.cancel()
        self._arm(deadline)

    def stop(self) -> None:
        """Do not call. The loop's timer may stay until it finds that out."""
        self._deadline = None

    def close(self) -> None:
        """Never call again."""
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        deadline = self._deadline
        if deadline is None:
            return
        if deadline > self._now():
            self._arm(deadline)
            return
        self._deadline = None
        self._call()

    def _arm(self, deadline: float) -> None:
        self._fires = deadline
        self._handle = self._loop.call_at(deadline, self._fire)
