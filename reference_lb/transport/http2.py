"""HTTP/2 towards clients (RFC 9113): each stream is one request, routed for itself."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any, cast

import httptools
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from limpet.reference_lb.core.messages import (
    Abort,
    ClientData,
    ClientEnd,
    ClientGone,
    Finish,
    SendClient,
    Started,
    Tunnel,
)
from limpet.reference_lb.core.replies import own_reply
from limpet.reference_lb.parts.records import Headers, Refusal, RequestHead
from limpet.reference_lb.transport.driver import ExchangeDriver, commands
from limpet.reference_lb.transport.http_server import BackendConnection
from limpet.reference_lb.transport.requests import is_host
from limpet.reference_lb.transport.site import Site, source_of
from limpet.reference_lb.transport.timer import DeadlineTimer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MANY = 65_536
"""Bytes of a response that wait for the client before its backend waits too."""
_OF_CONNECTIONS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"(?:/|\*$)[!-~\x80-\xff]*")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")


class Http2Connection(asyncio.Protocol):
    """One connection of a client, with any number of streams.

    Args:
        source: the client's address where a PROXY header has told it, else "". secure: it is over TLS.
    """

    def __init__(self, site: Site, source: str = "", *, secure: bool = False) -> None:
        self.site = site
        self.wire: Any = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.writable = True
        self.streams: dict[int, Http2Stream] = {}
        self._source = source
        self._secure = secure
        self._number = 0
        self._transport: asyncio.Transport
        self._timer = DeadlineTimer(site.loop, self._idle)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._source = self._source or source_of(transport)
        self._number = next(self.site.numbers)
        self.site.clients.add(self)
        self._timer.start(self.site.timeouts.idle)
        self.wire.initiate_connection()
        self.send()

    def data_received(self, data: bytes) -> None:
        """Parse, then serve."""
        try:
            events = self.wire.receive_data(data)
        except ProtocolError:  # h2 has written the GOAWAY that says why
            self.send()
            self._transport.close()
            return
        for event in events:
            self._handle(event)
        self.send()

    def eof_received(self) -> bool:
        """The client is gone: HTTP/2 has no half-closed connections."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.site.clients.discard(self)
        self._timer.close()
        for stream in list(self.streams.values()):
            stream.gone()

    def pause_writing(self) -> None:
        """The client is slow."""
        self.writable = False

    def resume_writing(self) -> None:
        """It takes bytes again."""
        self.writable = True
        self._push()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # -- for the streams

    def send(self) -> None:
        """Send what h2 has ready."""
        data = self.wire.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def over(self, stream: Http2Stream) -> None:
        """The stream takes no more part."""
        self.streams.pop(stream.id, None)
        if not self.streams:
            self._timer.start(self.site.timeouts.idle)

    # -- events

    def _handle(self, event: object) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event)
        elif isinstance(event, DataReceived):
            self._take(event)
        elif isinstance(event, StreamEnded):
            if (stream := self._stream(event)) is not None:
                stream.ended()
        elif isinstance(event, StreamReset):
            if (stream := self._stream(event)) is not None:
                stream.gone()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._push()
        elif isinstance(event, ConnectionTerminated):
            self._transport.close()

    def _stream(self, event: object) -> Http2Stream | None:
        number: int = getattr(event, "stream_id", 0) or 0
        return self.streams.get(number)

    def _begin(self, event: RequestReceived) -> None:
        number = event.stream_id
        self._timer.stop()
        ends = event.stream_ended is not None
        stream = self.streams[number] = Http2Stream(self, number, ends)
        head, problem = _head(event.headers, ends)
        if head is None:
            stream.refuse(problem)
            return
        head.source, head.connection, head.stream, head.secure = self._source, self._number, number, self._secure
        stream.start(head)

    def _take(self, event: DataReceived) -> None:
        stream, size = self._stream(event), event.flow_controlled_length or 0
        if stream is None:  # its answer is complete already; the connection's window is everybody's
            if size:
                self.wire.increment_flow_control_window(size)
            return
        stream.take(bytes(event.data or b""), size)

    def _push(self) -> None:
        for stream in list(self.streams.values()):
            stream.push()
        self.send()

    def _idle(self) -> None:
        if not self.streams:
            self.wire.close_connection()
            self.send()
            self._transport.close()


class Http2Stream(ExchangeDriver):
    """One request. What its exchange says in HTTP/1.1 is read and said again in frames."""

    def __init__(self, client: Http2Connection, number: int, all_read: bool) -> None:
        super().__init__(client.site)
        self.id = number
        self._client = client
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: Headers = []
        self._interim = False
        self._head: list[tuple[bytes, bytes]] = []  # the answer's, until it is sent
        self._answered = False  # it is sent
        self._out = bytearray()
        self._complete = False  # all of the answer is in `_out`
        self._all_read = all_read  # the request is complete
        self._unread = 0  # bytes of it that the client is not told to be taken

    # -- from the client

    def start(self, head: RequestHead) -> None:
        """The request's head."""
        self._begin(Started(head))
        self.flush()

    def refuse(self, text: str) -> None:
        """It cannot be understood."""
        self._send_client(SendClient(own_reply(self._site.parts, None, Refusal(400, text), False)))
        self._finish(Finish(close=False))
        self.flush()

    def take(self, data: bytes, size: int) -> None:
        """A piece of the body, which counts as `size` bytes of the flow control windows."""
        self._unread += size
        if data:
            self._feed(ClientData(data))
        self.flush()

    def ended(self) -> None:
        """The request is complete."""
        self._all_read = True
        self._feed(ClientEnd())
        self.flush()

    def gone(self) -> None:
        """The client takes nothing more of it."""
        self._out.clear()
        self._feed(ClientGone())
        self._exchange = None
        self._close_timer()
        self._acknowledge(stream=False)
        self._client.over(self)

    # -- from the backend

    def server_writable(self, writable: bool) -> None:
        """The backend's connection takes bytes, or does not."""
        super().server_writable(writable)
        if writable:
            self.flush()

    def flush(self) -> None:
        """Send what may be sent, and take in more where that can be passed on."""
        self._keep_time()
        if self._exchange is None or (self._server is not None and self._server_writable):
            self._acknowledge(stream=not self._all_read)
        self.push()
        self._client.send()

    def push(self) -> None:
        """Send as much of the answer as client and connection take."""
        if self.id not in self._client.streams:
            return
        try:
            self._push()
        except ProtocolError:  # the client has reset the stream; the event that says so is on its way
            self.gone()

    def _push(self) -> None:
        wire = self._client.wire
        if self._head:
            wire.send_headers(self.id, self._head)
            self._head, self._answered = [], True
        while self._out and self._answered and self._client.writable:
            room = min(wire.local_flow_control_window(self.id), wire.max_outbound_frame_size, len(self._out))
            if room <= 0:
                break
            piece = bytes(self._out[:room])
            del self._out[:room]
            wire.send_data(self.id, piece)
            self._client.send()
        if self._server is not None:
            self._server.reading(len(self._out) < _MANY)
        if self._complete and not self._out:
            wire.end_stream(self.id)
            self._client.over(self)
            if not self._all_read:
                with suppress(ProtocolError):  # it may have ended meanwhile
                    wire.reset_stream(self.id, ErrorCodes.NO_ERROR)

    def _acknowledge(self, *, stream: bool) -> None:
        if not self._unread:
            return
        self._client.wire.increment_flow_control_window(self._unread)
        if stream:
            with suppress(ProtocolError):  # it may have ended meanwhile
                self._client.wire.increment_flow_control_window(self._unread, self.id)
        self._unread = 0

    def _attach(self, link: BackendConnection) -> None:
        super()._attach(link)
        link.reading(len(self._out) < _MANY)

    # -- commands

    def _send_client(self, command: SendClient) -> None:
        try:
            self._parser.feed_data(command.data)
        except httptools.HttpParserError:  # the member's head says what cannot be said in HTTP/2
            self._feed(ClientGone())
            self._abort(Abort())

    def _tunnel(self, _: Tunnel) -> None:
        raise AssertionError("a request over HTTP/2 never asks for an upgrade, so that none can be agreed to")

    def _finish(self, _: Finish) -> None:
        self._exchange = None
        self._complete = True
        self._close_timer()

    def _abort(self, _: Abort) -> None:
        self._exchange = None
        self._close_timer()
        self._out.clear()
        self._acknowledge(stream=False)
        if self.id in self._client.streams:
            with suppress(ProtocolError):
                self._client.wire.reset_stream(self.id, ErrorCodes.INTERNAL_ERROR)
            self._client.over(self)
            self._client.send()

    # -- httptools callbacks: the answer in HTTP/1.1

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head; an interim one is left out."""
        status, headers = self._parser.get_status_code(), self._headers
        self._headers = []
        if status < 200:
            return
        kept = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_CONNECTIONS]
        self._head = [(b":status", b"%d" % status), *kept]

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._head_only:
            self._out += data


Http2Stream.do = commands(Http2Stream)


def _head(fields: list[tuple[bytes, bytes]], ends: bool) -> tuple[RequestHead | None, str]:
    """The request in the words of HTTP/1.1, or what is wrong with it: what is passed on must not say more there."""
    pseudo = {bytes(name): bytes(value) for name, value in fields if name[:1] == b":"}
    headers: Headers = []
    cookies = []
    for raw_name, raw_value in fields:
        name, value = bytes(raw_name), bytes(raw_value).strip(b" \t")
        if name[:1] == b":":
            continue
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            return None, "a header field is malformed"
        if name == b"cookie":
            cookies.append(value)
        elif name != b"host" and name not in _OF_CONNECTIONS:
            headers.append((name, value))
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    hosts = [bytes(value) for name, value in fields if name == b"host"]
    host = pseudo.get(b":authority") or (hosts[0] if hosts else b"")
    if not _TOKEN.fullmatch(method) or method == b"CONNECT" or not _TARGET.fullmatch(target):
        return None, "the request has no method or path that is served here"
    if not host or not is_host(host):
        return None, "the request names no host"
    headers.insert(0, (b"Host", host))
    if cookies:  # one field a cookie is allowed here, and one for all elsewhere (RFC 9113 section 8.2.3)
        headers.append((b"Cookie", b"; ".join(cookies)))
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(set(lengths)) > 1 or not all(value.isdigit() for value in lengths):
        return None, "the request has more than one length"
    head = RequestHead("", 0, method, target, headers)
    head.length = int(lengths[0]) if lengths else 0
    head.chunked = not lengths and not ends
    return head, ""
