"""Parses a client's bytes into events."""

from __future__ import annotations

from typing import Any

import httptools

from limpet.reference_lb.core.messages import ClientBroken, ClientData, ClientEnd, Started
from limpet.reference_lb.parts.records import Headers, RequestHead

HEAD_LIMIT = 65_536
_HEAD_TOO_LARGE = "the request's header fields are too large"

Incoming = Started | ClientData | ClientEnd | ClientBroken


class _TooLarge(Exception):
    pass


class RequestReader:
    """Feed it bytes, get events. After the first `ClientBroken` it swallows everything.

    Args:
        source: the client's address. connection: the connection's number.
    """

    def __init__(self, source: str, connection: int) -> None:
        self._source = source
        self._connection = connection
        self._parser: Any = httptools.HttpRequestParser(self)
        self._events: list[Incoming] = []
        self._broken = False
        self._closing = False  # a request said that it is the last one
        self._in_message = False
        self._in_head = True
        self._head_size = 0
        self._unfinished = 0  # bytes fed of a head that is not complete, at least
        self._begun = False  # a request began in what is being fed
        self._url = b""
        self._headers: Headers = []

    @property
    def unfinished(self) -> bool:
        """Whether the client may still be sending: a request is not complete, or could not be understood."""
        return self._in_message or self._broken

    def feed(self, data: bytes) -> list[Incoming]:
        """The events of these bytes, in order."""
        events: list[Incoming] = []
        self._events = events
        fed = data
        self._begun = False
        while data and not self._broken:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:  # not offered here: go on as if nobody had asked for it
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, _TooLarge):
                    self._break(431, _HEAD_TOO_LARGE)
                elif not self._closing:
                    self._break(400, "the request is malformed")
                self._broken = True
        if self._in_message and self._in_head and not self._broken:
            self._note_unfinished(fed)
        return events

    def end(self) -> list[Incoming]:
        """The client sends no more."""
        self._events = []
        if self._in_message and not self._broken:
            self._break(400, "the request is incomplete")
        return self._events

    def _note_unfinished(self, fed: bytes) -> None:
        """Count what came of a head that is not complete: the parser tells of a header line only when it has ended."""
        self._unfinished += len(fed) - (max(0, fed.rfind(b"\r\n\r\n")) if self._begun else 0)
        if self._unfinished > HEAD_LIMIT:
            self._break(431, _HEAD_TOO_LARGE)

    def _break(self, status: int, text: str) -> None:
        self._broken = True
        self._events.append(ClientBroken(status, text))

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_message = self._in_head = self._begun = True
        self._url, self._headers, self._head_size, self._unfinished = b"", [], 0, 0

    def on_url(self, url: bytes) -> None:
        """The request target, perhaps in pieces."""
        self._url += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; trailers come here too, after the head, and are dropped."""
        if self._in_head:
            self._headers.append((name, value))
            self._grow(len(name) + len(value) + 4)

    def _grow(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            raise _TooLarge

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        head = self._head()
        self._closing = not head.keep_alive
        fault = self._fault(head)
        if fault is not None:
            self._break(*fault)
        else:
            self._events.append(Started(head))

    def _head(self) -> RequestHead:
        head = RequestHead(
            source=self._source,
            connection=self._connection,
            method=self._parser.get_method(),
            target=self._url,
            headers=self._headers,
            minor=0 if self._parser.get_http_version() == "1.0" else 1,
            keep_alive=self._parser.should_keep_alive(),
        )
        for name, value in self._headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                head.length = int(value)
            elif size == 17 and name.lower() == b"transfer-encoding":
                head.chunked = True
        return head

    def _fault(self, head: RequestHead) -> tuple[int, str] | None:
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            return 505, f"HTTP/{version} is not spoken here"
        hosts = len(head.values(b"host"))
        if hosts > 1 or (hosts == 0 and head.minor == 1):
            return 400, "the request needs one Host header"
        if head.method == b"CONNECT" or (self._parser.should_upgrade() and (head.chunked or head.length)):
            return 501, "tunnels are not offered here"
        return None

    def on_body(self, data: bytes) -> None:
        """Bytes of the body."""
        if not self._broken:
            self._events.append(ClientData(data))

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_message = False
        self._in_head = True
        if not self._broken:
            self._events.append(ClientEnd())
