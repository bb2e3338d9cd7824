"""How a person heals what limpet could not: the target's own commands, as lines to be typed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limpet.harness.targets.control import Step
from limpet.harness.targets.load import LoadedTarget


def revived_by_hand(loaded: LoadedTarget, name: str) -> tuple[str, ...]:
    """What brings a backend up; () where its target has no command for that, as for limpet's own backends."""
    backends = loaded.target.backends
    if backends.owner != "yours":
        return ()
    member = next((each for each in backends.member if each.name == name), None)
    lines = tuple(_lines((member.revive if member is not None else ()) or backends.revive, name))
    if not lines and member is not None and member.container:
        return (f"docker unpause {member.container} || docker start {member.container}",)
    return lines


def pool_by_hand(loaded: LoadedTarget) -> tuple[str, ...]:
    """What gives the balancer its members; () where its target has no command for that."""
    return tuple(_lines(loaded.target.control.apply, ""))


def affinity_by_hand(loaded: LoadedTarget) -> tuple[str, ...]:
    """What switches stickiness on; () where its target has no command for that alone."""
    return tuple(_lines(loaded.target.control.affinity_on, ""))


def _lines(steps: Sequence[Step], name: str) -> Iterator[str]:
    for step in steps:
        if step.exec:
            yield " ".join(step.exec).replace("{backend.name}", name)
        elif step.http:
            yield step.http.replace("{backend.name}", name)
