"""What of a message's head passes, and what the balancer adds (RFC 9110 section 7.6, RFC 9112 section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limpet.reference_lb.parts.cookies import http_date, render, without
from limpet.reference_lb.parts.records import Framing, Headers, Member, RequestHead, ResponseHead, SetCookie

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Hop-by-hop headers of this message: the standard ones and those that Connection names."""
    named = _HOP_BY_HOP
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            named |= {option.strip(b" \t").lower() for option in value.split(b",")} - {b"", b"host", b"content-length"}
    return named


def _lines(start: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [start]
    lines += [name + b": " + value for name, value in headers]
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


class ForwardingHeaders:
    """Passes end-to-end headers as they are; replaces framing, extends X-Forwarded-For, sets Date and cookies.

    Args:
        hidden: names of cookies that the backends never see.
    """

    def __init__(self, hidden: Sequence[str] = ()) -> None:
        self._hidden = frozenset(name.encode() for name in hidden)

    def cookie_header(self, value: bytes) -> bytes | None:
        """What is forwarded of a Cookie header; None drops it."""
        return without(value, self._hidden) if self._hidden else value

    def request_head(self, request: RequestHead, member: Member) -> bytes:
        """HTTP/1.1 towards the backend, kept alive."""
        dropped = _named_by_connection(request.headers)
        headers: Headers = []
        path, host = [], False  # `path`: the addresses the request came by
        for name, value in request.headers:
            lowered = name.lower()
            if lowered in dropped:
                continue
            if lowered == b"cookie":
                kept = self.cookie_header(value)
                if kept is not None:
                    headers.append((name, kept))
                continue
            if lowered == b"x-forwarded-for":
                path.append(value)
                continue
            host = host or lowered == b"host"
            headers.append((name, value))
        if not host:
            headers.insert(0, (b"Host", f"{member.host}:{member.port}".encode()))
        headers.append((b"X-Forwarded-For", b", ".join((*path, (request.peer or request.source).encode()))))
        if request.upgrade:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        if request.chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        return _lines(request.method + b" " + request.target + b" HTTP/1.1", headers)

    def response_head(
        self, request: RequestHead, response: ResponseHead, cookies: Sequence[SetCookie], now: float, close: bool
    ) -> bytes:
        """HTTP/1.1 towards the client; Date is the affinity clock's."""
        dropped = _named_by_connection(response.headers) | {b"date"}
        if response.framing in (Framing.CHUNKED, Framing.CLOSE):
            dropped |= {b"content-length"}
        headers = [(name, value) for name, value in response.headers if name.lower() not in dropped]
        if response.status >= 200:
            headers.append((b"Date", http_date(now).encode()))
        headers += [(b"Set-Cookie", render(cookie)) for cookie in cookies]
        if response.framing is Framing.CHUNKED:
            headers.append((b"Transfer-Encoding", b"chunked"))
        if response.status == 101:
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        elif close:
            headers.append((b"Connection", b"close"))
        elif request.minor == 0 and response.status >= 200:
            headers.append((b"Connection", b"keep-alive"))
        return _lines(b"HTTP/1.1 %d %s" % (response.status, response.reason), headers)
