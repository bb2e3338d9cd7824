"""How many times faster than `requests` the clients are, measured in one run against one server.

Run: `.venv/bin/python benchmarks/bench_clients.py`. The numbers mean little on another machine; the ratios do.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe

import requests

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.bulk import BulkPlan, run_bulk
from limpet.harness.clients.http import HttpClient
from limpet.harness.model.history import Record

ANSWER = (
    b"HTTP/1.1 200 OK\r\nLimpet-Backend: b1\r\nLimpet-Instance: i1\r\nSet-Cookie: k=v1; Path=/\r\n"
    b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n"
    b'{"a": 12345}'
)


class List:
    """A recorder into memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.numbers = itertools.count()

    def add(self, record: Record) -> None:
        """Keep one record."""
        self.records.append(record)

    def extend(self, records: list[Record]) -> None:
        """Keep many."""
        self.records.extend(records)

    def offset(self) -> float:
        """No virtual time."""
        return 0.0

    def request_id(self) -> str:
        """The next number."""
        return f"r{next(self.numbers)}"


class Answering(asyncio.Protocol):
    """Answers each read with one response."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(ANSWER)  # type: ignore[attr-defined]


def serve(pipe: Pipe) -> None:
    """The server's process."""
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    run(main())


def rate(count: int, work: Callable[[], object]) -> float:
    """Requests a second."""
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure and print."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        endpoint = Endpoint("127.0.0.1", ours.recv())
        plans = [BulkPlan(f"c{n}", f"127.140.{n // 250}.{1 + n % 250}", requests=20, carry=("k",)) for n in range(2000)]
        with requests.Session() as session, HttpClient(endpoint, List(), name="ann") as ann:
            session.trust_env = False
            rates = {
                "requests": rate(1000, lambda: [session.get(endpoint.base_url) for _ in range(1000)]),
                "HttpClient": rate(2000, lambda: [ann.get("/") for _ in range(2000)]),
            }
        rates["bulk"] = rate(40_000, lambda: run_bulk(endpoint, None, plans))
        rates["bulk, recorded"] = rate(40_000, lambda: run_bulk(endpoint, List(), plans))
    finally:
        server.terminate()
        server.join()
    for name, value in rates.items():
        sys.stdout.write(f"{name:16} {value:9.0f} requests/s  {value / rates['requests']:5.1f} x requests\n")


if __name__ == "__main__":
    main()
