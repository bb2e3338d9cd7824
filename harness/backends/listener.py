"""The backend's listening socket, and how it becomes a black hole without privileges."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable

from limpet.harness.model.errors import HarnessFault

BACKLOG = 1024
# struct tcp_info of linux/tcp.h: eight bytes of flags, then __u32 rto, ato, snd_mss, rcv_mss, unacked, sacked.
# For a listening socket the last two are the length of the accept queue and its limit (net/ipv4/tcp.c, tcp_get_info).
_TCP_INFO = struct.Struct("8x4x4x4x4xII")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that no child process inherits.

    Raises:
        OSError: the address is in use or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


class Listener:
    """Accepts connections, or stops to and fills the backlog so that connects time out.

    Each time that it accepts, the loop gets a duplicate of the socket to serve: closing that leaves the socket itself
    and its backlog as they are. Balancers open a connection for each health check, and the loop's own way to accept is
    cheaper than `socket.accept` and a task.
    """

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], secure: ssl.SSLContext | None = None
    ) -> None:
        self._socket = listening
        self._secure = secure
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._fillers: list[socket.socket] = []
        self._accepting = False
        self._opening: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None

    def accept(self) -> None:
        """Accept from now on; heals a black hole: whoever waited in the backlog is served."""
        if self._accepting:
            return
        self._accepting = True
        ours = set()
        for filler in self._fillers:
            with contextlib.suppress(OSError):
                ours.add(filler.getsockname())
            filler.close()
        self._fillers.clear()
        if ours:
            self._take(ours)
        self._socket.listen(BACKLOG)
        self._opening = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        if self._opening is not asyncio.current_task():
            return  # it is a black hole again, whose backlog must stay full
        server = await self._loop.create_server(
            self._protocol, sock=self._socket.dup(), ssl=self._secure, backlog=BACKLOG
        )
        if self._opening is asyncio.current_task():
            self._server = server
        else:
            server.close()

    async def opened(self) -> None:
        """Returns when it accepts, if it is to."""
        if self._opening is not None:
            await self._opening

    def _stop(self) -> None:
        self._accepting = False
        self._opening = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _take(self, ours: set[tuple[str, int]]) -> None:
        """Serves who waits in the backlog, but for what filled it."""
        for _ in range(BACKLOG):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # that connection died in the backlog
            if address in ours:
                connection.close()
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task: asyncio.Task[object] = self._loop.create_task(self._open(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._secure)
        except OSError:
            connection.close()  # reset before it was ours, or no handshake

    def swallow(self) -> None:
        """Stop accepting and fill the backlog: the kernel then drops each new SYN, and connects time out.

        Raises:
            HarnessFault: the backlog would not become full.
        """
        if not self._accepting:
            return
        self._stop()
        self._socket.listen(0)
        address = self._socket.getsockname()
        for _ in range(BACKLOG):
            waiting, limit = _TCP_INFO.unpack(
                self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            )
            if waiting > limit:
                return
            filler = socket.socket(self._socket.family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex(address)
            self._fillers.append(filler)
        raise HarnessFault("the backlog of the listening socket would not fill", where=f"{address[0]}:{address[1]}")

    async def close(self) -> None:
        """Stop listening."""
        self._stop()
        for filler in self._fillers:
            filler.close()
        self._socket.close()
        for task in list(self._tasks):
            task.cancel()
