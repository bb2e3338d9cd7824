"""What a target can be asked to do, and why not."""

from __future__ import annotations

from limpet.harness.containers.existing import why_not as absent
from limpet.harness.targets.model import Target

_COVERED = {
    "add": "add",
    "remove": "remove",
    "replace": "replace",
    "reorder": "reorder",
    "drain": "drain",
    "undrain": "drain",
    "weight": "weight",
}
_CONTROL = ("apply", "reload", "change", "restart", "advance_clock", "rotate_keys")
_BACKEND = ("kill", "hang", "revive")
VERBS = frozenset({*_COVERED, *_CONTROL, *_BACKEND, "affinity", "backend-faults", "backend-history", "identity"})
"""All words of `able`: pool changes that ``apply`` covers, verbs, faults of backends, and what is known of backends.

``backend-faults`` are those that only limpet's own backends can have (reset, slow, a status, blackhole).
"""


def able(target: Target, verb: str) -> bool:
    """Whether a target offers a verb.

    Raises:
        KeyError: no such verb.
    """
    return not why_not(target, verb)


def why_not(target: Target, verb: str) -> str:
    """Why a target does not offer a verb; "" when it does.

    Raises:
        KeyError: no such verb.
    """
    if verb not in VERBS:
        raise KeyError(verb)
    control, backends = target.control, target.backends
    if verb in _COVERED:
        if not control.apply:
            return f"{target.name} has no control.apply, which would {verb} backends"
        covered = _COVERED[verb] in control.covers
        return "" if covered else f'control.apply of {target.name} does not cover "{_COVERED[verb]}"'
    if verb == "affinity":
        switch = control.affinity_on or "affinity" in control.covers
        return "" if switch else f"{target.name} has no control.affinity_on and affinity_off"
    if verb in _CONTROL:
        return "" if getattr(control, verb) else f"{target.name} has no control.{verb}"
    if backends.owner == "limpet":
        return ""
    if verb in ("backend-faults", "backend-history"):
        return f"the backends of {target.name} are yours: limpet cannot see or steer what they do"
    if verb == "identity":
        return "" if backends.identity else f"{target.name} has no backends.identity: nobody knows who answered"
    others = [member for member in backends.member if not getattr(member, verb)]
    for member in others:
        if member.container and (reason := absent(member.container)):
            return reason
    without = [member.name for member in others if not member.container]
    if not without or getattr(backends, verb):
        return ""
    return f"{target.name} has no backends.{verb} for {', '.join(without)}"
