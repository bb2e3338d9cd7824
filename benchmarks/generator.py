"""A backend and a generator of requests, both as cheap as Python allows, for measuring what stands between them."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from typing import cast

import uvloop

BODY = 1024
_COOKIE = re.compile(rb"\r\nset-cookie: *(LIMPET=[^;\r]+)", re.IGNORECASE)


class Backend(asyncio.Protocol):
    """Answers each request, which has no body, with its name and a KiB."""

    def __init__(self, name: str) -> None:
        body = name.encode().ljust(BODY, b".")
        self._answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Backend: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (name.encode(), BODY, body)
        )
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        """Count heads."""
        data = self._rest + data
        heads = data.count(b"\r\n\r\n")
        self._rest = data[data.rfind(b"\r\n\r\n") + 4 :] if heads else data
        if heads:
            self._transport.write(self._answer * heads)


def serve_backends(ports: list[int]) -> None:
    """Serves until the process is ended."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number, port in enumerate(ports):
            name = f"b{number + 1}"
            await loop.create_server(lambda name=name: Backend(name), "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.Event().wait()

    uvloop.run(serve())


@dataclass
class Load:
    """What a phase has seen.

    Attributes:
        done: complete answers. wrong: answers that were no 200 or came from another backend than the cookie's.
        seconds: how long it took. cpu: seconds that the watched process worked.
        latencies: seconds from when a request was due until its answer was complete.
    """

    done: int = 0
    wrong: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.done / self.seconds

    @property
    def per_cpu(self) -> float:
        """Requests for each second of CPU time of the watched process."""
        return self.done / self.cpu if self.cpu else 0.0

    @property
    def p99(self) -> float:
        """Seconds that 99 % of the requests took at most."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)] if self.latencies else 0.0


class User(asyncio.Protocol):
    """One user on one kept connection: the cookie of the first answer goes with all further requests."""

    def __init__(self, load: Load, *, paced: bool) -> None:
        self._load = load
        self._paced = paced
        self._cookie = b""
        self._backend = b""
        self._request = b""
        self._buffer = b""
        self._size = 0
        self._due: list[float] = []
        self._busy = False
        self.ready = asyncio.get_running_loop().create_future()
        self.counting = False
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a cookie."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self._ask()

    def begin(self) -> None:
        """Counts from now on."""
        self.counting = True
        if not self._paced:
            self._due = [time.perf_counter()]
            self._ask()

    def due(self, when: float) -> None:
        """A request is due; it waits while another one is under way, and that counts."""
        self._due.append(when)
        if not self._busy:
            self._ask()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        self._buffer += data
        if not self._size:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._size = end + 4 + BODY
        if len(self._buffer) >= self._size:
            answer, self._buffer, self._size = self._buffer, b"", 0
            self._answered(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody else will tell."""
        if not self.stopped:
            self._load.wrong += 1
            if not self.ready.done():
                self.ready.set_exception(exc or ConnectionError("closed"))

    def stop(self) -> None:
        """No more."""
        self.stopped = True
        self._transport.close()

    def _ask(self) -> None:
        self._busy = True
        cookie = b"Cookie: " + self._cookie + b"\r\n" if self._cookie else b""
        self._transport.write(b"GET /page HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n" + cookie + b"\r\n")

    def _answered(self, answer: bytes) -> None:
        self._busy = False
        backend = answer[-BODY : -BODY + 2]
        found = _COOKIE.search(answer, 0, len(answer) - BODY)
        if found is not None:
            self._cookie = found[1]
        if not self.ready.done():
            self._backend = backend
            self.ready.set_result(None)
            return
        if not self.counting or self.stopped:
            return
        now = time.perf_counter()
        self._load.done += 1
        self._load.wrong += not answer.startswith(b"HTTP/1.1 200") or backend != self._backend
        self._load.latencies.append(now - self._due.pop(0))
        if not self._paced:
            self._due.append(now)
            self._ask()
        elif self._due:
            self._ask()


def cpu_of(pid: int) -> float:
    """Seconds of CPU time of a process so far, its threads included."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(port: int, pid: int, *, users: int, seconds: float, rate: float | None = None) -> Load:
    """Sends requests for so long and watches a process.

    Args:
        rate: requests a second, sent when they are due whatever happens; None: as many as are answered.
    """
    load = Load()
    loop = asyncio.get_running_loop()
    crowd: list[User] = []
    for _ in range(users):
        _, user = await loop.create_connection(lambda: User(load, paced=rate is not None), "127.0.0.1", port)
        await asyncio.wait_for(user.ready, 10)
        crowd.append(user)
    begin, worked = time.perf_counter(), cpu_of(pid)
    for user in crowd:
        user.begin()
    if rate is None:
        await asyncio.sleep(seconds)
    else:
        sent = 0
        while (now := time.perf_counter()) - begin < seconds:
            while sent < (now - begin) * rate:
                crowd[sent % users].due(begin + sent / rate)
                sent += 1
            await asyncio.sleep(max(0.0, min(0.001, begin + sent / rate - time.perf_counter())))
    load.seconds, load.cpu = time.perf_counter() - begin, cpu_of(pid) - worked
    for user in crowd:
        user.stop()
    return load
