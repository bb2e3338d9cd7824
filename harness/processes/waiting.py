"""Waiting for a condition with a deadline, and saying what was waited for when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from limpet.harness.model.errors import SetupFault

T = TypeVar("T")


class NotYet(Exception):
    """Raised by a condition that is not met, with what it saw instead."""


def wait_until(condition: Callable[[], T | None], *, timeout: float, what: str, interval: float = 0.01) -> T:
    """Call `condition` until it is met, and return its value.

    Not met is: it returns None or False, or raises `NotYet` or `OSError` (a refused connection, a missing file).
    It is always tried once more after the deadline, so that a stalled machine alone cannot make it fail.

    Args:
        condition: tried again and again, in the calling thread.
        timeout: seconds of CLOCK_MONOTONIC.
        what: what is waited for, to follow "waited 5 s for".
        interval: seconds between two tries.

    Raises:
        SetupFault: the time is over; says what was waited for and what was last seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        try:
            value = condition()
        except (NotYet, OSError) as err:
            seen = str(err) or type(err).__name__
        else:
            if value is not None and value is not False:
                return value
            seen = "nothing" if value is None else "not so"
        if late:
            raise SetupFault(f"waited {timeout:g} s for {what}; last seen: {seen}")
        time.sleep(interval)
