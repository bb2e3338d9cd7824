"""UDP mode: one socket for all clients, and for each flow of a client one of its own to the member."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from limpet.reference_lb.core.flow import Datagram, Flow, FlowEvent
from limpet.reference_lb.core.messages import (
    ClientGone,
    CloseServer,
    Connected,
    Failure,
    NotConnected,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerGone,
)
from limpet.reference_lb.parts.records import Member, RequestHead
from limpet.reference_lb.transport.site import Site

SWEEP = 1.0
"""Real seconds between two looks for flows that are over; each datagram looks too."""
BUFFER = 4 * 1024 * 1024

Peer = tuple[Any, ...]


def udp_socket(host: str, port: int) -> socket.socket:
    """A bound socket with room for bursts; names are looked up, and the first address counts.

    Raises:
        OSError: the port cannot be had, or nobody knows the name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, number, _, address = found[0]
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # the kernel gives what it allows
        bound.setblocking(False)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class UdpBackend(asyncio.DatagramProtocol):
    """The flow's own socket to its member: by it the member's answers find back."""

    def __init__(self, flow: UdpFlow) -> None:
        self._flow: UdpFlow | None = flow
        self._transport: asyncio.DatagramTransport | None = None
        self._retired = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open, unless nobody waits any more."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        if self._flow is None:
            transport.close()

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        """An answer."""
        if self._flow is not None:
            self._flow.feed(ServerData(data))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens at the member (ICMP)."""
        if self._flow is not None and not self._retired and isinstance(exc, ConnectionRefusedError):
            self._flow.feed(ServerGone())

    def send(self, data: bytes) -> None:
        """Send to the member."""
        if self._transport is not None:
            self._transport.sendto(data)

    def retire(self) -> None:
        """Only listen from now on."""
        self._retired = True

    def close(self) -> None:
        """Work for nobody any more."""
        self._flow = None
        if self._transport is not None:
            self._transport.close()


class UdpFlow:
    """One client's address and port; drives the flow."""

    def __init__(self, listener: UdpListener, site: Site, peer: Peer) -> None:
        self.used = 0.0
        self._listener = listener
        self._site = site
        self._peer = peer
        request = RequestHead(str(peer[0]), next(site.numbers), port=int(peer[1]))
        self._flow = Flow(lambda: site.parts, request)
        self._server: UdpBackend | None = None
        self._former: UdpBackend | None = None
        self._opening: asyncio.Task[None] | None = None

    def feed(self, event: FlowEvent) -> None:
        """An event of the flow."""
        for command in self._flow.handle(event):
            _DO[type(command)](self, command)

    # -- commands

    def _open(self, command: Open) -> None:
        self._cancel()
        if self._server is not None:
            if self._former is not None:
                self._former.close()
            self._former, self._server = self._server, None
            self._former.retire()
        self._opening = self._site.loop.create_task(self._connect(command.member))

    async def _connect(self, member: Member) -> None:
        link = UdpBackend(self)
        try:
            await self._site.loop.create_datagram_endpoint(lambda: link, remote_addr=(member.host, member.port))
        except OSError:
            self._opening = None
            self.feed(NotConnected(Failure.UNREACHABLE))
        except asyncio.CancelledError:
            link.close()
            raise
        else:
            self._opening, self._server = None, link
            self.feed(Connected(reused=False))

    def _send_server(self, command: SendServer) -> None:
        if self._server is not None:
            self._server.send(command.data)

    def _send_client(self, command: SendClient) -> None:
        self._listener.send(command.data, self._peer)

    def _close_server(self, _: CloseServer) -> None:
        self._cancel()
        for link in (self._server, self._former):
            if link is not None:
                link.close()
        self._server = self._former = None

    def _cancel(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None


class UdpListener(asyncio.DatagramProtocol):
    """The clients' side, and the table of open flows, the one used longest ago first.

    Args:
        site: what the balancer's parts are, and how long a flow may be idle by their clock.
        limit: how many flows may be open.
    """

    def __init__(self, site: Site, limit: int) -> None:
        self._site = site
        self._limit = limit
        self._flows: OrderedDict[Peer, UdpFlow] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None
        self._sweeper = site.loop.call_later(SWEEP, self._sweep)
        site.clients.add(self)

    @property
    def flows(self) -> int:
        """How many are open."""
        return len(self._flows)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to receive."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        """A client's datagram."""
        now = self._site.parts.clock.now()
        self._end_idle(now)
        flow = self._flows.get(addr)
        if flow is None:
            flow = self._flows[addr] = UdpFlow(self, self._site, addr)
            if len(self._flows) > self._limit:
                self._flows.popitem(last=False)[1].feed(ClientGone())
        else:
            self._flows.move_to_end(addr)
        flow.used = now
        flow.feed(Datagram(data))

    def send(self, data: bytes, peer: Peer) -> None:
        """An answer to a client: a use of its flow too."""
        flow = self._flows.get(peer)
        if flow is not None:
            flow.used = self._site.parts.clock.now()
            self._flows.move_to_end(peer)
        if self._transport is not None:
            self._transport.sendto(data, peer)

    def abort(self) -> None:
        """Close everything at once."""
        self._sweeper.cancel()
        while self._flows:
            self._flows.popitem()[1].feed(ClientGone())
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._transport.abort()

    def _sweep(self) -> None:
        self._end_idle(self._site.parts.clock.now())
        self._sweeper = self._site.loop.call_later(SWEEP, self._sweep)

    def _end_idle(self, now: float) -> None:
        idle = self._site.timeouts.flow
        while self._flows:
            first = next(iter(self._flows.values()))
            if now - first.used < idle:
                return
            self._flows.popitem(last=False)[1].feed(ClientGone())


_DO: dict[type, Callable[[UdpFlow, Any], None]] = {
    Open: UdpFlow._open,
    SendServer: UdpFlow._send_server,
    SendClient: UdpFlow._send_client,
    CloseServer: UdpFlow._close_server,
}
