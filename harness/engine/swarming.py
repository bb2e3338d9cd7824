"""Thousands of users at once, each from an address of its own, with all of their connections open."""

from __future__ import annotations

import math
import resource
import time
from collections import Counter
from dataclasses import dataclass

from limpet.harness.clients.swarm import Member, Swarm
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.violation import Kind

_NEIGHBOURS = 10
"""Users whose keys are as near to each other as can be: who looks at less than the key takes them for one."""

_UNSAID = 400
"""Connections at once for a balancer of which nobody said how many it takes."""

_SPARE = 1000
"""Descriptors that are left to everything else."""


_FAILURES = 0.05
"""The share of failures above which nothing is said: who is overloaded shows nothing of its pins."""

_AT_REST, _STILL, _REST = 50, 1.0, 10.0
"""Connections to backends that are few, seconds after which no more of them are ended, and seconds at the most."""


@dataclass(frozen=True)
class Crowd:
    """Addresses, in groups of neighbours; ``siblings`` of them share their key with an earlier one."""

    groups: tuple[tuple[str, ...], ...]
    siblings: int

    @property
    def addresses(self) -> list[str]:
        """All of them."""
        return [address for group in self.groups for address in group]


def neighbours(scenario: Scenario, count: int) -> Crowd:
    """So many distinct addresses, always ten of them side by side, each with a key of its own as long as there are.

    Raises:
        SetupFault: the network has too few addresses.
    """
    groups: list[tuple[str, ...]] = []
    left, siblings = count, 0
    try:
        while left > 0:
            group = [scenario.sources.draw()]
            groups.append(())
            while len(group) < min(_NEIGHBOURS, left):
                group.append(scenario.sources.outside(group[0]))
                groups[-1] = tuple(group)
            groups[-1] = tuple(group)
            left -= len(group)
    except SetupFault:
        drawn = [address for group in groups for address in group]
        left = count - len(drawn)
        siblings = left
        for number in range(left):
            groups.append((scenario.sources.sibling(drawn[number % len(drawn)]),))
    return Crowd(tuple(groups), siblings)


def at_once(scenario: Scenario, count: int) -> int:
    """How many of so many connections may be open at the same time: by the limit of open files, of which the balancer
    needs two for each and some until it has seen an end, and by what its target says that it takes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = count if soft == resource.RLIM_INFINITY else max(1, (soft - _SPARE) // 3)
    return min(count, files, scenario.system.loaded.target.endpoint.max_connections or _UNSAID)


def swarm(scenario: Scenario, crowd: Crowd, *, again: bool) -> dict[str, str]:
    """Everybody opens a connection and asks on it twice: when it is opened, and when all the others are open too.

    Args:
        scenario: whose oracle judges the pins.
        crowd: who.
        again: whether everybody comes back on a second connection at the end.

    Returns:
        For each address the backend that answered it last.

    Raises:
        NotCheckable: this balancer is reached in a way that only other clients can go.
    """
    endpoint = scenario.system.endpoint
    if endpoint.scheme not in ("http", "tcp") or endpoint.proxy_protocol:
        raise NotCheckable(f"thousands of users speak plain HTTP or TCP, not {endpoint.scheme}")
    addresses = crowd.addresses
    scenario.rng.shuffle(addresses)
    batch = at_once(scenario, len(addresses))
    open_at_once = 0
    homes: dict[str, str] = {}
    plain = scenario.system.loaded.target.request
    ended, failed = 0, 0
    for begin in range(0, len(addresses), batch):
        members = [Member(f"client {address}", address) for address in addresses[begin : begin + batch]]
        users = Swarm(endpoint, scenario.recorder, members, path=plain.path, headers=tuple(plain.headers.items()))
        scenario.step(f"{len(members)} clients open a connection each, from addresses of their own")
        try:
            users.connect(members)
            open_at_once = max(open_at_once, users.open)
            scenario.rng.shuffle(members)
            before = {member.source: (member.backend, member.instance) for member in members if member.sock is not None}
            users.ask(members)
            if endpoint.scheme == "tcp":
                _stayed(scenario, members, before)
            if again:
                scenario.step("each of them comes back on another connection")
                scenario.rng.shuffle(members)
                users.connect(members, then_close=True)
            homes |= {member.source: member.backend for member in members if member.backend}
        finally:
            ended += users.ended_early
            failed += users.failed.total()
            users.close()
        if begin + batch < len(addresses):
            _come_to_rest(scenario)
    how = "all at once" if batch >= len(addresses) else f"in batches, {open_at_once} of them open at once"
    scenario.observe(f"{len(addresses)} addresses, each with a connection of its own, {how}")
    if failed > _FAILURES * len(addresses):
        raise Inconclusive(f"{failed} requests of {len(addresses)} clients at once failed: not a load that it can take")
    if failed:
        scenario.observe(f"{failed} requests failed, as under such a load they may")
    if ended:
        scenario.observe(f"{ended} connections were ended while nothing was asked on them")
    return homes


def _come_to_rest(scenario: Scenario) -> None:
    """So many ends at once take everybody a while; who comes next shall not have to wait for that.

    A balancer that keeps its connections to backends for later requests is at rest with as many as it likes.
    """
    least, since = math.inf, time.monotonic()

    def rests() -> bool:
        nonlocal least, since
        count, now = scenario.system._servers.connections(), time.monotonic()
        if count < least:
            least, since = count, now
        return count <= _AT_REST or now - since >= _STILL

    scenario.until(rests, _REST)


def _stayed(scenario: Scenario, members: list[Member], before: dict[str, tuple[str, str]]) -> None:
    """Judges that each connection below layer 7 went on where it began."""
    for member in members:
        first, _ = before.get(member.source, ("", ""))
        if first and member.backend:
            right = (member.backend, member.instance) == before[member.source]
            text = f"{member.name}'s connection began at {first} and went on at {member.backend}"
            scenario.expect(right, Kind.MOVED, text)


def distinguishes(scenario: Scenario, crowd: Crowd, homes: dict[str, str]) -> None:
    """Judges that neighbours are not taken for one user: that all of every group meet one backend is no luck."""
    met = Counter(homes.values())
    groups = [[homes[each] for each in group if each in homes] for group in crowd.groups]
    whole = [group for group in groups if len(group) == _NEIGHBOURS]
    # Where one backend gets nearly everybody, that is not for this check to judge.
    if len(whole) < _NEIGHBOURS or max(met.values(), default=0) > 0.9 * met.total():
        return
    alone = sum(len(set(group)) == 1 for group in whole)
    scenario.certain("that all ten neighbours meet one backend by luck, ten times out of ten, has a chance below 1e-6")
    if alone == len(whole):
        text = f"in each of {alone} groups of {_NEIGHBOURS} neighbouring addresses all clients met the same backend"
        scenario.broken(Kind.KEY_IGNORED, f"{text}, although each address is a key of its own")
    else:
        scenario.decide_together(len(whole), None)
