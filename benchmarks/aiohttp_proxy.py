"""What one writes in an afternoon: a sticky proxy of aiohttp's server and client. `asyncio|uvloop PORT BACKEND…`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, TCPConnector, web

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "date"}


def application(backends: list[str]) -> web.Application:
    """Pins by a cookie that names the backend's number in plain text."""
    turns = itertools.cycle(range(len(backends)))
    session: ClientSession

    async def handle(request: web.Request) -> web.StreamResponse:
        said = request.cookies.get("LIMPET", "")
        number = int(said) if said.isdigit() and int(said) < len(backends) else next(turns)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        headers.append(("X-Forwarded-For", request.remote or ""))
        data = request.content if request.can_read_body else None
        url = f"http://{backends[number]}{request.raw_path}"
        async with session.request(request.method, url, headers=headers, data=data, allow_redirects=False) as answer:
            passed = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            response = web.StreamResponse(status=answer.status, headers=dict(passed))
            if not said:
                response.set_cookie("LIMPET", str(number), path="/", httponly=True)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def client(_: web.Application) -> AsyncIterator[None]:
        nonlocal session
        async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as session:
            yield

    found = web.Application()
    found.router.add_route("*", "/{path:.*}", handle)
    found.cleanup_ctx.append(client)
    return found


if __name__ == "__main__":
    proxy = application(sys.argv[3:])
    loop = uvloop.new_event_loop() if sys.argv[1] == "uvloop" else asyncio.new_event_loop()
    web.run_app(proxy, host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None, loop=loop)
