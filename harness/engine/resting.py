"""Which of the target's own timing values an accusation rests on, so that its reader can check them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limpet.harness.model.contract.durations import spoken
from limpet.harness.model.history import Control
from limpet.harness.model.violation import Violation
from limpet.harness.targets.granted import Timing

_FAULTS = {"kill", "hang", "reset", "accept-close", "blackhole", "slow", "status", "health"}


def rests_on(timing: Timing, controls: Sequence[Control], violations: Iterable[Violation], *, waited: bool) -> str:
    """A line for each timing value that decided when the balancer had to know, "" where none did.

    Args:
        timing: the target's own values.
        controls: what was done to the system, in any order.
        violations: what was found; only what was done before one of them counts.
        waited: whether time was waited for in reality, without a control that says so.
    """
    found = list(violations)
    latest = max((each.t or float("inf") for each in found), default=0.0)
    names: set[str] = {"clock_resolution"} if waited and found else set()
    for control in controls:
        if control.t <= latest:
            names.update(_values(control))
    lines = []
    for name in type(timing).model_fields:
        lag = getattr(timing, name)
        if name in names and (lag.value or name != "retried"):
            why = f" ({lag.reason})" if lag.reason else ""
            lines.append(f"rests on timing.{name} = {spoken(lag.value)}{why}")
    return "\n".join(lines)


def _values(control: Control) -> set[str]:
    """By which values the effect of this control was taken for certain; none where the balancer said so itself."""
    values = set(control.rests_on)
    if control.verb == "advance-clock":
        values.add("clock_resolution")
    elif control.verb in ("affinity-on", "affinity-off"):
        values.add("grace")
    elif control.verb in _FAULTS:
        values.add("retried")
    return values
