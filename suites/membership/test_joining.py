"""A backend joins: who moves, and whether it gets its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

from limpet import (
    Client,
    Exchange,
    Inconclusive,
    Kind,
    Observed,
    Scenario,
    behaviour,
    crowd,
    hands_of,
    spread_as_declared,
    together,
)
from limpet.harness.model.contract.stated import must
from limpet.harness.model.statistics import moves_bound

ALPHA = 1e-6
"""The largest probability of a false accusation."""

DEALT = 48
"""Users whose keys a hash deals out anew: enough to tell a quarter of them from three quarters."""

ROTATING, LUCKY = 100, 72
"""New sessions: with so many a starved fourth backend is seen. In a rotation, four rotators may lawfully be out of
step; where limpet's own luck goes before each of them, none is forgiven more than its unfinished turn."""


@behaviour(
    "membership.added-keeps",
    fields=("reaction.added",),
    needs=("add",),
    touches="membership",
    certainty="A balancer that places everybody anew, once, is missed with a probability of 2e-04",
    error_rate=0.0,
    budget=180,
    sees=0.18,
)
def test_added_keeps(s: Scenario) -> None:
    """A new backend takes only new sessions: every pin that exists holds, with a kept connection and without."""
    users = [user for group in s.pinned_to_each(2).values() for user in group]
    homes = {user.name: user.backend for user in users}
    during: list[Callable[[], object]] = [s.system.add, lambda: visits(users)]
    together(during)
    s.step("everybody goes on, strangers between them")
    moved: set[str] = set()
    for number in range(4):
        for user in users:
            with s.luck():
                answer = user.visit(new_connection=number % 2 == 0)
            if answer.backend not in ("", homes[user.name]):
                moved.add(user.name)
    if not must(s.contract.reaction.added, "keep"):
        raise Observed(f"{len(moved)} of {len(users)} users moved")


def visits(users: list[Client]) -> None:
    """Two requests of everybody, for the time of a change."""
    for _ in range(2):
        for user in users:
            user.visit(new_connection=True)


@behaviour(
    "membership.added-remap-bound",
    fields=("reaction.added",),
    needs=("add",),
    touches="membership",
    certainty="Judged where the contract says that its hash is consistent: a user that goes from one old backend to "
    "another is wrong without any luck. One in three that does is missed with a probability of 4e-09",
    error_rate=1e-6,
    budget=230,
    sees=0.95,
)
def test_added_remap_bound(s: Scenario) -> None:
    """A new backend moves no more users than its share, all of them to itself, and each of them once."""
    users = [s.pinned() for _ in range(DEALT)]
    homes = {user.name: user.backend for user in users}
    newcomer = s.system.add()
    s.step("everybody comes twice")
    went: Counter[str] = Counter()
    strayed: Exchange | None = None
    for user in users:
        for _ in range(2):
            answer = user.visit(new_connection=True)
        went["answered"] += bool(answer.backend)
        if answer.backend not in ("", homes[user.name]):
            went["to the new one" if answer.backend == newcomer else "elsewhere"] += 1
            strayed = strayed if answer.backend == newcomer else answer
    moved = went["to the new one"] + went["elsewhere"]
    seen = f"{moved} of {len(users)} users moved ({moved / len(users):.0%}), {went['elsewhere']} to an old backend"
    weights = {member.name: float(member.weight) for member in s.system.target.members}
    share = weights[newcomer] / sum(weights.values())
    dealt = s.contract.hash
    if dealt is None or not must(dealt.kind, "consistent"):
        raise Observed(f"{seen}; a consistent hash moves about {share:.0%}, none of them to an old one")
    s.observe(seen)
    s.expect(
        not went["elsewhere"],
        Kind.REMAPPED,
        f"{newcomer} joined and takes keys for itself alone, but {went['elsewhere']} users moved between old backends",
        strayed,
    )
    result = moves_bound(moved, went["answered"], min(1.0, share * dealt.uneven), ALPHA)
    s.certain(result.text)
    if result.rejected:
        s.broken(Kind.REMAPPED, f"{newcomer} joined, whose share is {share:.0%}: {result.text}", strayed)
    elif not result.able:
        raise Inconclusive(f"{newcomer} joined: {result.text}")
    else:
        s.decide_together(went["answered"], result.visible)


@behaviour(
    "membership.added-gets-traffic",
    keyed=None,
    needs=("add",),
    touches="membership",
    error_rate=1e-6,
    budget=400,
    sees=0.35,
)
def test_added_gets_traffic(s: Scenario) -> None:
    """New sessions reach a new backend, at its declared share."""
    before = s.pinned()
    newcomer = s.system.add()
    algorithm = s.contract.algorithm
    # A balancer that counts connections may prefer the first of several idle backends: others are kept busy then.
    counts_connections = algorithm is None or any("least" in each for each in algorithm.allowed)
    sessions = LUCKY if counts_connections else ROTATING
    s.step(f"{sessions} new sessions")
    counts = dict.fromkeys(s.names, 0)
    for name in _met(s, sessions, counts_connections):
        if name in counts:
            counts[name] += 1
    before.visit()
    s.observe(f"{counts[newcomer]} of {sessions} new sessions reached {newcomer}, which had joined")
    if algorithm is None or not algorithm.binding or "hash" in algorithm.allowed:
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise Observed(f"of {sessions} new sessions: {text} (new: {newcomer})")
    what = f"new sessions after {newcomer} joined"
    weights = {member.name: float(member.weight) for member in s.system.target.members}
    spread_as_declared(s, counts, weights, Kind.STARVED, what, rotators=1 if counts_connections else 4)


def _met(s: Scenario, sessions: int, counts_connections: bool) -> list[str]:
    """Who answered so many new sessions."""
    if s.contract.layer == 7 and not counts_connections:
        newcomers = [s.client(keep=False) for _ in range(sessions)]
        return list(sum(hands_of(crowd(s, newcomers, 1)).values(), Counter()).elements())
    met: list[str] = []
    for _ in range(sessions):
        user = s.client(keep=False)
        with s.luck() if counts_connections else nullcontext():
            met.append(user.visit().backend)
    return met
