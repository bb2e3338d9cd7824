"""The end of a member's drain: what is still under way there then is cut, where that is configured."""

from __future__ import annotations

import asyncio

from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.transport.site import Site


class Draining:
    """Follows which members drain, and since when. The time is real: it is about connections, not about pins."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._timers: dict[str, asyncio.TimerHandle | None] = {}

    def follow(self) -> None:
        """The pool has changed. A member that drains no more, or left, has no end of its drain to come."""
        draining = {member.id: member for member in self._site.parts.pool.members() if member.drain}
        for id in self._timers.keys() - draining.keys():
            timer = self._timers.pop(id)
            if timer is not None:
                timer.cancel()
        for id, member in draining.items():
            if id not in self._timers:
                seconds = self._site.parts.reactions.drain_timeout()
                over = None if seconds is None else self._site.loop.call_later(seconds, self._over, member)
                self._timers[id] = over

    def _over(self, member: Member) -> None:
        self._timers[member.id] = None
        for server in member.asked:
            self._site.upstreams.cut(server)
