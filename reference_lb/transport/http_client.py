"""The client's side of HTTP: hands requests to exchanges, one after the other, and does their commands."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from limpet.reference_lb.core.exchange import Exchange
from limpet.reference_lb.core.messages import (
    Abort,
    ClientBroken,
    ClientData,
    ClientGone,
    CloseServer,
    Connected,
    Deadline,
    Event,
    Finish,
    KeepServer,
    Open,
    SendClient,
    SendServer,
    SetDeadline,
    Started,
    Wait,
)
from limpet.reference_lb.core.replies import own_reply
from limpet.reference_lb.parts.records import Refusal
from limpet.reference_lb.transport.http_server import BackendConnection
from limpet.reference_lb.transport.requests import Incoming, RequestReader
from limpet.reference_lb.transport.site import Site, source_of
from limpet.reference_lb.transport.timer import DeadlineTimer
from limpet.reference_lb.transport.upstream import connect

_EARLY_BODY = 262_144  # bytes of a request taken in while there is no connection to the member yet
_LINGER = 1.0  # seconds a closing connection still swallows what the client sends, so that it can read the answer


class ClientConnection(asyncio.Protocol):
    """One connection of a client. Its requests are served one after the other; every one is routed anew."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport
        self._reader: RequestReader
        self._incoming: deque[Incoming] = deque()
        self._exchange: Exchange | None = None
        self._head_only = False
        self._server: BackendConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._timer = DeadlineTimer(site.loop, self._deadline)
        self._early = 0
        self._server_writable = True
        self._reading = True
        self._writable = True
        self._ended = False  # the client sends no more
        self._closing = False  # no further request is served

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._reader = RequestReader(source_of(transport), next(self._site.numbers))
        self._site.clients.add(self)
        self._timer.start(self._site.timeouts.idle)

    def data_received(self, data: bytes) -> None:
        """Parse, then serve."""
        if not self._closing:
            self._incoming += self._reader.feed(data)
            self.flush()

    def eof_received(self) -> bool:
        """The client sends no more; what it sent completely is still answered."""
        if self._closing:
            return False
        self._ended = True
        self._incoming += self._reader.end()
        self.flush()
        return self._exchange is not None or bool(self._out)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._closing = True
        self._site.clients.discard(self)
        self._incoming.clear()
        self._feed(ClientGone())
        self._exchange = None
        self._timer.close()

    def pause_writing(self) -> None:
        """The client is slow: the backend waits."""
        self._writable = False
        if self._server is not None:
            self._server.reading(False)

    def resume_writing(self) -> None:
        """It takes bytes again."""
        self._writable = True
        if self._server is not None:
            self._server.reading(True)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # -- what the backend's connection tells

    def from_server(self, event: Event) -> None:
        """An event of the current exchange."""
        self._feed(event)

    def server_writable(self, writable: bool) -> None:
        """The backend's connection takes bytes, or does not."""
        self._server_writable = writable
        self._pace()

    def flush(self) -> None:
        """Serve what is waiting, then send everything that came of it at once."""
        self._pump()
        if self._out:
            data, self._out = self._out, []
            self._transport.write(data[0] if len(data) == 1 else b"".join(data))
        if self._closing:
            self._close()
        else:
            self._pace()

    # -- events

    def _pump(self) -> None:
        """Hand over what the client sent. A request waits until the one before it is done."""
        while self._incoming and not self._closing:
            event = self._incoming[0]
            if self._exchange is None:
                self._incoming.popleft()
                if isinstance(event, Started):
                    self._begin(event)
                elif isinstance(event, ClientBroken):
                    refusal = Refusal(event.status, event.text)
                    self._out.append(own_reply(self._site.parts, None, refusal, True))
                    self._closing = True
            elif isinstance(event, Started) or (isinstance(event, ClientBroken) and self._exchange.request_ended):
                break
            else:
                self._incoming.popleft()
                if self._server is None and isinstance(event, ClientData):
                    self._early += len(event.data)
                self._feed(event)
        if self._ended and self._exchange is None and not self._incoming:
            self._closing = True

    def _begin(self, event: Started) -> None:
        self._exchange = Exchange(self._site.parts)
        self._head_only = event.request.method == b"HEAD"
        self._early = 0
        self._feed(event)

    def _feed(self, event: Event) -> None:
        if self._exchange is not None:
            for command in self._exchange.handle(event):
                _DO[type(command)](self, command)

    def _deadline(self) -> None:
        if self._exchange is None:
            self._closing = True
        else:
            self._feed(Deadline(stalled=not self._server_writable))
        self.flush()

    def _connected(self, link: BackendConnection | None, event: Event) -> None:
        self._connecting = None
        if link is not None:
            self._attach(link)
        self._feed(event)
        self.flush()

    def _attach(self, link: BackendConnection) -> None:
        self._server = link
        self._server_writable = True
        self._early = 0
        link.serve(self, self._head_only)
        if not self._writable:
            link.reading(False)

    # -- commands

    def _open(self, command: Open) -> None:
        member, site = command.member, self._site
        self._detach()
        link = None if command.fresh else site.upstreams.take(member)
        if isinstance(link, BackendConnection):
            self._attach(link)
            self._feed(Connected(reused=True))
            return
        opening = connect(site.loop, member, lambda: BackendConnection(member, site.upstreams), self._connected)
        self._connecting = site.loop.create_task(opening)

    def _send_server(self, command: SendServer) -> None:
        if self._server is not None and command.data:
            self._server.send(command.data)

    def _close_server(self, _: CloseServer) -> None:
        self._detach()

    def _detach(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _keep_server(self, _: KeepServer) -> None:
        link, self._server = self._server, None
        if link is None:
            return
        if self._site.parts.pool.find(link.member.id) is None:
            link.close()
        else:
            link.release()

    def _send_client(self, command: SendClient) -> None:
        self._out.append(command.data)

    def _set_deadline(self, command: SetDeadline) -> None:
        timeouts = self._site.timeouts
        self._timer.start(timeouts.connect if command.wait is Wait.CONNECT else timeouts.response)

    def _finish(self, command: Finish) -> None:
        self._exchange = None
        self._server_writable = True
        if command.close:
            self._closing = True
        else:
            self._timer.start(self._site.timeouts.idle)

    def _abort(self, _: Abort) -> None:
        self._exchange = None
        self._closing = True
        self._out.clear()
        self._transport.abort()

    # -- the connection itself

    def _pace(self) -> None:
        """Read from the client only what can be handed over."""
        if self._ended:
            return
        waiting = self._exchange is not None and bool(self._incoming)
        wanted = self._server_writable and not waiting and self._early <= _EARLY_BODY
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _close(self) -> None:
        """Close after everything is sent. Unread bytes would make the kernel reset the connection, so they are read."""
        self._incoming.clear()
        if self._transport.is_closing():
            return
        if self._ended or not self._reader.unfinished:
            self._transport.close()
            return
        self._ended = True
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._transport.write_eof()
        self._timer.close()
        self._site.loop.call_later(_LINGER, self._transport.abort)


_DO: dict[type, Callable[[ClientConnection, Any], None]] = {
    Open: ClientConnection._open,
    SendServer: ClientConnection._send_server,
    CloseServer: ClientConnection._close_server,
    KeepServer: ClientConnection._keep_server,
    SendClient: ClientConnection._send_client,
    SetDeadline: ClientConnection._set_deadline,
    Finish: ClientConnection._finish,
    Abort: ClientConnection._abort,
}
