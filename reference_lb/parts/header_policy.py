"""What of a message's head passes, and what the balancer adds (RFC 9110 section 7.6, RFC 9112 section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.reference_lb.parts.cookies import date_line, render, without
from limpet.reference_lb.parts.records import Framing, Headers, Member, RequestHead, ResponseHead, SetCookie

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_HOP_BY_HOP_AND_DATE = _HOP_BY_HOP | {b"date"}
_OF_THE_WAY = frozenset((b"host", b"cookie", b"x-forwarded-for"))
_OF_THE_WAY_AND_DROPPED = _OF_THE_WAY | _HOP_BY_HOP
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Hop-by-hop headers of this message: the standard ones and those that Connection names."""
    named = _HOP_BY_HOP
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            named |= {option.strip(b" \t").lower() for option in value.split(b",")} - {b"", b"host", b"content-length"}
    return named


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
        special = _OF_THE_WAY_AND_DROPPED if dropped is _HOP_BY_HOP else _OF_THE_WAY | dropped
        lines = [request.method + b" " + request.target + b" HTTP/1.1"]
        path, host = b"", False  # `path`: the addresses the request came by
        for name, value in request.headers:
            lowered = name.lower()
            if lowered not in special:
                lines.append(name + b": " + value)
            elif lowered in dropped:
                continue
            elif lowered == b"cookie":
                kept = self.cookie_header(value)
                if kept is not None:
                    lines.append(name + b": " + kept)
            elif lowered == b"x-forwarded-for":
                path += value + b", "
            else:
                host = True
                lines.append(name + b": " + value)
        if not host:
            lines.insert(1, b"Host: %b:%d" % (member.host.encode(), member.port))
        lines.append(b"X-Forwarded-For: " + path + (request.peer or request.source).encode())
        if request.upgrade:
            lines += (b"Connection: Upgrade", b"Upgrade: websocket")
        if request.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def response_head(
        self, request: RequestHead, response: ResponseHead, cookies: Sequence[SetCookie], now: float, close: bool
    ) -> bytes:
        """HTTP/1.1 towards the client; Date is the affinity clock's."""
        status, framing = response.status, response.framing
        dropped = _named_by_connection(response.headers)
        dropped = _HOP_BY_HOP_AND_DATE if dropped is _HOP_BY_HOP else dropped | _HOP_BY_HOP_AND_DATE
        if framing is _CHUNKED or framing is _CLOSE:
            dropped |= {b"content-length"}
        lines = [b"HTTP/1.1 %d %b" % (status, response.reason)]
        lines += [name + b": " + value for name, value in response.headers if name.lower() not in dropped]
        if status >= 200:
            lines.append(date_line(now))
        if cookies:
            lines += [b"Set-Cookie: " + render(cookie) for cookie in cookies]
        if framing is _CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        if status == 101:
            lines += (b"Connection: Upgrade", b"Upgrade: websocket")
        elif close:
            lines.append(b"Connection: close")
        elif request.minor == 0 and status >= 200:
            lines.append(b"Connection: keep-alive")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)
