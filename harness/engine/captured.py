"""The packets of a violation: those of the users that it is about, on the balancer's link, beside the history."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Sent
from limpet.harness.model.violation import Violation
from limpet.harness.network.frames import End, Pair, end_of


def write_packets(scenario: Scenario, violations: Sequence[Violation], path: Path, begin: float) -> bool:
    """Writes them; whether there were any. Off where the network records nothing.

    Args:
        scenario: which is over.
        violations: what it found.
        path: the file to make.
        begin: when it began, by CLOCK_MONOTONIC.
    """
    capture = scenario.system.site.capture(scenario.system.target.host)
    if capture is None or not violations:
        return False
    with contextlib.suppress(OSError):  # of a full disk the history tells; the verdict stands without this
        ends, pairs = flows_of(scenario, violations)
        return capture.write(path, ends, begin, time.monotonic(), pairs) > 0
    return False


def flows_of(scenario: Scenario, violations: Sequence[Violation]) -> tuple[set[End], set[Pair]]:
    """What those users sent: their own ends, and both ends of what the balancer then had to do with backends.

    Everybody's where no single user shows it, such as a group that should have been balanced anew.
    """
    users = {each.client for each in violations} - {""}
    requests = {each.request for each in violations}
    sent = [each for each in scenario.recorder.records if isinstance(each, Sent)]
    theirs = [each for each in sent if not users or each.client in users or each.id in requests]
    ids = {each.id for each in theirs}
    ends = {(each.source, each.port) for each in theirs if each.source and each.port} | scenario.forged
    pairs = {
        (end_of(each.peer), address)
        for each in scenario.arrived()
        if each.id in ids and each.peer
        for address in scenario.system.addresses_of(each.backend)
    }
    return ends, pairs
