"""A balancer and its backends in this process, and a plain client for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from limpet.reference_lb.main import identity
from limpet.reference_lb.parts import Arrange
from limpet.reference_lb.service import Service
from limpet.reference_lb.settings.load import check, check_members

PATIENCE = 20.0


@dataclass
class Message:
    """A request or a response: its start line, header lines in order, and body."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def backend(self) -> str | None:
        return self.get("x-backend")

    def cookie(self, name: str = "LIMPET") -> str | None:
        for line in self.all("set-cookie"):
            pair = line.partition(";")[0]
            if pair.startswith(name + "="):
                return pair.partition("=")[2]
        return None


async def read_message(reader: asyncio.StreamReader, *, head: bool = False) -> Message:
    """Reads one message, chunked or of stated length, or else until the end (responses)."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    message = Message(lines[0], [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines[1:-2])])
    interim = message.start.startswith("HTTP/") and message.status < 200
    if head or interim:
        return message
    if "chunked" in (message.get("transfer-encoding") or ""):
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            message.body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    elif message.get("content-length") is not None:
        message.body = await reader.readexactly(int(message.get("content-length") or 0))
    elif message.start.startswith("HTTP/"):
        message.body = await reader.read()
    return message


class Backend:
    """An HTTP backend that says its name. `answer` may be replaced; None closes without an answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.seen: list[Message] = []
        self.connections = 0
        self.healthy = True
        self.extra: list[str] = []
        self.answer: Callable[[Message], Awaitable[bytes | None]] = self.usual
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def usual(self, request: Message) -> bytes:
        body = b"" if request.start.startswith("HEAD") else request.body or self.name.encode()
        lines = ["HTTP/1.1 200 OK", f"X-Backend: {self.name}", f"Content-Length: {len(body)}", *self.extra]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        counted = False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await read_message(reader)
                if request.start.startswith("GET /health "):
                    status = "200 OK" if self.healthy else "503 No"
                    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    break
                self.connections += not counted
                counted = True
                self.seen.append(request)
                reply = await self.answer(request)
                if reply is None:
                    break
                writer.write(reply)
        self._writers.discard(writer)
        writer.close()


class Connection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: str = "/", *, method: str = "GET", headers: Any = (), body: bytes = b"") -> Message:
        lines = [f"{method} {path} HTTP/1.1", "Host: lb", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.answer(head=method == "HEAD")

    async def raw(self, data: bytes) -> Message:
        self.writer.write(data)
        return await self.answer()

    async def answer(self, *, head: bool = False) -> Message:
        return await asyncio.wait_for(read_message(self.reader, head=head), PATIENCE)

    async def closed(self) -> bool:
        """Whether the balancer closes it, with nothing more to say."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b""
        except ConnectionError:
            return True


@dataclass
class Lab:
    """One balancer in front of some backends."""

    config: dict[str, Any]
    backends: list[Backend]
    arrange: Arrange = identity
    service: Service = field(init=False)
    port: int = 0

    async def start(self) -> None:
        for backend in self.backends:
            await backend.start()
        raw = {"listener": {"port": 0}} | self.config
        raw["pool"] = {"member": self.members()} | raw.get("pool", {})
        raw.setdefault("health", {"interval": "50ms", "timeout": "2s"})
        self.service = Service(check(raw), self.arrange)
        self.port = (await self.service.start()).port

    def members(self, *names: str, **of_each: dict[str, Any]) -> list[dict[str, Any]]:
        """The members' list; `b1={"weight": 2}` changes one."""
        wanted = [b for b in self.backends if not names or b.name in names]
        return [{"name": b.name, "host": "127.0.0.1", "port": b.port} | of_each.get(b.name, {}) for b in wanted]

    async def set_members(self, *names: str, **of_each: dict[str, Any]) -> None:
        await self.service.set_members(check_members(self.members(*names, **of_each)))

    def backend(self, name: str | None) -> Backend:
        return next(backend for backend in self.backends if backend.name == name)

    @contextlib.asynccontextmanager
    async def connection(self, source: str = "127.0.0.1") -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def ask(self, path: str = "/", *, source: str = "127.0.0.1", **rest: Any) -> Message:
        """One request on a connection of its own. `cookie="v"` sends LIMPET=v."""
        cookie = rest.pop("cookie", None)
        headers = [*rest.pop("headers", ()), *([f"Cookie: LIMPET={cookie}"] if cookie else [])]
        async with self.connection(source) as connection:
            return await connection.ask(path, headers=headers, **rest)

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                await asyncio.sleep(0.01)

    async def until_health(self, **wanted: bool) -> None:
        """Wait until the balancer believes this of the members."""
        parts = self.service.site.parts
        await self.until(
            lambda: all(
                parts.health_view.healthy(m) == wanted[m.name] for m in parts.pool.members() if m.name in wanted
            )
        )


Scenario = Callable[[Lab], Awaitable[None]]
RunLab = Callable[..., None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run_lab(request: pytest.FixtureRequest) -> Iterator[RunLab]:
    """`run_lab(scenario, count=3, arrange=…, **sections)` runs the scenario against a fresh balancer."""

    def run(scenario: Scenario, count: int = 3, arrange: Arrange = identity, **sections: Any) -> None:
        async def all_of_it() -> None:
            lab = Lab(sections, [Backend(f"b{n + 1}") for n in range(count)], arrange)
            await lab.start()
            try:
                await asyncio.wait_for(scenario(lab), 3 * PATIENCE)
            finally:
                lab.service.stop()
                for backend in lab.backends:
                    await backend.stop()

        loops = pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(all_of_it())

    yield run


def lb_cookie(**changes: Any) -> dict[str, Any]:
    """An `[affinity]` section in lb-cookie mode."""
    return {"mode": "lb-cookie", "duration": "20m"} | changes


@pytest.fixture
def affinity() -> Callable[..., dict[str, Any]]:
    """Makes an `[affinity]` section in lb-cookie mode, with changes."""
    return lb_cookie
