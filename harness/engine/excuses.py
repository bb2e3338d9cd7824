"""On a machine where everybody is late nobody is accused of what being late explains."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.harness.model.violation import Kind, Violation
from limpet.harness.processes.crowding import Crowding

MOST = 16.0
"""Processes for each core, averaged over five seconds. Beyond that a client's ten seconds are about half a second of a
machine that has time, and a health check of a second is a sixteenth of one: servers that are up look down. A run by
itself, as many targets as it may have, was seen to come to 6."""

BEFORE = 60.0
"""Seconds before a violation in which a crowd may have led to it: a server that looked down then has its users back
only after a few checks."""

AFTER = 10.0
"""Seconds behind it: how long a client waits for an answer."""

LATE = frozenset({
    Kind.MOVED, Kind.EXPIRED_EARLY, Kind.NEVER_EXPIRED, Kind.PROLONGED, Kind.NOT_REPINNED, Kind.NO_FAILOVER,
    Kind.FAILED_BACK, Kind.NOT_RETURNED, Kind.SERVED_BY_REMOVED, Kind.SERVED_BY_DRAINING, Kind.SERVED_BY_UNHEALTHY,
    Kind.NOT_BALANCED, Kind.STARVED, Kind.ERROR, Kind.SENT_TWICE, Kind.REMAPPED, Kind.SESSION_LOST,
})  # fmt: skip
"""What a server that looks down, a time that is over or an answer that did not come may be the cause of. What stands
in a response is right or wrong at any time."""


def accusing(violations: Sequence[Violation], crowding: Crowding, begin: float) -> tuple[list[Violation], str]:
    """Those that stand however crowded the machine was; and why the others do not, "" where all stand.

    Args:
        violations: what was found.
        crowding: what is known of the machine.
        begin: of the scenario, in seconds of CLOCK_MONOTONIC.
    """
    standing: list[Violation] = []
    worst = 0.0
    for each in violations:
        crowd = crowding.worst(max(begin, each.t - BEFORE), each.t + AFTER) if each.kind in LATE else 0.0
        if crowd > MOST:
            worst = max(worst, crowd)
        else:
            standing.append(each)
    if not worst:
        return standing, ""
    return standing, (
        f"{worst:.0f} processes wanted each core of this machine meanwhile, so that being late accuses nobody "
        f"(at most {MOST:g})"
    )
