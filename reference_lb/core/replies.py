"""Answers in the balancer's own name."""

from __future__ import annotations

from http import HTTPStatus

from limpet.reference_lb.parts.cookies import http_date
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.records import Refusal, RequestHead


def own_reply(parts: Parts, request: RequestHead | None, refusal: Refusal, close: bool) -> bytes:
    """A complete response with a short text body; without a body for HEAD."""
    body = f"limpet lb: {refusal.text}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        f"Date: {http_date(parts.clock.now())}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
    )
    if close:
        head += "Connection: close\r\n"
    elif request is not None and request.minor == 0:
        head += "Connection: keep-alive\r\n"
    head += "\r\n"
    return head.encode() + (b"" if request is not None and request.method == b"HEAD" else body)
