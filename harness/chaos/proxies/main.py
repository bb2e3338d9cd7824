"""The entry of the embedded server's process: `main` is forked from the keeper, and serves until it is killed."""

from __future__ import annotations

import asyncio
import http
import sys
from collections.abc import Sequence
from typing import cast

import httptools

from limpet.harness.chaos.proxies.api import Api
from limpet.harness.chaos.proxies.proxy import address_of
from limpet.harness.chaos.proxies.toxics import Wrong

_LARGEST = 1024 * 1024
"""Bytes that a request's body may have."""


class Visitor(asyncio.Protocol):
    """One connection to the API."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._requests: asyncio.Queue[tuple[str, str, dict[str, str], bytes, bool] | None] = asyncio.Queue()
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer what comes, one after the other."""
        self._transport = cast("asyncio.Transport", transport)
        self._task = asyncio.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Read."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """No more answers are wanted."""
        self._requests.put_nowait(None)

    # httptools calls these.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._path, self._headers, self._body = b"", {}, b""

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its header lines."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body += body
        if len(self._body) > _LARGEST:
            self._close()

    def on_message_complete(self) -> None:
        """The whole of it is there."""
        method = self._parser.get_method().decode("latin-1")
        keep = bool(self._parser.should_keep_alive())
        path = self._path.decode("latin-1")
        self._requests.put_nowait((method, path, self._headers, self._body, keep))

    async def _serve(self) -> None:
        while (request := await self._requests.get()) is not None:
            *asked, keep = request
            method, path, headers, body = cast("tuple[str, str, dict[str, str], bytes]", tuple(asked))
            status, said = await self._api.answer(method, path, headers, body)
            lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", "Content-Type: application/json"]
            if status != 204:
                lines.append(f"Content-Length: {len(said)}")
            if not keep:
                lines.append("Connection: close")
            if self._transport is None or self._transport.is_closing():
                return
            self._transport.write("\r\n".join([*lines, "", ""]).encode() + said)
            if not keep:
                self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _serve(host: str, port: int) -> None:
    api = Api()
    server = await asyncio.get_running_loop().create_server(lambda: Visitor(api), host, port)
    async with server:
        await server.serve_forever()


def main(args: Sequence[str]) -> int:
    """Serve the API at ``host:port``, the only argument; returns only when that was impossible."""
    try:
        host, port = address_of(args[0])
        asyncio.run(_serve(host, port))
    except (OSError, Wrong) as err:
        sys.stderr.write(f"fault proxy at {args[0]}: {err}\n")
        return 3
    return 0
