"""What of a message's head passes, and what the balancer adds (RFC 9110 section 7.6, RFC 9112 section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from limpet.reference_lb.parts.cookies import date_line, render, without
from limpet.reference_lb.parts.records import Framing, Member, RequestHead, ResponseHead, SetCookie

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_DATE, _LENGTH = frozenset((b"date",)), frozenset((b"content-length",))
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE
_REMEMBERED, _REMEMBERED_LINES, _REMEMBERED_LONGEST = 1024, 64, 4096  # messages, lines of each, bytes of these

_Lines = tuple[tuple[bytes, bytes], ...]
_Value = TypeVar("_Value")


class _Remembered(dict[_Lines, _Value]):
    """What follows from header lines alone: clients and backends repeat theirs."""

    def __init__(self, make: Callable[[_Lines], _Value]) -> None:
        self._make = make

    def __missing__(self, lines: _Lines) -> _Value:
        value = self._make(lines)
        short = len(lines) <= _REMEMBERED_LINES
        if short and sum(len(name) + len(value) for name, value in lines) <= _REMEMBERED_LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[lines] = value
        return value


class _Passed(NamedTuple):
    """Of a request's lines: those that are sent on, the addresses it came by, and whether one of them is Host."""

    lines: bytes
    path: bytes
    host: bool


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Hop-by-hop headers of this message: the standard ones and those that Connection names."""
    named = _HOP_BY_HOP
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            named |= {option.strip(b" \t").lower() for option in value.split(b",")} - {b"", b"host", b"content-length"}
    return named


def _answered(headers: _Lines, more: frozenset[bytes] = frozenset()) -> bytes:
    """Of a response's lines those that are sent on; `more`: names that are dropped too."""
    dropped = _named_by_connection(headers) | _DATE | more
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers if name.lower() not in dropped)


def _reframed(headers: _Lines) -> bytes:
    """The same, where the body is sent in another framing than the backend's."""
    return _answered(headers, _LENGTH)


class ForwardingHeaders:
    """Passes end-to-end headers as they are; replaces framing, extends X-Forwarded-For, sets Date and cookies.

    Args:
        hidden: names of cookies that the backends never see.
    """

    def __init__(self, hidden: Sequence[str] = ()) -> None:
        self._hidden = frozenset(name.encode() for name in hidden)
        self._of_requests = _Remembered(self._passed)
        self._of_responses = _Remembered(_answered)
        self._of_reframed = _Remembered(_reframed)

    def cookie_header(self, value: bytes) -> bytes | None:
        """What is forwarded of a Cookie header; None drops it. It follows from the header alone."""
        return without(value, self._hidden) if self._hidden else value

    def _passed(self, headers: _Lines) -> _Passed:
        dropped = _named_by_connection(headers)
        lines: list[bytes] = []
        path, host = b"", False
        for name, value in headers:
            lowered = name.lower()
            if lowered in dropped:
                continue
            kept: bytes | None = value
            if lowered == b"x-forwarded-for":
                path += value + b", "
                continue
            if lowered == b"cookie":
                kept = self.cookie_header(value)
            host = host or lowered == b"host"
            if kept is not None:
                lines += (name, b": ", kept, b"\r\n")
        return _Passed(b"".join(lines), path, host)

    def request_head(self, request: RequestHead, member: Member) -> bytes:
        """HTTP/1.1 towards the backend, kept alive."""
        lines, path, host = self._of_requests[tuple(request.headers)]
        head = request.method + b" " + request.target + b" HTTP/1.1\r\n"
        if not host:
            head += b"Host: %b:%d\r\n" % (member.host.encode(), member.port)
        head += lines + b"X-Forwarded-For: " + path + (request.peer or request.source).encode()
        if request.upgrade:
            head += b"\r\nConnection: Upgrade\r\nUpgrade: websocket"
        if request.chunked:
            head += b"\r\nTransfer-Encoding: chunked"
        return head + b"\r\n\r\n"

    def response_head(
        self, request: RequestHead, response: ResponseHead, cookies: Sequence[SetCookie], now: float, close: bool
    ) -> bytes:
        """HTTP/1.1 towards the client; Date is the affinity clock's."""
        status, framing = response.status, response.framing
        reframed = framing is _CHUNKED or framing is _CLOSE
        known = self._of_reframed if reframed else self._of_responses
        head = b"HTTP/1.1 %d %b\r\n" % (status, response.reason) + known[tuple(response.headers)]
        if status >= 200:
            head += date_line(now) + b"\r\n"
        for cookie in cookies:
            head += b"Set-Cookie: " + render(cookie) + b"\r\n"
        if framing is _CHUNKED:
            head += b"Transfer-Encoding: chunked\r\n"
        if status == 101:
            head += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        elif close:
            head += b"Connection: close\r\n"
        elif request.minor == 0 and status >= 200:
            head += b"Connection: keep-alive\r\n"
        return head + b"\r\n"
