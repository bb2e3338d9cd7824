"""The client's side of HTTP/1: hands requests to exchanges, one after the other, and sends their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from limpet.reference_lb.core.messages import (
    Abort,
    ClientBroken,
    ClientData,
    ClientEnd,
    ClientGone,
    Finish,
    SendClient,
    Started,
    Tunnel,
    Wait,
)
from limpet.reference_lb.core.replies import own_reply
from limpet.reference_lb.parts.records import Refusal
from limpet.reference_lb.transport.driver import ExchangeDriver, commands
from limpet.reference_lb.transport.http_server import BackendConnection
from limpet.reference_lb.transport.requests import Incoming, RequestReader
from limpet.reference_lb.transport.site import Site, source_of

_EARLY_BODY = 262_144  # bytes of a request taken in while there is no connection to the member yet
_IDLE = Wait.IDLE
_LINGER = 1.0  # seconds a closing connection still swallows what the client sends, so that it can read the answer


class ClientConnection(ExchangeDriver, asyncio.Protocol):
    """One connection of a client. Its requests are served one after the other; every one is routed anew.

    Args:
        source: the client's address where a PROXY header has told it, else "". secure: it is over TLS.
    """

    def __init__(self, site: Site, source: str = "", *, secure: bool = False) -> None:
        super().__init__(site)
        self._source = source
        self._secure = secure
        self._transport: asyncio.Transport
        self._reader: RequestReader
        self._incoming: deque[Incoming] = deque()
        self._out: list[bytes] = []
        self._early = 0
        self._reading = True
        self._ended = False  # the client sends no more
        self._closing = False  # no further request is served

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        source = self._source or source_of(transport)
        self._reader = RequestReader(source, next(self._site.numbers), secure=self._secure)
        self._site.clients.add(self)
        self._timer.start(self._site.timeouts.idle)

    def data_received(self, data: bytes) -> None:
        """Parse, then serve."""
        if not self._closing:
            self._incoming += self._reader.feed(data)
            self.flush()

    def eof_received(self) -> bool:
        """The client sends no more; what it sent completely is still answered (not over TLS, which has no such end)."""
        if self._closing:
            return False
        self._ended = True
        self._incoming += self._reader.end()
        self.flush()
        return not self._secure and (self._exchange is not None or bool(self._out))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._closing = True
        self._site.clients.discard(self)
        self._incoming.clear()
        self._feed(ClientGone())
        self._exchange = None
        self._close_timer()

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

    def server_writable(self, writable: bool) -> None:
        """The backend's connection takes bytes, or does not."""
        self._server_writable = writable
        self._pace()

    def flush(self) -> None:
        """Serve what is waiting, then send everything that came of it at once."""
        if self._incoming or self._ended:
            self._pump()
        if self._out:
            data, self._out = self._out, []
            self._transport.write(data[0] if len(data) == 1 else b"".join(data))
        if self._closing:
            self._close()
        else:
            self._pace()
        self._keep_time()

    # -- events

    def _pump(self) -> None:
        """Hand over what the client sent. A request waits until the one before it is done."""
        incoming = self._incoming
        while incoming and not self._closing:
            event = incoming[0]
            if self._exchange is None:
                incoming.popleft()
                if isinstance(event, Started):
                    self._early = 0
                    self._begin(event)
                elif isinstance(event, ClientBroken):
                    refusal = Refusal(event.status, event.text)
                    self._out.append(own_reply(self._site.parts, None, refusal, True))
                    self._closing = True
            elif isinstance(event, Started) or (isinstance(event, ClientBroken) and self._exchange.request_ended):
                break
            else:
                incoming.popleft()
                if self._server is None and isinstance(event, ClientData):
                    self._early += len(event.data)
                self._feed(event)
        if self._ended and self._exchange is None and not incoming:
            self._closing = True

    def _timed_out(self) -> None:
        if self._exchange is None:
            self._closing = True
            self.flush()
        else:
            super()._timed_out()

    def _attach(self, link: BackendConnection) -> None:
        self._early = 0
        ExchangeDriver._attach(self, link)

    # -- commands

    def _send_client(self, command: SendClient) -> None:
        self._out.append(command.data)

    def _tunnel(self, _: Tunnel) -> None:
        behind = self._reader.tunnel()
        if self._server is not None:
            self._server.tunnel()
        if behind:
            self._incoming.append(ClientData(behind))
        if self._ended:
            self._incoming.append(ClientEnd())

    def _finish(self, command: Finish) -> None:
        self._exchange = None
        self._server_writable = True
        if command.close:
            self._closing = True
        else:
            if self._reader.undecided:
                self._incoming += self._reader.go_on()
            self._wait = _IDLE

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
        wanted = (
            self._server_writable
            and not (self._incoming and self._exchange is not None)
            and self._early <= _EARLY_BODY
            and not (self._reader.undecided and self._reader.behind > _EARLY_BODY)
        )
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
        if self._ended or not self._reader.unfinished or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._ended = True
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._transport.write_eof()
        self._close_timer()
        self._site.loop.call_later(_LINGER, self._transport.abort)


ClientConnection.do = commands(ClientConnection)
