"""One proxy of the embedded server: a listening socket, an upstream address, toxics, and open connections."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from limpet.harness.chaos.proxies.link import Link
from limpet.harness.chaos.proxies.toxics import Given, Toxic, Wrong, toxic_of


class Asked(msgspec.Struct):
    """A proxy as it comes in a request; what is left out keeps its value, or its default."""

    name: str = ""
    listen: str = ""
    upstream: str = ""
    enabled: bool | None = None


class Shown(msgspec.Struct):
    """A proxy as it goes out."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: list[Toxic]


class Proxy:
    """Accepts at one address and passes on to another one.

    Args:
        name: unique in its server.
        listen: ``host:port``; port 0 for any.
        upstream: ``host:port``.
    """

    def __init__(self, name: str, listen: str, upstream: str) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.toxics: list[Toxic] = []
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], Link] = {}

    @property
    def enabled(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def enable(self) -> None:
        """Accepts connections from now on.

        Raises:
            Wrong: the address cannot be listened on.
        """
        if self._server is not None:
            return
        host, port = address_of(self.listen)
        try:
            self._server = await asyncio.start_server(self._accepted, host, port, backlog=1024)
        except OSError as err:
            raise Wrong(500, f"listen tcp {self.listen}: {err.strerror or err}") from err
        bound = self._server.sockets[0].getsockname()
        self.listen = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def disable(self) -> None:
        """Refuses connections from now on, and ends those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def update(self, asked: Asked) -> None:
        """Takes over what a request says; another address begins anew.

        Raises:
            Wrong: it cannot be.
        """
        enabled = self.enabled if asked.enabled is None else asked.enabled
        if (asked.listen and asked.listen != self.listen) or (asked.upstream and asked.upstream != self.upstream):
            await self.disable()
            self.listen, self.upstream = asked.listen or self.listen, asked.upstream or self.upstream
        await (self.enable() if enabled else self.disable())

    def add(self, given: Given) -> Toxic:
        """A further toxic, in force for open connections too.

        Raises:
            Wrong: it makes no sense, or there is one of that name.
        """
        toxic = toxic_of(given)
        if any(each.name == toxic.name for each in self.toxics):
            raise Wrong(409, "toxic already exists")
        self.toxics.append(toxic)
        self._changed()
        return toxic

    def toxic(self, name: str) -> Toxic:
        """The toxic of this name.

        Raises:
            Wrong: there is none.
        """
        for each in self.toxics:
            if each.name == name:
                return each
        raise Wrong(404, "toxic not found")

    def change(self, name: str, given: Given) -> Toxic:
        """Gives a toxic other values."""
        toxic = self.toxic(name)
        toxic.update(given)
        self._changed()
        return toxic

    def remove(self, name: str) -> None:
        """Ends one toxic."""
        self.toxics.remove(self.toxic(name))
        self._changed()

    async def reset(self) -> None:
        """No toxics, and enabled."""
        self.toxics.clear()
        self._changed()
        await self.enable()

    def shown(self) -> Shown:
        """How it is."""
        return Shown(self.name, self.listen, self.upstream, self.enabled, list(self.toxics))

    def _changed(self) -> None:
        for link in self._links.values():
            link.changed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        link = self._links[task] = Link(lambda: self.toxics)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # ended by `disable`; nobody waits for more
                await link.run(reader, writer, address_of(self.upstream))
        finally:
            del self._links[task]


def address_of(text: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        Wrong: it is no address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Wrong(400, f"address {text}: write host:port")
    return host.strip("[]") or "127.0.0.1", int(port)
