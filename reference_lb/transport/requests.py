"""Parses a client's bytes into events."""

from __future__ import annotations

import re
from typing import Any

import httptools

from limpet.reference_lb.core.messages import ClientBroken, ClientData, ClientEnd, Started
from limpet.reference_lb.parts.records import Headers, RequestHead

HEAD_LIMIT = 65_536
_HEAD_TOO_LARGE = "the request's header fields are too large"
_FRAMING_TOO_LARGE = "the request's chunk extensions or trailer fields are too large"
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*\Z")  # RFC 3986 section 3.2, without user information

_PLAIN_LINE = re.compile(rb"(GET|HEAD) (/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*) HTTP/1\.1\Z")
_KNOWN_LIMIT = 8192  # bytes of header lines that a connection remembers

Incoming = Started | ClientData | ClientEnd | ClientBroken


class _TooLarge(Exception):
    pass


def is_host(value: bytes) -> bool:
    """Whether it can be the value of a Host header."""
    return _HOST.match(value) is not None


class RequestReader:
    """Feed it bytes, get events. After the first `ClientBroken` it swallows everything.

    Where a request asks for a WebSocket, nothing behind it is read before `go_on` or `tunnel` says what it is.

    Args:
        source: the client's address. connection: the connection's number. secure: it is over TLS.
    """

    def __init__(self, source: str, connection: int, *, secure: bool = False) -> None:
        self._source = source
        self._connection = connection
        self._secure = secure
        self.undecided = False  # whether what follows is HTTP
        self._tunnel = False
        self._behind = b""  # what came meanwhile
        self._parser: Any = httptools.HttpRequestParser(self)
        self._events: list[Incoming] = []
        self._broken = False
        self._closing = False  # a request said that it is the last one
        self._in_message = False
        self._in_head = True
        self._head_size = 0
        self._unfinished = 0  # bytes fed of a head that is not complete, at least
        self._begun = False  # a request began in what is being fed
        self._moved = False  # a head was completed in what is being fed, or bytes of a body came
        self._framing = 0  # bytes fed since, of chunk extensions and trailers, which the parser may keep
        self._url = b""
        self._headers: Headers = []
        self._known = b""  # header lines of a request without a body, as they came, and what the parser made of them
        self._known_headers: Headers = []

    @property
    def unfinished(self) -> bool:
        """Whether the client may still be sending: a request is not complete, or could not be understood."""
        return self._in_message or self._broken

    @property
    def behind(self) -> int:
        """Bytes that wait for a decision about an upgrade."""
        return len(self._behind)

    def go_on(self) -> list[Incoming]:
        """The upgrade was declined: what follows are requests."""
        self.undecided = False
        behind, self._behind = self._behind, b""
        return self.feed(behind) if behind else []

    def tunnel(self) -> bytes:
        """The upgrade was agreed to: what follows is the other protocol's. What came of it so far."""
        self.undecided, self._tunnel = False, True
        behind, self._behind = self._behind, b""
        return behind

    def feed(self, data: bytes) -> list[Incoming]:
        """The events of these bytes, in order."""
        if self._tunnel:
            return [ClientData(data)]
        if self.undecided:
            self._behind += data
            return []
        whole = not (self._in_message or self._broken or self._closing) and data.endswith(b"\r\n\r\n")
        again = self._again(data) if whole and self._known else None
        if again is not None:
            return again
        events: list[Incoming] = []
        self._events = events
        fed = data
        self._begun = self._moved = False
        while data and not self._broken:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
                if self._waits():
                    self._behind, data = data, b""  # else not offered here: go on as if nobody had asked for it
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, _TooLarge):
                    self._break(431, _HEAD_TOO_LARGE)
                elif not self._closing:
                    self._break(400, "the request is malformed")
                self._broken = True
        if self._in_message and self._in_head and not self._broken:
            self._note_unfinished(fed)
        elif self._in_message and not self._broken:
            self._note_framing(fed)
        elif whole and len(events) == 1:
            self._learn(fed, events[0])
        return events

    def _learn(self, fed: bytes, first: Incoming) -> None:
        """Remember the header lines, where what was fed is one plain request, complete and without a body.

        Of GET only, which alone can ask for a WebSocket: lines that do not are harmless below any line.
        """
        cut = fed.find(b"\r\n")
        if (
            isinstance(first, Started)
            and first.ended
            and first.request.method == b"GET"
            and first.request.keep_alive
            and not self.undecided
            and len(fed) - cut <= _KNOWN_LIMIT
            and fed.find(b"\r\n\r\n") == len(fed) - 4
            and _PLAIN_LINE.match(fed[:cut])
        ):
            self._known, self._known_headers = fed[cut:], self._headers.copy()

    def _again(self, data: bytes) -> list[Incoming] | None:
        """The events of a plain request with the same header lines, byte for byte, as one that the parser has read.

        Browsers and clients of APIs repeat them on a kept connection. What they mean does not depend on the line above,
        whose end they begin with.
        """
        known = self._known
        if not data.endswith(known) or len(data) > HEAD_LIMIT:
            return None
        line = _PLAIN_LINE.match(data, 0, len(data) - len(known))
        if line is None:
            return None
        head = RequestHead(self._source, self._connection, line[1], line[2], self._known_headers.copy())
        if self._secure:
            head.secure = True
        return [Started(head, ended=True)]

    def _waits(self) -> bool:
        """Whether a request in what is being fed asked for an upgrade."""
        return self.undecided

    def end(self) -> list[Incoming]:
        """The client sends no more."""
        self._events = []
        if self._tunnel:
            return [ClientEnd()]
        if self._in_message and not self._broken:
            self._break(400, "the request is incomplete")
        return self._events

    def _note_unfinished(self, fed: bytes) -> None:
        """Count what came of a head that is not complete: the parser tells of a header line only when it has ended."""
        self._unfinished += len(fed) - (max(0, fed.rfind(b"\r\n\r\n")) if self._begun else 0)
        if self._unfinished > HEAD_LIMIT:
            self._break(431, _HEAD_TOO_LARGE)

    def _note_framing(self, fed: bytes) -> None:
        """Count what came in the middle of a body and was none of it."""
        self._framing = 0 if self._moved else self._framing + len(fed)
        if self._framing > HEAD_LIMIT:
            self._break(400, _FRAMING_TOO_LARGE)

    def _break(self, status: int, text: str) -> None:
        if not self._broken:  # what follows the first fault cannot be told from a consequence of it
            self._events.append(ClientBroken(status, text))
        self._broken = True

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
        if self._broken:
            return
        self._in_head = False
        self._moved = True
        head = self._head()
        self._closing = not head.keep_alive
        fault = self._fault(head)
        if fault is not None:
            self._break(*fault)
        else:
            head.pipelined = any(isinstance(each, Started) for each in self._events)
            head.upgrade = self.undecided = self._wants_web_socket(head)
            self._events.append(Started(head))

    def _head(self) -> RequestHead:
        parser = self._parser
        head = RequestHead(self._source, self._connection, parser.get_method(), self._url, self._headers)
        head.minor = 0 if parser.get_http_version() == "1.0" else 1
        head.keep_alive = parser.should_keep_alive()
        head.secure = self._secure
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
        hosts = head.values(b"host")
        if len(hosts) > 1 or (not hosts and head.minor == 1):
            return 400, "the request needs one Host header"
        if hosts and not is_host(hosts[0]):
            return 400, "the Host header is malformed"
        if head.chunked:
            if head.minor == 0:
                return 400, "HTTP/1.0 has no Transfer-Encoding"
            if [coding.strip().lower() for coding in head.values(b"transfer-encoding")] != [b"chunked"]:
                return 501, "of transfer codings only chunked is understood here"
        if head.method == b"CONNECT" or (self._parser.should_upgrade() and (head.chunked or head.length)):
            return 501, "tunnels are not offered here"
        return None

    def _wants_web_socket(self, head: RequestHead) -> bool:
        """The one protocol that is switched to (RFC 6455 section 4.1); to ask for another one is to be ignored."""
        if not self._parser.should_upgrade() or head.method != b"GET" or head.minor == 0:
            return False
        return [value.strip().lower() for value in head.values(b"upgrade")] == [b"websocket"]

    def on_body(self, data: bytes) -> None:
        """Bytes of the body."""
        self._moved = True
        if not self._broken:
            self._events.append(ClientData(data))

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_message = False
        self._in_head = True
        if self._broken:
            return
        last = self._events[-1] if self._events else None
        if isinstance(last, Started):
            last.ended = True
        else:
            self._events.append(ClientEnd())
