"""How a balancer's process ended that limpet did not stop: in a crash of its own, or because somebody else ended it."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from limpet.harness.targets.model import Target

_CRASHES = frozenset(
    {
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGPIPE,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)
"""What the kernel sends a process for what it did itself. All others come from somebody else: an administrator, a
supervisor, the kernel that ran out of memory."""

CONFIGURES = frozenset({"apply", "reload", "change", "restart", "affinity_on", "affinity_off", "rotate_keys"})
"""Verbs that give a balancer another configuration, which it may refuse by ending."""

_LATE = 1.0
"""Seconds by which the end of a process may be seen late."""

_SHELL = 128
"""What shells, and programs that imitate them, add to the number of the signal that ended a child."""


def shows_after(target: Target) -> float:
    """Seconds after a verb in which the end of its process is put down to the verb, where nothing is read back."""
    return 0.0 if target.control.settled else target.timing.apply_settles.value + _LATE


@dataclass(frozen=True)
class End:
    """The end of a process.

    Attributes:
        code: its exit code, or minus the signal that ended it.
        at: when, in seconds of CLOCK_MONOTONIC.
        during: the verb that was being carried out then, or whose effect may have come then; "" for none.
    """

    code: int
    at: float
    during: str = ""

    @property
    def signal(self) -> int:
        """The signal that ended it, or that a shell says ended its child; 0 for none."""
        number = -self.code if self.code < 0 else self.code - _SHELL
        return number if number in set(signal.Signals) else 0

    @property
    def crashed(self) -> bool:
        """Whether it ended through what it did itself: a signal of a crash, or an exit code that tells of a failure.

        A server that ends with 0 was told to end.
        """
        return self.signal in _CRASHES if self.signal else self.code != 0

    def __str__(self) -> str:
        """For messages: ``signal 9 (SIGKILL)`` or ``exit code 3``."""
        if self.signal:
            return f"signal {self.signal} ({signal.Signals(self.signal).name})"
        return f"exit code {self.code}"
