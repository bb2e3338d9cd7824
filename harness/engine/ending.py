"""What it means that a balancer's process ended in the middle of a scenario: whose doing it was.

It is the balancer's own where it crashed and this scenario did it: the deployment was the scenario's alone, which had
begun to use it, or a request of the scenario was left without an answer when it happened. Everything else says nothing
about the balancer, and the row is *setup failed*: a signal that somebody else sent (the kernel that ran out of memory,
an administrator), an end without an error, an end while a verb of the target was being carried out, or before this
scenario had sent anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Control, Received, Record, Sent
from limpet.harness.targets import steps
from limpet.harness.targets.ending import End
from limpet.harness.targets.running import RunningTarget

_SLACK = 1.0
"""Seconds by which the end of a process may be seen later than a client sees that nobody answers."""


@dataclass(frozen=True)
class Ending:
    """The end of a balancer's process; ``own``: it is the balancer's, and this scenario brought it about."""

    own: bool
    fault: SetupFault


def ending_of(
    target: RunningTarget, records: Sequence[Record], *, alone: bool, what: str = "balancer"
) -> Ending | None:
    """How the process ended that limpet did not stop; None where it lives, or is not limpet's.

    Args:
        target: the balancer.
        records: what the scenario sent, received and did so far.
        alone: whether nobody but the scenario used it.
        what: what it is called.
    """
    end = target.ended()
    if end is None:
        return None
    excuse = _excuse(end, records, alone)
    text = f"the {what}'s process ended in mid-run with {end}"
    return Ending(not excuse, steps.fault(target, f"{text}{excuse and ', '}{excuse}", where=target.name))


def _excuse(end: End, records: Sequence[Record], alone: bool) -> str:
    """Why the end does not accuse the balancer; "" when it does."""
    begun = min((each.t for each in records if isinstance(each, Sent | Control)), default=end.at)
    if begun >= end.at:
        return "before this scenario had sent anything"
    if not end.crashed:
        return "which comes from elsewhere" if end.signal else "as one does that was told to end"
    if end.during:
        return f"at its control.{end.during}"
    if not alone and not _left_open(end, records):
        return "while others used it too and no request of this scenario was open"
    return ""


def _left_open(end: End, records: Sequence[Record]) -> bool:
    """Whether a request was under way then that nobody answered."""
    received = {each.id: each for each in records if isinstance(each, Received)}
    for each in records:
        if isinstance(each, Sent) and each.t <= end.at:
            answer = received.get(each.id)
            if answer is None or (answer.error and answer.t >= end.at - _SLACK):
                return True
    return False
