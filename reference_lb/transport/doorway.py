"""Finds out what a new connection speaks, and whom it comes from, before anybody serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from limpet.reference_lb.parts.client_address import Trusted
from limpet.reference_lb.settings.config import Listener
from limpet.reference_lb.transport import proxy_protocol
from limpet.reference_lb.transport.http2 import PREFACE, Http2Connection
from limpet.reference_lb.transport.http_client import ClientConnection
from limpet.reference_lb.transport.site import Site, source_of
from limpet.reference_lb.transport.tcp import TcpClient
from limpet.reference_lb.transport.timer import DeadlineTimer

Serve = Callable[[str], asyncio.Protocol]


def entrance(site: Site, listener: Listener, *, hello: bool = False) -> Callable[[], asyncio.Protocol]:
    """What serves each new connection: the protocol itself where nothing has to be found out first.

    Args:
        hello: connections of plain TCP begin with TLS, whose session ids count.
    """
    secure = listener.tls is not None
    trusted = Trusted(listener.trusted) if listener.proxy_protocol else None

    def http1(source: str = "") -> asyncio.Protocol:
        return ClientConnection(site, source, secure=secure)

    def http2(source: str = "") -> asyncio.Protocol:
        return Http2Connection(site, source, secure=secure)

    def tcp(source: str = "") -> asyncio.Protocol:
        return TcpClient(site, source, hello=hello)

    serve = http1 if listener.protocol == "http" else tcp
    if trusted is None and not listener.http2:
        return serve
    return lambda: Doorway(site, trusted, serve, http2 if listener.http2 else None)


class Doorway(asyncio.Protocol):
    """Reads as little as it takes to know, and hands connection and bytes over.

    Args:
        trusted: whose PROXY header counts; None: no such header is expected.
        http1: what serves a connection from this address ("": its own), unless it begins in HTTP/2.
        http2: what serves HTTP/2, None where it is not offered.
    """

    def __init__(self, site: Site, trusted: Trusted | None, http1: Serve, http2: Serve | None) -> None:
        self._site = site
        self._trusted = trusted
        self._http1 = http1
        self._http2 = http2
        self._source = ""
        self._named = trusted is None
        self._data = b""
        self._transport: asyncio.Transport
        self._timer = DeadlineTimer(site.loop, self.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Over TLS, the handshake has agreed on what is spoken."""
        self._transport = cast(asyncio.Transport, transport)
        self._site.clients.add(self)
        self._timer.start(self._site.timeouts.idle)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and self._named:
            agreed = tls.selected_alpn_protocol() == "h2"
            self._hand_over(self._http2 if agreed and self._http2 is not None else self._http1)

    def data_received(self, data: bytes) -> None:
        """Look for the PROXY header, then for HTTP/2's first bytes."""
        self._data += data
        if not self._named and not self._read_header():
            return
        if self._http2 is not None and self._data[: len(PREFACE)] == PREFACE[: len(self._data)]:
            if len(self._data) >= len(PREFACE):
                self._hand_over(self._http2)
        else:
            self._hand_over(self._http1)

    def connection_lost(self, exc: Exception | None) -> None:
        """It never came to a request."""
        self._site.clients.discard(self)
        self._timer.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _read_header(self) -> bool:
        """Whether it is known by now for whom the connection was opened. Who says it must be trusted to count."""
        try:
            said = proxy_protocol.read(self._data)
        except proxy_protocol.NoHeader:
            self.abort()
            return False
        if said is None:
            return False
        self._data = self._data[said.length :]
        self._named = True
        if self._trusted is not None and source_of(self._transport) in self._trusted:
            self._source = said.source
        if not self._data and self._http2 is None:
            self._hand_over(self._http1)  # who speaks first below layer 7 is not known
            return False
        return bool(self._data)

    def _hand_over(self, serve: Serve) -> None:
        self._site.clients.discard(self)
        self._timer.close()
        served = serve(self._source)
        self._transport.set_protocol(served)
        served.connection_made(self._transport)
        if self._data:
            served.data_received(self._data)
