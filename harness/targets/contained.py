"""Backends of the user's that are containers: where they are, and how they are taken down and brought back."""

from __future__ import annotations

from limpet.harness.containers.existing import VERBS, engine
from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.model import BackendMember, Target
from limpet.harness.targets.placeholders import used, verbs
from limpet.harness.targets.render import Member

_ADDRESS = {"backend.host", "backend.port"}


def members(target: Target) -> list[Member]:
    """The backends of the user's; the engine is asked for the addresses that the target does not give.

    Where it cannot be asked, the address stays empty, unless something that limpet does to the balancer goes by it:
    everything else can go on.

    Raises:
        SetupFault: an address is needed and nobody knows it.
    """
    return [_member(each, needed=_by_address(target)) for each in target.backends.member]


def act(target: Target, verb: str, name: str) -> bool:
    """Do it to the container of a member; False where that is none.

    Raises:
        SetupFault: it could not be done.
    """
    container = next((each.container for each in target.backends.member if each.name == name), "")
    known = next((each for each in VERBS if each == verb), None)
    if not container or known is None:
        return False
    engine().do(known, container)
    return True


def _member(given: BackendMember, *, needed: bool) -> Member:
    if given.host or not given.container:
        return Member(given.name, given.host, given.port, given.weight)
    try:
        host, port = engine().address(given.container, given.port)
    except SetupFault:
        if needed:
            raise
        host, port = "", given.port
    return Member(given.name, host, port, given.weight)


def _by_address(target: Target) -> bool:
    """Whether anything is done by the addresses of backends: a template has them, or a step names one."""
    control = target.control
    if control.apply or any(step.render or step.body_template for _, steps in verbs(target) for step in steps):
        return True
    texts = (
        text
        for _, steps in verbs(target)
        for step in steps
        for text in (*step.exec, *step.headers.values(), step.http, step.body, step.socket, step.send, step.until)
    )
    return any(not _ADDRESS.isdisjoint(used(text)) for text in texts)
