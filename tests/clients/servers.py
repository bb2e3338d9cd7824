"""Tiny servers in threads, and a recorder that keeps everything in a list."""

from __future__ import annotations

import importlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from limpet.harness.clients.base import Endpoint
from limpet.harness.model.history import Received, Record, Sent

Handler = Callable[["Peer"], None]


@dataclass
class Memory:
    """A Recorder."""

    records: list[Record] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, record: Record) -> None:
        with self._lock:
            self.records.append(record)

    def offset(self) -> float:
        return 86400.0

    def request_id(self) -> str:
        with self._lock:
            return f"r{next(self._numbers)}"

    @property
    def sent(self) -> list[Sent]:
        return [record for record in self.records if isinstance(record, Sent)]

    @property
    def received(self) -> list[Received]:
        return [record for record in self.records if isinstance(record, Received)]


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: Server, sock: socket.socket, address: tuple[str, int], number: int) -> None:
        self.server = server
        self.sock = sock
        self.address = address
        self.number = number
        self.pending = b""

    def request(self) -> tuple[list[str], bytes] | None:
        """(head lines, rest) of the next request, None at the end of the connection."""
        while b"\r\n\r\n" not in self.pending:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.pending += data
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.server.seen.append((self.number, lines))
        length = next((int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length:")), 0)
        while len(self.pending) < length:
            self.pending += self.sock.recv(65536)
        body, self.pending = self.pending[:length], self.pending[length:]
        return lines, body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


class Server:
    """Accepts on loopback; every connection is handled in a thread of its own by ``handler``."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.seen: list[tuple[int, list[str]]] = []
        self.peers: list[Peer] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = Endpoint("127.0.0.1", self.listener.getsockname()[1])
        self.threads: list[threading.Thread] = []
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, address = self.listener.accept()
                peer = Peer(self, sock, address[:2], len(self.peers))
                self.peers.append(peer)
                thread = threading.Thread(target=self._handle, args=(peer,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _handle(self, peer: Peer) -> None:
        with suppress(OSError):
            self.handler(peer)
        peer.sock.close()

    def stop(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join(5)
        for peer in self.peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)


def answer(body: bytes = b"hi", *lines: str, status: str = "200 OK", backend: str = "b1") -> bytes:
    head = [
        f"HTTP/1.1 {status}",
        f"Limpet-Backend: {backend}",
        "Limpet-Instance: i1",
        *lines,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def always(data: bytes) -> Handler:
    """Answers every request of a connection with the same bytes."""

    def handler(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(data)

    return handler


def once(data: bytes) -> Handler:
    """Answers the first request of a connection with these bytes, then closes."""

    def handler(peer: Peer) -> None:
        peer.request()
        peer.send(data)

    return handler


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Server]]:
    servers: list[Server] = []

    def start(handler: Handler) -> Server:
        servers.append(Server(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def note_returns(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[float]]:
    """Begins to note when this function returns: ``package.module.function``, as that module calls it."""

    def begin(place: str) -> list[float]:
        module, _, name = place.rpartition(".")
        real = getattr(importlib.import_module(module), name)
        returned: list[float] = []

        def noting(*args: object, **more: object) -> object:
            found = real(*args, **more)
            returned.append(time.monotonic())
            return found

        monkeypatch.setattr(place, noting)
        return returned

    return begin
