"""Backends are replaced, one after the other or at the same address, and listed in another order."""

from __future__ import annotations

import itertools

from limpet import Exchange, Observed, Scenario, behaviour, together
from limpet.harness.model.contract.stated import may, must


@behaviour(
    "membership.rolling-deploy",
    needs=("add", "remove"),
    touches="membership",
    charted=True,
    certainty="Errors count but while the balancer is being changed",
    error_rate=0.0,
    budget=90,
    sees=0.11,
)
def test_rolling_deploy(s: Scenario) -> None:
    """Every backend is replaced in turn under traffic: a user moves once for each loss of its backend, never else."""
    users = [s.pinned(name) for name in s.names]
    seen: dict[str, list[str]] = {user.name: [user.backend] for user in users}
    errors: list[Exchange] = []
    drains = s.system.target.can("drain")

    def traffic() -> None:
        for user in users:
            answer = user.visit(new_connection=True)
            seen[user.name].append(answer.backend)
            errors.extend([answer] * (not answer.ok))

    for number, old in enumerate(s.names):
        s.system.add()
        traffic()
        if drains and number % 2 == 0:  # the others leave without a warning
            s.system.drain(old)
            traffic()
        together([lambda old=old: s.system.remove(old), traffic])  # type: ignore[misc]
        traffic()
    s.step("all are replaced, everybody goes on")
    traffic()
    traffic()
    most = max(moves(answers) for answers in seen.values())
    text = f"no user moved more than {most} times while {len(users)} backends were replaced, {len(errors)} errors"
    s.observe(text)
    removed = s.contract.reaction.removed
    if removed is None or not removed.binding or may(s.contract.reaction.added, "remap"):
        raise Observed(text)


def moves(seen: list[str]) -> int:
    """How often the answering backend changed."""
    return sum(one != other for one, other in itertools.pairwise([name for name in seen if name]))


@behaviour(
    "membership.reorder",
    needs=("reorder",),
    touches="membership",
    certainty="A balancer that goes by the place in the list is always "
    "seen, since every backend changes its place; one that places everybody anew is missed with a probability of 5e-05",
    error_rate=0.0,
    budget=160,
    sees=0.29,
)
def test_reorder(s: Scenario) -> None:
    """The same members in another order: nobody moves."""
    users = [user for group in s.pinned_to_each(3).values() for user in group]
    homes = {user.name: user.backend for user in users}
    s.system.reorder([*s.names[1:], s.names[0]])
    s.step("everybody goes on, strangers between them")
    moved: set[str] = set()
    for anew in (True, False):
        for user in users:
            with s.luck():
                answer = user.visit(new_connection=anew)
            if answer.backend not in ("", homes[user.name]):
                moved.add(user.name)
    text = f"{len(moved)} of {len(users)} users moved"
    s.observe(text)
    if may(s.contract.reaction.added, "remap"):
        raise Observed(text)


@behaviour(
    "membership.same-address-new-server",
    needs=("kill", "faults"),
    touches="membership",
    certainty="what is seen is shown, not judged; after it every pin must hold",
    error_rate=0.0,
    budget=140,
)
def test_same_address_new_server(s: Scenario) -> None:
    """Another server takes over the address of one that is gone: whether its users stay there or move."""
    name = s.rng.choice(s.names)
    users = [s.pinned(name) for _ in range(3)]
    others = [s.pinned(other) for other in s.names if other != name]
    old = {user.last.instance for user in users if user.last}
    s.system.replace_server(name)
    s.step("everybody goes on")
    stayed = 0
    for user in users:
        answer = user.visit(new_connection=True)
        stayed += answer.backend == name and answer.instance not in old
    for _ in range(4):
        for user in (*users, *others):
            with s.luck():
                user.visit(new_connection=True)
    s.observe(f"{stayed} of {len(users)} users stay at the address and meet a server that does not know them")
    if not must(s.contract.reaction.unhealthy, "repin"):
        raise Observed(s.observations[-1])
