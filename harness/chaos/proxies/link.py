"""One connection through the embedded proxy: two directions, each with the toxics that are in force for it now."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from limpet.harness.chaos.proxies.toxics import Stream, Toxic

Toxics = Callable[[], Sequence[Toxic]]
"""Those of the proxy, in force at the moment of the call."""

_PIECE = 32 * 1024
_WAITING = 1024 * 1024
"""Bytes that may be on their way in one direction before the sender has to wait."""
_TICK = 0.1
"""Seconds of bandwidth that are sent at once."""
_RESET = struct.pack("ii", 1, 0)


class _Ended(Exception):
    """A toxic ends the connection. ``reset``: with RST."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


class Direction:
    """One of the two: what is read on one side is written on the other one, late, slowly, in part or not at all."""

    def __init__(
        self, stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxics: Toxics
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._writer = writer
        self._toxics = toxics
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._moved = asyncio.Event()
        self._changed = asyncio.Event()
        # Each with its toxic, whose id is nobody else's as long as it is kept.
        self._spared: dict[int, tuple[Toxic, bool]] = {}
        self._passed: dict[int, tuple[Toxic, int]] = {}

    def changed(self) -> None:
        """The proxy's toxics are others now."""
        self._changed.set()
        self._moved.set()

    async def read(self) -> None:
        """Takes what comes until the sender's end."""
        while data := await self._reader.read(_PIECE):
            self._pieces.append((self._loop.time(), data))
            self._bytes += len(data)
            self._moved.set()
            while self._bytes > _WAITING:
                await self._wait_for_move()
        self._pieces.append((self._loop.time(), b""))
        self._moved.set()

    async def write(self) -> None:
        """Hands on what has come, as the toxics let it.

        Raises:
            _Ended: a toxic ends the connection.
        """
        while True:
            while not self._pieces:
                await self._hold()
                if not self._pieces:
                    await self._wait_for_move()
            came, data = self._pieces.popleft()
            self._bytes -= len(data)
            self._moved.set()
            await self._delay(came)
            await self._hold()
            if not data:
                break
            await self._send(data)
        closing = max((each.seconds("delay") for each in self._of("slow_close")), default=0.0)
        await asyncio.sleep(closing)
        with contextlib.suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    async def _wait_for_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _of(self, *kinds: str) -> list[Toxic]:
        """The toxics of these types for this direction; whether a share of connections is spared is drawn once."""
        found = []
        for each in self._toxics():
            if each.stream == self._stream and each.type in kinds:
                if id(each) not in self._spared:
                    self._spared[id(each)] = each, random.random() >= each.toxicity
                if not self._spared[id(each)][1]:
                    found.append(each)
        return found

    async def _delay(self, came: float) -> None:
        """Latency counts from when a piece came, so that it costs no throughput."""
        late = sum(each.later() for each in self._of("latency"))
        while late and (left := came + late - self._loop.time()) > 0:
            if not await self._until_changed(left):
                return
            if not self._of("latency"):
                return

    async def _hold(self) -> None:
        """As long as a toxic lets nothing through: until it is gone, or ends the connection.

        Raises:
            _Ended: by it. What was held is lost, as it is in Toxiproxy.
        """
        began = self._loop.time()
        held = False
        while found := self._of("timeout", "reset_peer"):
            held = True
            first = found[0]
            resets = first.type == "reset_peer"
            limit = first.seconds("timeout")
            if (resets or limit) and self._loop.time() - began >= limit:
                raise _Ended(reset=resets)
            left = began + limit - self._loop.time() if resets or limit else None
            await self._until_changed(left)
        if held:
            raise _Ended

    async def _until_changed(self, seconds: float | None) -> bool:
        """Whether the toxics changed within so many seconds."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _send(self, data: bytes) -> None:
        for each in self._of("limit_data"):
            passed = self._passed.get(id(each), (each, 0))[1]
            left = max(0, each.number("bytes") - passed)
            self._passed[id(each)] = each, passed + len(data)
            if len(data) >= left:
                await self._slowly(data[:left])
                raise _Ended
        await self._slowly(data)

    async def _slowly(self, data: bytes) -> None:
        while data:
            size, pause = len(data), 0.0
            for each in self._of("slicer"):
                variation = each.number("size_variation")
                size = max(1, each.number("average_size") + random.randint(-variation, variation))
                pause = each.number("delay") / 1e6
            for each in self._of("bandwidth"):
                rate = each.number("rate") * 1000
                if not rate:
                    await self._until_changed(None)
                    break
                size = min(size, max(1, int(rate * _TICK)))
                pause += min(size, len(data)) / rate
            piece, data = data[:size], data[size:]
            if pause:
                await asyncio.sleep(pause)
            self._writer.write(piece)
            await self._writer.drain()


class Link:
    """Both directions of one connection, from a client to the upstream server."""

    def __init__(self, toxics: Toxics) -> None:
        self._toxics = toxics
        self._directions: tuple[Direction, ...] = ()
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: tuple[str, int]) -> None:
        """Lives as long as the connection does."""
        self._writers = [writer]
        tasks: list[asyncio.Task[None]] = []
        reset = False
        try:
            their_reader, their_writer = await asyncio.open_connection(*upstream)
            self._writers.append(their_writer)
            for each in self._writers:
                each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._directions = (
                Direction("upstream", reader, their_writer, self._toxics),
                Direction("downstream", their_reader, writer, self._toxics),
            )
            writes = [asyncio.create_task(each.write()) for each in self._directions]
            tasks = [*writes, *(asyncio.create_task(each.read()) for each in self._directions)]
            await asyncio.gather(*tasks)
        except _Ended as end:
            reset = end.reset
        except OSError:
            reset = True  # one side is gone, or was never there: the other side is told so
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.close(reset=reset)

    def changed(self) -> None:
        """The proxy's toxics are others now."""
        for each in self._directions:
            each.changed()

    def close(self, *, reset: bool = False) -> None:
        """Ends both sides at once."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                if reset:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    writer.transport.abort()
                else:
                    writer.close()
