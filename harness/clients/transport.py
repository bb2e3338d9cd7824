"""A transport adapter for ``requests`` that hides nothing: one connection, exact header lines, no retry, no pool.

``requests`` lets an adapter be replaced; this one drives a single connection itself, so that a client knows which
TCP connection carried a request, what was sent on it, and what the target did to it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.util.wait import wait_for_read

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sockets import Stream, connection_id, local_name, open_stream
from limpet.harness.clients.way import STRAIGHT, Seen, Way
from limpet.harness.clients.wire import Malformed, ResponseParser
from limpet.harness.model.history import Header

OnSent = Callable[["Wire", float], None]

TARGET_ERRORS = (OSError, EOFError, Malformed)
"""What a target can make of an exchange; anything else is limpet's own."""


class Wire:
    """One connection at a time to one endpoint; reconnects only when nothing of a request has been sent."""

    def __init__(self, endpoint: Endpoint, source: str | None, way: Way = STRAIGHT) -> None:
        self.endpoint = endpoint
        self.from_address = source
        self.way = way
        self.deadline = 0.0
        self.on_sent: OnSent | None = None
        self.id = ""
        self.requests = 0
        self.seen: Seen = way.foresee(source)
        self.method = self.target = ""
        self.lines: list[Header] = []
        self.sock: Stream | None = None

    @property
    def is_connected(self) -> bool:
        """A connection stands, and its server has neither closed it nor sent what nobody asked for."""
        return self.sock is not None and not wait_for_read(self.sock, timeout=0.0)

    def connect(self) -> Stream:
        """Open a new connection with an id of its own."""
        self.id, self.requests = connection_id(), 0
        self.seen = self.way.foresee(self.from_address)
        self.sock = open_stream(self.endpoint, source=self.from_address, deadline=self.deadline, way=self.way)
        self.seen = self.way.seen(local_name(self.sock), "tcp")
        return self.sock

    def send(self, method: str, target: str, lines: list[Header], body: bytes | Iterable[bytes] | None) -> None:
        """Send a request; it connects first, so that what is recorded before the first byte has the real port.

        Args:
            method: HTTP method.
            target: request target.
            lines: every header line, those included that frame the body.
            body: its bytes, or pieces that go out as chunks.

        Raises:
            SetupFault: this machine cannot send.
            OSError: what the target did.
        """
        if self.sock is not None and not self.is_connected:
            self.close()  # the server closed the kept connection while it was idle; nothing has been sent on it yet
        self.method, self.target, self.lines = method, target, lines
        begun = time.monotonic()
        assert self.on_sent is not None
        sock = self.sock
        if sock is None:
            try:
                sock = self.connect()
            except OSError:
                self.on_sent(self, begun)
                raise
        sock.deadline = self.deadline
        self.requests += 1
        self.on_sent(self, begun)
        head = "".join([f"{method} {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in lines), "\r\n"])
        try:
            if body is None or isinstance(body, bytes):
                sock.sendall(head.encode("latin-1") + (body or b""))
                return
            sock.sendall(head.encode("latin-1"))
            for piece in body:
                if piece:  # an empty chunk would be the end
                    sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # The server may have answered before it closed (a 413, say): its response is still to be read.

    def read(self, parser: ResponseParser) -> None:
        """Take in what has come of a response, at least one byte.

        Raises:
            OSError, EOFError, Malformed: what the target did.
        """
        assert self.sock is not None
        data = self.sock.recv(65536)
        if data:
            parser.feed(data)
        else:
            parser.eof()

    def close(self) -> None:
        """Close the connection (FIN)."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()


class _Head(requests.Response):
    """The head of a response, without what ``requests`` adds: a cookie jar, above all, that nobody uses."""

    def __init__(self, parser: ResponseParser, request: requests.PreparedRequest) -> None:
        self.status_code = parser.status
        self.raw = cast("Any", parser)
        self.reason = parser.reason
        self.url = request.url or ""
        self.request = request
        self.history = []
        self.encoding = None

    @functools.cached_property
    def headers(self) -> CaseInsensitiveDict[str]:  # type: ignore[override]
        """Its header lines, those of one name as the last of them."""
        return CaseInsensitiveDict(self.raw.headers)


class WireAdapter(BaseAdapter):
    """Carries the requests of one session over one ``Wire``."""

    def __init__(self, endpoint: Endpoint, source: str | None, way: Way = STRAIGHT) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.wire = Wire(endpoint, source, way)
        self.parser = ResponseParser()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: object = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and read the head of its response; the body is left to ``read_body``.

        Raises:
            SetupFault: this machine cannot send.
            OSError, EOFError, Malformed: what the target did, as it was met.
        """
        method = request.method or "GET"
        self.parser = parser = ResponseParser(method)
        target = (request.url or "").removeprefix(self.endpoint.base_url)
        lines = [*request.headers.items()]
        self.wire.send(method, target, lines, cast("bytes | Iterable[bytes] | None", request.body))
        while parser.state == "head":
            self.wire.read(parser)
        return _Head(parser, request)

    def read_body(self, limit: int) -> None:
        """Read the rest of the response into ``parser``.

        Raises:
            OSError, EOFError, Malformed: what the target did; also a body of more than ``limit`` bytes.
        """
        parser = self.parser
        while not parser.done:
            self.wire.read(parser)
            if parser.body_bytes > limit:
                break
        if parser.body_bytes > limit:
            raise Malformed(f"a body of more than {limit} bytes")
        if not parser.keep_alive or parser.rest:  # what comes behind the response belongs to nobody
            self.wire.close()

    def close(self) -> None:
        """Close the connection (FIN)."""
        self.wire.close()
