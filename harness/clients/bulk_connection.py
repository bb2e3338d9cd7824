"""One connection of the bulk client: an asyncio protocol around httptools' response parser."""

from __future__ import annotations

import asyncio
import re
import time
from typing import cast

import httptools

from limpet.harness.clients.base import Failure, by_headers
from limpet.harness.clients.bulk_plan import Visit
from limpet.harness.clients.sockets import blame
from limpet.harness.clients.way import Seen
from limpet.harness.model.history import Header

_CODING = re.compile(rb"(\r\ntransfer-encoding:[^\r\n]*?)[ \t]+(?=\r\n)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """Carries a visit's requests, one at a time, until the visit or the connection ends.

    ``closed`` is done when the connection is. ``begun`` is when it was begun to be opened.
    """

    def __init__(self, visit: Visit, identity: str, seen: Seen, timeout: float, begun: float) -> None:
        self.visit = visit
        self.id = identity
        self.seen = seen
        self.timeout = timeout
        self.begun = begun
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._requests = 0
        self._wants_body = visit.ledger.identify is not by_headers
        self._deadline = 0.0
        self._overdue = False
        self._waiting = False  # for a response
        self._started = self._head_done = self._complete = False
        self._framed = False
        self._surplus = self._keep_alive = False
        self._headers: list[Header] = []
        self._body: list[bytes] = []

    # what the run asks

    def next_request(self) -> None:
        """Send the visit's next request."""
        assert self._transport is not None
        self._started = self._head_done = self._complete = self._framed = self._overdue = False
        self._headers = []
        self._body = []
        self._waiting = True
        self._requests += 1
        now = time.monotonic()
        self._deadline = now + self.timeout
        self._transport.write(self.visit.begin(self.begun if self._requests == 1 else now, self.id, self.seen))

    def check(self, now: float) -> None:
        """End the exchange when it is overdue for the second time in a row."""
        if not self._waiting or now < self._deadline:
            return
        if self._overdue:
            self._fail("timeout", f"no complete response within {self.timeout:g} s")
        self._overdue = True

    def abort(self) -> None:
        """Close at once; safe to call again."""
        self._end()

    # what the transport reports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of a response."""
        if not self._waiting:
            self._end()  # nobody asked: what follows could not be told apart
            return
        try:
            self._parser.feed_data(data if self._head_done else _trimmed(data))
        except httptools.HttpParserUpgrade:
            self._complete = self._surplus = True
        except httptools.HttpParserError as err:
            if not self._complete:
                self._fail("malformed", f"{type(err).__name__}: {err}")
                return
            self._surplus = True
        if self._complete:
            self._finish(self._keep_alive and not self._surplus)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed, or this side has."""
        if self._waiting:
            if exc is None and self._head_done and not self._framed:
                self._finish(False)  # a body that ends with the connection
            else:
                where = "in the middle of" if self._started else "before any byte of"
                self._fail(*(blame(exc) if exc is not None else ("closed", f"connection closed {where} a response")))
        self._waiting = False
        if not self.closed.done():
            self.closed.set_result(None)

    # what the parser reports

    def on_message_begin(self) -> None:
        """The first byte of a response."""
        self._surplus = self._complete
        self._started = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        if not self._complete:
            self._headers.append((name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        """The end of a head."""
        if not self._complete:
            self._head_done = True
            names = {name.lower() for name, _ in self._headers}
            self._framed = bool(names & {"content-length", "transfer-encoding"})

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._wants_body and not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The end of a response; an interim one is passed over."""
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._headers = []
            self._head_done = False
        else:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()  # llhttp forgets it right after

    def _finish(self, reusable: bool) -> None:
        self._waiting = False
        visit = self.visit
        visit.finish(self._parser.get_status_code(), self._headers, b"".join(self._body), time.monotonic())
        if reusable and visit.left and visit.plan.keep:
            self.next_request()
        else:
            self._end()

    def _fail(self, error: Failure, detail: str) -> None:
        self._waiting = False
        if self._requests > 1:
            detail = f"{detail}; request {self._requests} of a kept connection"
        status = self._parser.get_status_code() if self._head_done else 0
        self.visit.fail(error, detail, status, self._headers if status else (), b"".join(self._body))
        if self._transport is not None:
            self._transport.abort()  # whatever was not yet written shall not hold it open

    def _end(self) -> None:
        self._waiting = False
        if self._transport is None:
            return
        if self._transport.get_extra_info("ssl_object") is not None:
            self._transport.abort()  # an orderly end of TLS would wait for the peer
        else:
            self._transport.close()


def _trimmed(data: bytes) -> bytes:
    """The same without white space behind the transfer coding, which belongs to no value (RFC 9110 section 5.6.3).

    The parser takes ``chunked`` and a tab for a coding that it does not know, and waits for the connection's end. A
    head that comes in pieces is left as it is.
    """
    end = data.find(b"\r\n\r\n") + 2  # what is searched ends with a line
    if _CODING.search(data, 0, end) is None:
        return data
    return _CODING.sub(rb"\1", data[:end]) + data[end:]
