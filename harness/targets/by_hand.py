"""How a person heals what limpet could not: the target's own commands, as lines to be typed.

What only a running balancer of limpet's would tell, such as its process id, stays a placeholder: it is gone then.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence

from limpet.harness.targets.addresses import url
from limpet.harness.targets.control import Step
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.model import BackendMember
from limpet.harness.targets.placeholders import fill_known
from limpet.harness.targets.render import Address


def revived_by_hand(loaded: LoadedTarget, name: str) -> tuple[str, ...]:
    """What brings a backend up; () where its target has no command for that, as for limpet's own backends."""
    backends = loaded.target.backends
    if backends.owner != "yours":
        return ()
    member = next((each for each in backends.member if each.name == name), None)
    known = member or BackendMember(name=name)
    lines = tuple(_lines(loaded, known.revive or backends.revive, known))
    if not lines and member is not None and member.container:
        return (f"docker unpause {member.container} || docker start {member.container}",)
    return lines


def pool_by_hand(loaded: LoadedTarget) -> tuple[str, ...]:
    """What gives the balancer its members; () where its target has no command for that."""
    return tuple(_lines(loaded, loaded.target.control.apply))


def affinity_by_hand(loaded: LoadedTarget) -> tuple[str, ...]:
    """What switches stickiness on; () where its target has no command for that alone."""
    return tuple(_lines(loaded, loaded.target.control.affinity_on))


def _lines(loaded: LoadedTarget, steps: Sequence[Step], member: BackendMember | None = None) -> Iterator[str]:
    values = _known(loaded, member)
    for step in steps:
        if step.exec:
            yield shlex.join(fill_known(word, values) for word in step.exec)
        elif step.http:
            yield fill_known(step.http, values)


def _known(loaded: LoadedTarget, member: BackendMember | None) -> dict[str, str]:
    target, endpoint = loaded.target, loaded.target.endpoint
    values = {f"options.{name}": str(value) for name, value in target.options.items()}
    values |= {"target": str(loaded.directory), "python": sys.executable}
    if endpoint.given:
        host, port = endpoint.address
        values |= Address(host, port, url(endpoint.scheme, host, port)).named("balancer")
    if member is not None:
        values["backend.name"] = member.name
    if member is not None and member.host:
        values |= {"backend.host": member.host, "backend.port": str(member.port)}
    return values
