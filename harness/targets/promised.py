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


def stays_unnoticed(loaded: LoadedTarget, fault: str) -> str:
    """Why nothing is promised to the users of a backend with this fault; "" where something is, or where it is a fault
    of another kind. A profile without requirements promises what its fields say, of whatever failure.

    Args:
        loaded: the target.
        fault: what is wrong with the backend, e.g. ``reset``.
    """
    profile, catalogue = loaded.profile_name, loaded.catalogue
    if fault not in WAYS or not any(profile in each.profiles for each in catalogue.requirement):
        return ""
    for way in WAYS[fault]:
        if any(each.level != "observe" for each in catalogue.requirements(profile, f"failover.modes[{way}]")):
            return ""
    return f"no requirement of {loaded.profile} says that a backend with a `{fault}` is left"
