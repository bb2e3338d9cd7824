"""A running balancer: its listener, health checks and admin API, and what an operator can do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limpet.reference_lb.parts.assembly import build_parts, take_over
from limpet.reference_lb.parts.protocols import Arrange, Parts
from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.settings.config import Config, GroupConfig, Listener, MemberConfig
from limpet.reference_lb.settings.load import load, specs
from limpet.reference_lb.settings.problems import ConfigError, Problem
from limpet.reference_lb.transport.checks import Checker
from limpet.reference_lb.transport.doorway import entrance
from limpet.reference_lb.transport.draining import Draining
from limpet.reference_lb.transport.listening import BACKLOG, listening_socket
from limpet.reference_lb.transport.site import Site
from limpet.reference_lb.transport.tls import server_context
from limpet.reference_lb.transport.udp import UdpListener, udp_socket
from limpet.reference_lb.transport.upstream import Upstreams


@dataclass(frozen=True, slots=True)
class Address:
    """Where the balancer listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """HOST:PORT, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def asked(members: Iterable[Member]) -> list[Member]:
    """Those that connections are made to: of groups, their servers."""
    return [server for member in members for server in member.asked]


class Service:
    """Every change has taken effect when its method returns. Changes are made one after the other."""

    def __init__(self, config: Config, arrange: Arrange) -> None:
        loop = asyncio.get_running_loop()
        self._config = config
        self._arrange = arrange
        self.site = Site(loop, arrange(build_parts(config)), config.timeouts, Upstreams(loop, config.timeouts.idle))
        self._checker = self._new_checker(config, self.site.parts)
        self._draining = Draining(self.site)
        self._draining.follow()
        self._server: asyncio.Server | None = None
        self._changing = asyncio.Lock()
        self._generation = 1

    @property
    def name(self) -> str:
        """The balancer's name."""
        return self._config.name

    @property
    def groups(self) -> bool:
        """Whether its members are groups of servers."""
        return bool(self._config.pool.group)

    @property
    def generation(self) -> int:
        """Counts the changes of members, stickiness and settings."""
        return self._generation

    async def start(self) -> Address:
        """Take the port, check every member once, then serve.

        Raises:
            OSError: the port cannot be had.
        """
        listener = self._config.listener
        if listener.protocol == "udp":
            return await self._start_udp(listener)
        self._server = await self.site.loop.create_server(
            entrance(self.site, listener, hello=self._config.affinity.mode == "tls-session-id"),
            sock=listening_socket(listener.host, listener.port),
            backlog=BACKLOG,
            ssl=server_context(listener),
            start_serving=False,
        )
        await self._checker.watch(asked(self.site.parts.pool.members()))
        await self._server.start_serving()
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def _start_udp(self, listener: Listener) -> Address:
        bound = udp_socket(listener.host, listener.port)
        try:
            await self._checker.watch(asked(self.site.parts.pool.members()))
        except BaseException:
            bound.close()
            raise
        host, port = bound.getsockname()[:2]
        await self.site.loop.create_datagram_endpoint(lambda: UdpListener(self.site, listener.flows), sock=bound)
        return Address(host, port)

    def stop(self) -> None:
        """Close everything at once; what is in flight is cut."""
        if self._server is not None:
            self._server.close()
        self._checker.close()
        for client in list(self.site.clients):
            client.abort()
        self.site.upstreams.close()

    async def set_members(self, wanted: Sequence[MemberConfig | GroupConfig]) -> None:
        """Bring the pool to the wanted list. New members are checked once before this returns."""
        async with self._changing:
            parts = self.site.parts
            change = parts.pool.apply(specs(wanted))
            self._checker.unwatch(asked(change.removed))
            for member in change.removed:
                parts.health_view.forget(member)
            for server in asked(change.removed):
                self.site.upstreams.drop(server)
            self._draining.follow()
            self._generation += 1
            await self._checker.watch(asked(change.added))

    async def set_affinity(self, enabled: bool) -> None:
        """Turn stickiness on or off."""
        async with self._changing:
            self.site.parts.switch.set(enabled)
            self._generation += 1

    async def advance_clock(self, seconds: float) -> None:
        """Let the affinity clock jump ahead."""
        async with self._changing:
            self.site.parts.clock.advance(seconds)

    async def rotate_keys(self) -> None:
        """A new key encrypts cookies from now on."""
        async with self._changing:
            self.site.parts.binding_store.rotate()

    async def reload(self) -> None:
        """Read the file again and rebuild the balancer, keeping what `take_over` names.

        The members, and whether stickiness is on, follow the file only where the file changed: what the admin API set
        stays in force otherwise.

        Raises:
            ConfigError: the file is wrong, or changes what needs a restart. Nothing has changed then.
        """
        async with self._changing:
            before = self._config
            after = load(before.source) if before.source is not None else before
            if after.listener != before.listener or after.admin != before.admin:
                raise ConfigError([Problem("listener, admin", "a change of these needs a restart")], str(after.source))
            if bool(after.pool.group) != bool(before.pool.group):
                raise ConfigError(
                    [Problem("pool.group", "groups instead of members need a restart")], str(after.source)
                )
            if (
                "tls-session-id" in (after.affinity.mode, before.affinity.mode)
                and after.affinity.mode != before.affinity.mode
            ):
                raise ConfigError(
                    [Problem("affinity.mode", "to or from tls-session-id needs a restart")], str(after.source)
                )
            old = self.site.parts
            new = self._arrange(build_parts(after))
            take_over(new, old)
            removed: Sequence[Member] = ()
            if after.pool.wanted != before.pool.wanted:
                removed = new.pool.apply(specs(after.pool.wanted)).removed
            same_mode = after.affinity.mode == before.affinity.mode
            if same_mode and after.affinity.enabled == before.affinity.enabled:
                new.switch.set(old.switch.enabled)
            checker = self._new_checker(after, new)
            await checker.watch(asked(new.pool.members()))
            self._checker.close()
            self._checker = checker
            self.site.parts, self.site.timeouts = new, after.timeouts
            for server in asked(removed):
                self.site.upstreams.drop(server)
            self._draining.follow()
            self._config = after
            self._generation += 1

    def _new_checker(self, config: Config, parts: Parts) -> Checker:
        return Checker(self.site, parts.health_view, config.health, tcp=config.listener.protocol != "http")
