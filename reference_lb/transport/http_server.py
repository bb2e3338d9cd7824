"""The backend's side of an HTTP exchange: parses responses into events."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, cast

import httptools

from limpet.reference_lb.core.messages import Answer, ServerData, ServerEnd, ServerGone
from limpet.reference_lb.parts.records import Framing, Headers, Member, ResponseHead
from limpet.reference_lb.transport.upstream import Owner, Upstreams

_REUSABLE = ServerEnd(reusable=True)
_NONE, _LENGTH, _CHUNKED, _CLOSE = Framing  # an attribute of an enumeration costs a look-up by its metaclass

_KNOWN_LIMIT = 8192  # bytes of a head that a connection remembers


class _Known(NamedTuple):
    """A response's head as it came, the size of the whole response, and what the parser made of the head."""

    head: bytes
    size: int
    status: int
    reason: bytes
    headers: Headers


class BackendConnection(asyncio.Protocol):
    """One connection to a member, for one exchange at a time."""

    def __init__(self, member: Member, upstreams: Upstreams) -> None:
        self.member = member
        self.idle_since = 0.0
        self._upstreams = upstreams
        self._owner: Owner | None = None
        self._transport: asyncio.Transport
        self._parser: Any = None
        self._between = False  # the parser has read nothing, or a response to its end and nothing behind it
        self._known: _Known | None = None
        self._length = b""
        self._paused = False
        self._head_only = False
        self._reason = b""
        self._headers: Headers = []
        self._framing = _NONE
        self._status = 0
        self._tunnel = False

    # -- what the exchange's driver does with it

    def serve(self, owner: Owner, head_only: bool) -> None:
        """Work for `owner`; `head_only`: the request is a HEAD, its response has no body."""
        self._owner = owner
        self._head_only = head_only
        if not self._between:
            self._parser = httptools.HttpResponseParser(self)
            self._between = True

    def send(self, data: bytes) -> None:
        """Send bytes of the request."""
        self._transport.write(data)

    def release(self) -> None:
        """The exchange is complete: wait for another one."""
        self._owner = None
        if self._paused:
            self.reading(True)
        self._upstreams.keep(self.member, self)

    def tunnel(self) -> None:
        """From now on bytes pass as they are."""
        self._tunnel = True

    def end(self) -> None:
        """Send no more."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Work for nobody any more."""
        self._owner = None
        if self._tunnel:
            self._transport.close()  # what was written is still sent
        else:
            self._transport.abort()

    def cut(self) -> None:
        """The member may serve no longer: as if it had gone away."""
        owner = self._owner
        self._fail(drained=True)
        if owner is not None:
            owner.flush()

    def reading(self, wanted: bool) -> None:
        """Whether the client takes bytes at the moment."""
        if self._transport.is_closing():
            return
        self._paused = not wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._upstreams.opened(self.member, self)

    def data_received(self, data: bytes) -> None:
        """Parse, and let the owner send what came of it at once."""
        owner = self._owner
        if owner is None:  # nobody asked: whatever it is, this connection is of no more use
            self._upstreams.lost(self.member, self)
            self._transport.abort()
            return
        if self._tunnel:
            owner.from_server(ServerData(data))
        elif not self._again(owner, data):
            self._parse(owner, data)
        owner.flush()

    def _again(self, owner: Owner, data: bytes) -> bool:
        """Whether it is a whole response with the same head, byte for byte, as one that the parser has read."""
        known = self._known
        if known is None or len(data) != known.size or not data.startswith(known.head):
            return False
        if self._head_only or not self._between:
            return False
        owner.from_server(Answer(ResponseHead(known.status, known.reason, known.headers.copy(), _LENGTH)))
        body = data[len(known.head) :]
        if body and self._owner is owner:
            owner.from_server(ServerData(body))
        if self._owner is owner:
            owner.from_server(_REUSABLE)
        return True

    def _learn(self, data: bytes) -> None:
        """Remember the head of a response with a length, where what was fed is all of it and no more.

        Only the end of its own head is as far from the end of the data as its length says.
        """
        end = data.find(b"\r\n\r\n") + 4
        if self._framing is _LENGTH and end <= _KNOWN_LIMIT and self._length == b"%d" % (len(data) - end):
            self._known = _Known(data[:end], len(data), self._status, self._reason, self._headers)

    def _parse(self, owner: Owner, data: bytes) -> None:
        whole, self._between = self._between, False
        try:
            self._parser.feed_data(data)
            if whole and self._between:
                self._learn(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._owner is not owner:
                return
            if not self._tunnel:
                self._fail()
            elif upgrade.args[0] < len(data):
                owner.from_server(ServerData(data[upgrade.args[0] :]))
        except httptools.HttpParserError:
            self._between = False
            if self._owner is owner:
                self._fail()

    def eof_received(self) -> bool:
        """The backend sends no more: nothing can be asked of it either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of a response that runs until close; of any other one, a failure."""
        owner = self._owner
        self._upstreams.closed(self.member, self)
        if owner is None:
            self._upstreams.lost(self.member, self)
            return
        if self._framing is _CLOSE and self._status >= 200 and exc is None:
            self._owner = None
            owner.from_server(ServerEnd(reusable=False))
        else:
            self._fail()
        owner.flush()

    def pause_writing(self) -> None:
        """The backend is slow."""
        if self._owner is not None:
            self._owner.server_writable(False)

    def resume_writing(self) -> None:
        """It takes bytes again."""
        if self._owner is not None:
            self._owner.server_writable(True)

    def _fail(self, *, drained: bool = False) -> None:
        owner, self._owner = self._owner, None
        self._transport.abort()
        if owner is not None:
            owner.from_server(ServerGone(drained))

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        """A response begins."""
        self._between = False
        self._reason, self._headers, self._status = b"", [], 0
        self._framing = _NONE

    def on_status(self, reason: bytes) -> None:
        """The reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; trailers come here too, after the head, and are dropped."""
        if self._status == 0:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._owner is None:
            return
        status = self._status = self._parser.get_status_code()
        self._framing = self._body_framing(status)
        head = ResponseHead(status, self._reason, self._headers.copy(), self._framing)  # parts may change the lines
        self._owner.from_server(Answer(head))
        if self._head_only and status >= 200 and self._owner is not None:
            self._owner.from_server(ServerEnd(reusable=self._parser.should_keep_alive() and self._framed()))

    def on_body(self, data: bytes) -> None:
        """Bytes of the body."""
        if self._owner is not None and not self._head_only:
            self._owner.from_server(ServerData(data))

    def on_message_complete(self) -> None:
        """The response is complete; an interim one completes nothing."""
        if self._owner is not None and self._status >= 200:
            self._between = self._parser.should_keep_alive()
            self._owner.from_server(_REUSABLE if self._between else ServerEnd())

    def _body_framing(self, status: int) -> Framing:
        if self._head_only or status < 200 or status in (204, 304):
            return _NONE
        framing = _CLOSE
        for name, value in self._headers:
            size = len(name)
            if size == 17 and name.lower() == b"transfer-encoding":
                return _CHUNKED if value.lower().endswith(b"chunked") else _CLOSE
            if size == 14 and name.lower() == b"content-length":
                framing, self._length = _LENGTH, value
        return framing

    def _framed(self) -> bool:
        """Whether the response to HEAD says how long its body would be; otherwise the backend will close."""
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)
