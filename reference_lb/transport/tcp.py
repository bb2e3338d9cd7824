"""TCP mode: two connections, joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from limpet.reference_lb.core.messages import (
    Abort,
    ClientData,
    ClientEnd,
    ClientGone,
    CloseServer,
    Deadline,
    EndClient,
    EndServer,
    Event,
    Finish,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerEnd,
    ServerGone,
    SetDeadline,
    Started,
    Wait,
)
from limpet.reference_lb.core.stream import Stream
from limpet.reference_lb.parts.records import RequestHead
from limpet.reference_lb.transport.site import Site, port_of, source_of
from limpet.reference_lb.transport.timer import DeadlineTimer
from limpet.reference_lb.transport.upstream import connect


def _set_reading(transport: asyncio.Transport, wanted: bool) -> None:
    """Never touches a closing transport. Reading on after the other side's end would tell of that end again."""
    if not transport.is_closing():
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()


class TcpBackend(asyncio.Protocol):
    """The backend's half of a joined connection."""

    def __init__(self, client: TcpClient) -> None:
        self._client: TcpClient | None = client
        self._ended = False  # the backend sends no more
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes for the client."""
        if self._client is not None:
            self._client.feed(ServerData(data))

    def eof_received(self) -> bool:
        """The backend sends no more."""
        self._ended = True
        if self._client is not None:
            self._client.feed(ServerEnd())
        return self._client is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """The backend is gone."""
        client, self._client = self._client, None
        if client is not None:
            client.feed(ServerGone())

    def pause_writing(self) -> None:
        """The backend is slow: the client waits."""
        if self._client is not None:
            self._client.reading(False)

    def resume_writing(self) -> None:
        """It takes bytes again."""
        if self._client is not None:
            self._client.reading(True)

    def reading(self, wanted: bool) -> None:
        """Whether the client takes bytes at the moment."""
        _set_reading(self.transport, wanted and not self._ended)

    def end(self) -> None:
        """The client sends no more."""
        if not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        """Work for nobody any more; what was written is still sent."""
        self._client = None
        self.transport.close()


class TcpClient(asyncio.Protocol):
    """The client's half; drives the stream."""

    def __init__(self, site: Site, source: str = "", *, hello: bool = False) -> None:
        self._site = site
        self._source = source  # where a PROXY header has told it
        self._hello = hello
        self._stream = Stream(site.parts, hello=hello)
        self._transport: asyncio.Transport
        self._server: TcpBackend | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ended = False  # the client sends no more
        self._timer = DeadlineTimer(site.loop, self._deadline)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: nothing but its hello is read until a member is connected too."""
        self._transport = cast(asyncio.Transport, transport)
        self._site.clients.add(self)
        if not self._hello:
            self._transport.pause_reading()
        source, number = self._source or source_of(transport), next(self._site.numbers)
        self.feed(Started(RequestHead(source, number, port=port_of(transport))))

    def data_received(self, data: bytes) -> None:
        """Bytes for the backend."""
        self.feed(ClientData(data))

    def eof_received(self) -> bool:
        """The client sends no more."""
        self._ended = True
        self.feed(ClientEnd())
        return not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._site.clients.discard(self)
        self.feed(ClientGone())
        self._timer.close()

    def pause_writing(self) -> None:
        """The client is slow: the backend waits."""
        if self._server is not None:
            self._server.reading(False)

    def resume_writing(self) -> None:
        """It takes bytes again."""
        if self._server is not None:
            self._server.reading(True)

    def reading(self, wanted: bool) -> None:
        """Whether the backend takes bytes at the moment."""
        _set_reading(self._transport, wanted and not self._ended)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def feed(self, event: Event) -> None:
        """An event of the stream."""
        for command in self._stream.handle(event):
            _DO[type(command)](self, command)

    def _deadline(self) -> None:
        self.feed(Deadline())

    def _connected(self, link: TcpBackend | None, event: Event) -> None:
        self._connecting = None
        self._timer.stop()
        self._server = link
        self.feed(event)
        if link is not None:
            self.reading(True)

    # -- commands

    def _open(self, command: Open) -> None:
        self.reading(False)
        opening = connect(self._site.loop, command.member, lambda: TcpBackend(self), self._connected)
        self._connecting = self._site.loop.create_task(opening)

    def _set_deadline(self, command: SetDeadline) -> None:
        timeouts = self._site.timeouts
        self._timer.start(timeouts.connect if command.wait is Wait.CONNECT else timeouts.idle)

    def _send_server(self, command: SendServer) -> None:
        if self._server is not None:
            self._server.transport.write(command.data)

    def _send_client(self, command: SendClient) -> None:
        self._transport.write(command.data)

    def _end_server(self, _: EndServer) -> None:
        if self._server is not None:
            self._server.end()

    def _end_client(self, _: EndClient) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def _close_server(self, _: CloseServer) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _finish(self, _: Finish) -> None:
        self._transport.close()

    def _abort(self, _: Abort) -> None:
        self._transport.abort()


_DO: dict[type, Callable[[TcpClient, Any], None]] = {
    Open: TcpClient._open,
    SetDeadline: TcpClient._set_deadline,
    SendServer: TcpClient._send_server,
    SendClient: TcpClient._send_client,
    EndServer: TcpClient._end_server,
    EndClient: TcpClient._end_client,
    CloseServer: TcpClient._close_server,
    Finish: TcpClient._finish,
    Abort: TcpClient._abort,
}
