"""A listener that accepts and swallows in any order, also before the loop has had a turn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from limpet.harness.backends.listener import Listener, listen

SOON = 0.3
TURNS = 10


class Greets(asyncio.Protocol):
    """Says hello to whoever is accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


async def met(address: tuple[str, int], patience: float) -> str:
    """What a new connection meets in time: "nothing", "silence" or "hello"."""
    loop = asyncio.get_running_loop()
    found = "nothing"
    with socket.socket() as client, contextlib.suppress(TimeoutError):
        client.setblocking(False)
        async with asyncio.timeout(patience):
            await loop.sock_connect(client, address)
            found = "silence"
            found = (await loop.sock_recv(client, 5)).decode()
    return found


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_what_swallows_right_after_it_accepted_is_a_black_hole(turns: int) -> None:
    async def run() -> None:
        listening = listen("127.0.0.1", 0)
        listener = Listener(listening, Greets)
        try:
            listener.accept()
            for _ in range(turns):
                await asyncio.sleep(0)
            listener.swallow()
            for _ in range(TURNS):  # whatever was begun before may end now
                await asyncio.sleep(0)
            assert await met(listening.getsockname(), SOON) == "nothing"
            listener.accept()
            await listener.opened()
            assert await met(listening.getsockname(), 10.0) == "hello"
        finally:
            await listener.close()

    asyncio.run(run())


def test_who_waited_in_the_black_hole_is_served_when_it_heals() -> None:
    async def run(heal: Callable[[Listener], None]) -> None:
        listening = listen("127.0.0.1", 0)
        listener = Listener(listening, Greets)
        try:
            listener.accept()
            await listener.opened()
            listener.swallow()
            waiting = asyncio.create_task(met(listening.getsockname(), 30.0))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            heal(listener)
            assert await waiting == "hello"
        finally:
            await listener.close()

    asyncio.run(run(Listener.accept))
