"""Which faults can be tried here: some of their targets need a program beside limpet, some catchers a namespace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limpet.harness.backends.redis_server import missing
from limpet.harness.network.site import Name
from limpet.harness.processes.clocks import no_time_namespace
from limpet.harness.selftest.faults import Fault
from limpet.harness.targets.load import load

_SHIFTED = "[shifted-clock]"
"""Variants that need a time namespace."""


def triable(faults: Sequence[Fault], network: Name = "loopback") -> tuple[list[Fault], list[str]]:
    """The faults with the targets and catchers that can run here, and a sentence for each that is left out.

    In a lab only what loopback cannot show is tried: the other catchers say the same there, in more time.

    Raises:
        UsageFault: a fault names a target that does not exist.
    """
    if network == "namespace":
        faults = [replace(each, caught_by=each.caught_in_a_lab) for each in faults if each.caught_in_a_lab]
    lacking, clocks = missing(), no_time_namespace()
    found: list[Fault] = []
    left_out: list[str] = []
    for fault in faults:
        if not fault.caught_by:
            left_out.append(f"{fault.name} is not tried: only a lab shows it (--network namespace)")
            continue
        if clocks and all(each.endswith(_SHIFTED) for each in fault.caught_by):
            left_out.append(f"{fault.name} is not tried: {clocks}")
            continue
        if not lacking:
            found.append(fault)
            continue
        without = [each for each in fault.targets if load(each).target.backends.sessions == "redis"]
        rest = tuple(each for each in fault.targets if each not in without)
        left_out += [f"{fault.name} is not tried on {each}: {lacking}" for each in without]
        if rest:
            found.append(replace(fault, targets=rest))
    return found, left_out
