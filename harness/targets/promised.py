"""After which failures of a backend its users are promised to go on elsewhere, by a product's documentation."""

from __future__ import annotations

from collections.abc import Mapping

from limpet.harness.targets.load import LoadedTarget

WAYS: Mapping[str, tuple[str, ...]] = {
    "hang": ("hang",),
    "reset": ("reset",),
    "accept-close": ("accept-close",),
    "blackhole": ("blackhole",),
    "partition": ("blackhole", "hang"),
    "link-down": ("blackhole", "hang"),
    "one-way": ("blackhole", "hang"),
    "health": ("health-503",),
}
"""Fault → the variants of `failover.modes` that say whether a balancer leaves a backend that fails like this. That it
leaves one whose process is gone is what failover means."""


def why_not_promised(loaded: LoadedTarget, fault: str) -> str:
    """Why nothing is promised to the users of a backend with this fault; "" where something is, or where it is a fault
    of another kind. A profile without requirements promises what its fields say, of whatever failure.

    Args:
        loaded: the target.
        fault: what is wrong with the backend, e.g. ``reset``.
    """
    if fault not in WAYS or not loaded.documented:
        return ""
    if any(loaded.promises(f"failover.modes[{way}]") for way in WAYS[fault]):
        return ""
    return f"no requirement of {loaded.profile} says that a backend with a `{fault}` is left"
