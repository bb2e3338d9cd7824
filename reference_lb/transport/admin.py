"""The admin API's connections: HTTP/1.1, one call each, a bearer token."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

from limpet.reference_lb.transport.listening import listening_socket

_LONGEST_BODY = 4 * 1024 * 1024
_PATIENCE = 10.0  # seconds for a call to arrive

Call = Callable[[str, str, bytes], Awaitable[tuple[int, object]]]


class _Request(NamedTuple):
    method: str
    path: str
    token: str
    body: bytes


class AdminListener:
    """Listens for calls.

    Args:
        call: does a call and gives its status and its body, which is sent as JSON.
    """

    def __init__(self, call: Call, token: str) -> None:
        self._call = call
        self._token = token
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Take the port.

        Raises:
            OSError: it cannot be had.
        """
        self._server = await asyncio.start_server(self._serve, sock=listening_socket(host, port))
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await _read(reader, writer)
            if request is None:
                answer: tuple[int, object] = (400, {"error": "the request is malformed"})
            elif not hmac.compare_digest(request.token.encode(), self._token.encode()):
                answer = (401, {"error": "the header Authorization: Bearer TOKEN is missing or wrong"})
            else:
                answer = await self._call(request.method, request.path, request.body)
            writer.write(_response(*answer))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the caller is gone, or too slow
        finally:
            self._open.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request | None:
    """The request; None when it is malformed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError:
        return None
    start = head[0].split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = headers.get("content-length", "0")
    if len(start) != 3 or not length.isdigit() or int(length) > _LONGEST_BODY or "transfer-encoding" in headers:
        return None
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await reader.readexactly(int(length))
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return _Request(start[0], start[1].partition("?")[0], token.strip() if scheme.lower() == "bearer" else "", body)


def _response(status: int, body: object) -> bytes:
    data = json.dumps(body, indent=1).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
