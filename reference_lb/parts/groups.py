"""Members that are groups of servers: a pin leads to the group, and each request in it to one of its servers.

Health is the servers' own. A group is healthy while one of its servers is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limpet.reference_lb.parts.delegates import HealthViewAround, RouterAround
from limpet.reference_lb.parts.pickers import SmoothRoundRobin
from limpet.reference_lb.parts.protocols import Parts, Picker, Router
from limpet.reference_lb.parts.records import Member, RequestHead, Route


class GroupHealth(HealthViewAround):
    """What is known of a group, from what is known of its servers."""

    def healthy(self, member: Member) -> bool:
        """Whether any server is."""
        return any(self.inner.healthy(each) for each in member.asked)

    def usable(self, member: Member, *, pinned: bool) -> bool:
        """Whether any server is."""
        return any(self.inner.usable(each, pinned=pinned) for each in member.asked)

    def forget(self, member: Member) -> None:
        """The group left the pool, and all of its servers with it."""
        for each in member.asked:
            self.inner.forget(each)


class GroupRouter(RouterAround):
    """As `inner`, for groups; within the one that it chooses, the servers take turns.

    Args:
        inner: places and pins requests.
        turns: chooses among the servers of a group.
    """

    def __init__(self, inner: Router, turns: Picker | None = None) -> None:
        super().__init__(inner)
        self._turns = turns or SmoothRoundRobin()

    def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
        """A group and one of its servers. `tried` are servers; a group all of which were tried counts as tried."""
        route = self.inner.route(parts, request, tried | exhausted(parts.pool.members(), tried))
        if route.member is None or not route.member.servers:
            return route
        return replace(route, server=self._server(parts, route.member, request, tried))

    def _server(self, parts: Parts, group: Member, request: RequestHead, tried: frozenset[str]) -> Member:
        left = [each for each in group.servers if each.id not in tried] or list(group.servers)
        usable = [each for each in left if parts.health_view.usable(each, pinned=False)]
        return self._turns.pick(usable or left, request)


def exhausted(members: Sequence[Member], tried: frozenset[str]) -> frozenset[str]:
    """The ids of the groups none of whose servers is left to be tried."""
    if not tried:
        return frozenset()
    return frozenset(each.id for each in members if each.servers and all(server.id in tried for server in each.servers))
