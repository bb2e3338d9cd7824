"""The affinity clock: the wall clock at start, carried on by a monotonic one, plus what it was advanced."""

from __future__ import annotations

import time
from collections.abc import Callable


class OffsetClock:
    """Never runs backwards, also when somebody sets the machine's time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._base = wall() - monotonic()
        self._offset = 0.0

    @property
    def offset(self) -> float:
        """Seconds it was advanced so far."""
        return self._offset

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._base + self._monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        """Jump ahead by `seconds` (0 or more)."""
        if seconds < 0:
            raise ValueError("the affinity clock cannot go back")
        self._offset += seconds
