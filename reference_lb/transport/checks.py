"""Active health checks: a new connection each time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from limpet.reference_lb.parts.protocols import HealthView
from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.settings.config import Health
from limpet.reference_lb.transport.site import Site

_STATUS_LINE = len(b"HTTP/1.1 200")


class _Check(asyncio.Protocol):
    """Asks one question; `result` is done when the answer is there."""

    def __init__(self, request: bytes, result: asyncio.Future[bool]) -> None:
        self._request = request
        self._result = result
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._request:
            self._transport.write(self._request)
        else:
            self._tell(True)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= _STATUS_LINE:
            line = self._received[:_STATUS_LINE]
            self._tell(line.startswith(b"HTTP/1.") and line[9:10] in (b"2", b"3"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(False)

    def _tell(self, good: bool) -> None:
        if not self._result.done():
            self._result.set_result(good)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Checker:
    """Checks every watched member each `interval`, and tells the health view.

    Args:
        tcp: a connection is enough, nothing is asked.
    """

    def __init__(self, site: Site, view: HealthView, health: Health, tcp: bool) -> None:
        self._site = site
        self._view = view
        self._health = health
        self._tcp = tcp
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def watch(self, members: Iterable[Member]) -> None:
        """Begin to check these; returns after the first check of each, which takes `timeout` at most."""
        if not self._health.enabled:
            return
        firsts = []
        for member in members:
            first = self._site.loop.create_future()
            self._tasks[member.id] = self._site.loop.create_task(self._run(member, first))
            firsts.append(first)
        if firsts:
            await asyncio.wait(firsts)

    def unwatch(self, members: Iterable[Member]) -> None:
        """Stop checking these."""
        for member in members:
            task = self._tasks.pop(member.id, None)
            if task is not None:
                task.cancel()

    def close(self) -> None:
        """Stop."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, member: Member, first: asyncio.Future[None]) -> None:
        loop = self._site.loop
        try:
            while True:
                begun = loop.time()
                good = await self._check(member)
                view = self._view
                was = view.healthy(member)
                view.checked(member, good)
                if was and not view.healthy(member):
                    self._site.upstreams.drop(member)
                if not first.done():
                    first.set_result(None)
                await asyncio.sleep(max(0.0, begun + self._health.interval - loop.time()))
        finally:
            if not first.done():
                first.set_result(None)

    async def _check(self, member: Member) -> bool:
        loop = self._site.loop
        result: asyncio.Future[bool] = loop.create_future()
        check = _Check(b"" if self._tcp else self._request(member), result)
        try:
            async with asyncio.timeout(self._health.timeout):
                await loop.create_connection(lambda: check, member.host, member.port)
                return await result
        except (OSError, TimeoutError):
            return False
        finally:
            check.close()

    def _request(self, member: Member) -> bytes:
        return (
            f"GET {self._health.path} HTTP/1.1\r\nHost: {member.host}:{member.port}\r\n"
            "User-Agent: limpet-lb-health\r\nConnection: close\r\n\r\n"
        ).encode()
