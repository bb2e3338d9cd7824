"""Connections to backends: opening them, keeping idle ones for reuse, and knowing all that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from limpet.reference_lb.core.messages import Connected, Event, Failure, NotConnected
from limpet.reference_lb.parts.records import Member

_KEPT = 128  # idle connections to one member

_Link = TypeVar("_Link", bound=asyncio.BaseProtocol)


class Owner(Protocol):
    """Who a backend's connection works for."""

    def from_server(self, event: Event) -> None:
        """Something happened on it."""

    def flush(self) -> None:
        """All that happened at once was told: now send what it led to."""

    def server_writable(self, writable: bool) -> None:
        """Whether the backend takes bytes at the moment."""


class IdleLink(Protocol):
    """A kept connection."""

    idle_since: float

    def close(self) -> None:
        """Close it."""


class OpenLink(Protocol):
    """A connection that is open, idle or not."""

    def cut(self) -> None:
        """Close it; whoever it works for is told that the backend is gone."""


class Upstreams:
    """Connections by member. Of idle ones the last one kept is the first one used again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: float) -> None:
        self._now = loop.time
        self._idle = idle
        self._kept: dict[str, list[IdleLink]] = {}
        self._open: dict[str, set[OpenLink]] = {}

    def opened(self, member: Member, link: OpenLink) -> None:
        """A connection to the member is there."""
        self._open.setdefault(member.id, set()).add(link)

    def closed(self, member: Member, link: OpenLink) -> None:
        """It is gone."""
        links = self._open.get(member.id, set())
        links.discard(link)
        if not links:
            self._open.pop(member.id, None)

    def cut(self, member: Member) -> None:
        """Close all connections to the member, whatever is under way on them."""
        self.drop(member)
        for link in list(self._open.get(member.id, ())):
            link.cut()

    def take(self, member: Member) -> IdleLink | None:
        """An idle connection to the member, if there is one that is not too old."""
        kept = self._kept.get(member.id)
        while kept:
            link = kept.pop()
            if self._now() - link.idle_since < self._idle:
                return link
            link.close()
        return None

    def keep(self, member: Member, link: IdleLink) -> None:
        """Keep it for later, or close it when there are enough."""
        kept = self._kept.get(member.id)
        if kept is None:
            kept = self._kept[member.id] = []
        if len(kept) >= _KEPT:
            link.close()
            return
        link.idle_since = self._now()
        kept.append(link)

    def lost(self, member: Member, link: IdleLink) -> None:
        """A kept connection was closed."""
        kept = self._kept.get(member.id, [])
        if link in kept:
            kept.remove(link)

    def drop(self, member: Member) -> None:
        """Close all kept connections to the member: it left the pool or is down."""
        for link in self._kept.pop(member.id, []):
            link.close()

    def close(self) -> None:
        """Close all."""
        for links in self._kept.values():
            for link in links:
                link.close()
        self._kept.clear()


async def connect(
    loop: asyncio.AbstractEventLoop,
    member: Member,
    make: Callable[[], _Link],
    told: Callable[[_Link | None, Event], None],
) -> None:
    """Open a connection and tell how it went. Cancelling it tells nothing; time limits are the caller's."""
    try:
        _, link = await loop.create_connection(make, member.host, member.port)
    except ConnectionRefusedError:
        told(None, NotConnected(Failure.REFUSED))
    except OSError:
        told(None, NotConnected(Failure.UNREACHABLE))
    else:
        told(link, Connected(reused=False))
