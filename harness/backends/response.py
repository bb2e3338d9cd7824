"""Writing an HTTP/1.1 response with the framing that its request can understand."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_PIECES = 4


def render(
    status: int,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    method: str = "GET",
    version: str = "1.1",
    chunked: bool = False,
    keep_alive: bool = True,
) -> bytes:
    """The bytes of a response.

    Args:
        status: 200 to 599.
        headers: without those that frame the message, which are added here.
        body: sent unless `method` is HEAD or the status has none.
        method: of the request.
        version: of the request; an HTTP/1.0 client cannot read chunks, and must be told when the connection stays.
        chunked: send the body in chunks of the transfer coding.
        keep_alive: whether the connection stays open afterwards.
    """
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Limpet')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    bodyless = status in (204, 304)
    chunked = chunked and version == "1.1"
    if chunked and not bodyless:
        lines.append("Transfer-Encoding: chunked")
    elif not bodyless:
        lines.append(f"Content-Length: {len(body)}")
    if not keep_alive:
        lines.append("Connection: close")
    elif version != "1.1":
        lines.append("Connection: keep-alive")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    if method == "HEAD" or bodyless:
        return head
    return head + (_chunks(body) if chunked else body)


def _chunks(body: bytes) -> bytes:
    size = max(1, -(-len(body) // _PIECES))
    out = bytearray()
    for begin in range(0, len(body), size):
        piece = body[begin : begin + size]
        out += b"%x\r\n%b\r\n" % (len(piece), piece)
    return bytes(out + b"0\r\n\r\n")
