"""The two halves of a forwarded connection or flow: what comes in at one end goes out at the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import NamedTuple, Protocol, cast

from limpet.harness.clients.sockets import IP_BIND_ADDRESS_NO_PORT


class Outside(NamedTuple):
    """The gateway's own end towards the balancer; port 0 where no connection came about."""

    address: str
    port: int


class Table(Protocol):
    """Who hears of connections that come and go."""

    def accepted(self, ends: Ends, inner: tuple[str, int]) -> None:
        """A connection from inside."""

    def over(self, ends: Ends, inner: tuple[str, int]) -> None:
        """It has ended."""


class Half(asyncio.Protocol):
    """One end; ``other`` is the opposite one."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.other: Half | None = None
        self.transport: asyncio.Transport | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """This end stands."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """On to the other end."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """No more from here; the other direction goes on until it ends too."""
        self._ended = True
        other = self.other
        if other is not None and other.transport is not None:
            with contextlib.suppress(OSError):  # it has just been reset
                other.transport.write_eof()
            if other._ended:
                other.transport.close()
                return False
        return True

    def pause_writing(self) -> None:
        """This end takes nothing more for now."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """This end is gone: the other one learns in which way."""
        self.transport = None
        self.ends.lost(self.other, by_reset=error is not None)

    def reset(self) -> None:
        """Ends it with RST."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class Ends(Half):
    """A connection: this is its inner end, ``other`` the outer one as soon as there is one.

    What comes in before the other end stands is kept: asyncio up to Python 3.11.4 forgets that a transport was paused
    in `connection_made` and reads on.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(self)
        self._table = table
        self._inner = ("", 0)
        self._begun = False
        self._early = bytearray()

    def begin(self) -> None:
        """Both ends stand: what came early goes on, and so does reading."""
        self._begun = True
        if self._early:
            super().data_received(bytes(self._early))
            self._early.clear()
        if self.transport is None:
            return
        if self._ended and not super().eof_received():
            self.transport.close()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """On to the other end, as soon as it stands."""
        if self._begun:
            super().data_received(data)
        else:
            self._early += data

    def eof_received(self) -> bool:
        """No more from here; said to the other end as soon as it stands."""
        if self._begun:
            return super().eof_received()
        self._ended = True
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: nothing is read before the other end stands."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._inner = tuple(transport.get_extra_info("peername")[:2])
        self._table.accepted(self, self._inner)

    def lost(self, other: Half | None, *, by_reset: bool) -> None:
        """One end is gone."""
        if other is not None and other.transport is not None:
            if by_reset:
                other.reset()
            else:
                other.transport.close()  # what is still to be written is
        if self.transport is None and (self.other is None or self.other.transport is None):
            self._table.over(self, self._inner)

    def reset(self) -> None:
        """Ends both halves with RST."""
        super().reset()
        if self.other is not None:
            self.other.reset()


def _bound(egress: str, kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in egress else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Else a pool of few addresses would run out of ports.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((egress, 0))
    except OSError:
        sock.close()
        raise
    return sock


async def open_outside(ends: Ends, egress: str, target: tuple[str, int]) -> Outside:
    """Makes the outer half of a connection and lets both begin.

    Raises:
        OSError: the balancer refuses, or the egress address cannot be used.
    """
    loop = asyncio.get_running_loop()
    sock = _bound(egress, socket.SOCK_STREAM)
    try:
        await loop.sock_connect(sock, target)
        outside = Outside(*sock.getsockname()[:2])
        half = Half(ends)
        ends.other, half.other = half, ends
        await loop.create_connection(lambda: half, sock=sock)
    except BaseException:
        sock.close()
        raise
    if ends.transport is None:
        half.reset()  # the inside gave up meanwhile
    else:
        ends.begin()
    return outside


class Flow:
    """A UDP flow: the socket by which it leaves, and whom its answers are for."""

    def __init__(self, sock: socket.socket, inside: asyncio.DatagramTransport, inner: tuple[str, int]) -> None:
        self.outside = Outside(*sock.getsockname()[:2])
        self._sock = sock
        self._inside = inside
        self._inner = inner
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def send(self, data: bytes) -> None:
        """On to the balancer; a datagram that cannot be sent is lost, as datagrams are."""
        with contextlib.suppress(OSError):
            self._sock.send(data)

    def close(self) -> None:
        """The flow is forgotten."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _readable(self) -> None:
        with contextlib.suppress(OSError):  # nothing there, or the balancer's port is closed
            self._inside.sendto(self._sock.recv(65536), self._inner)


def open_flow(egress: str, target: tuple[str, int], inside: asyncio.DatagramTransport, inner: tuple[str, int]) -> Flow:
    """A flow that leaves by this address.

    Raises:
        OSError: the egress address cannot be used.
    """
    sock = _bound(egress, socket.SOCK_DGRAM)
    try:
        sock.connect(target)
        return Flow(sock, inside, inner)
    except BaseException:
        sock.close()
        raise
