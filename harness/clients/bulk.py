"""The bulk client: many users at once, for checks that need thousands of requests.

asyncio protocols driven by callbacks, parsed by httptools, on uvloop where that installs. What it leaves out, the
other clients have: jars (it carries named cookies only), redirects, HEAD, one request after the next on several
connections of one user.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

from limpet.harness.clients.base import Endpoint, Identify, Recorder, by_headers
from limpet.harness.clients.bulk_connection import Connection
from limpet.harness.clients.bulk_plan import BulkPlan, BulkResult, Ledger, Visit
from limpet.harness.clients.proxy_header import proxy_header
from limpet.harness.clients.sockets import blame, bound_socket, connection_id, local_fault, local_name, tls_context
from limpet.harness.model.errors import HarnessFault

__all__ = ["BulkPlan", "BulkResult", "run_bulk"]


def run_bulk(
    endpoint: Endpoint,
    recorder: Recorder | None,
    plans: Sequence[BulkPlan],
    *,
    connections: int = 64,
    timeout: float = 10.0,
    seed: int | str = 0,
    identify: Identify = by_headers,
) -> list[BulkResult]:
    """Carry out all plans, in an order drawn from the seed, with an event loop of its own in the calling thread.

    Args:
        endpoint: the balancer (http or https).
        recorder: where the history goes, None for none. Records are handed over in batches, so a crash of this
            process loses the last of them.
        plans: the users and what each does.
        connections: how many users are active at once, each with one connection.
        timeout: seconds for each connect and each exchange.
        seed: of the run.
        identify: how to tell which backend answered.

    Returns:
        One result for each request, in the order of the plans.

    Raises:
        SetupFault: this machine cannot send.
        HarnessFault: a plan asks for HEAD.
    """
    if any(plan.method == "HEAD" for plan in plans):
        raise HarnessFault("the bulk client cannot send HEAD", do="use HttpClient")
    ledger = Ledger(recorder, seed, identify)
    visits = [Visit(plan, endpoint, ledger) for plan in plans]
    order = visits.copy()
    random.Random(f"bulk/{seed}").shuffle(order)
    run = _Run(endpoint, deque(order), timeout)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run.all(connections))
    finally:
        ledger.flush()
    return [result for visit in visits for result in visit.results]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return factory


class _Run:
    """The event loop's side of one ``run_bulk``."""

    def __init__(self, endpoint: Endpoint, queue: deque[Visit], timeout: float) -> None:
        self.endpoint = endpoint
        self.queue = queue
        self.timeout = timeout
        self.active: set[Connection] = set()

    async def all(self, lanes: int) -> None:
        """Work the queue off on that many lanes; the first fault of limpet's own ends them all."""
        workers = [asyncio.create_task(self._lane()) for _ in range(min(lanes, len(self.queue)))]
        sweeper = asyncio.create_task(self._sweep())
        try:
            if workers:
                await asyncio.gather(*workers)
        finally:
            for task in (*workers, sweeper):
                task.cancel()
            await asyncio.gather(*workers, sweeper, return_exceptions=True)
            for connection in list(self.active):
                connection.abort()

    async def _lane(self) -> None:
        while self.queue:
            visit = self.queue.popleft()
            while visit.left:
                await self._connection(visit)

    async def _connection(self, visit: Visit) -> None:
        """One connection of a visit: as many of its requests as the connection carries, at least one."""
        identity, begun = connection_id(), time.monotonic()
        try:
            connection = await self._connect(visit, identity, begun)
        except OSError as err:
            visit.begin(begun, identity, visit.plan.way.foresee(visit.plan.source))
            visit.fail(*blame(err))
            return
        self.active.add(connection)
        try:
            connection.next_request()
            await connection.closed
        finally:
            self.active.discard(connection)
            connection.abort()

    async def _connect(self, visit: Visit, identity: str, begun: float) -> Connection:
        loop = asyncio.get_running_loop()
        source, way = visit.plan.source, visit.plan.way
        sock, address = bound_socket(socket.socket, self.endpoint, source, way=way)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(self.timeout):
                await loop.sock_connect(sock, address)
                local = local_name(sock)
                if local == tuple(sock.getpeername()[:2]):
                    raise ConnectionRefusedError("connected to itself: nobody listens")
                if self.endpoint.proxy_protocol:
                    header = proxy_header(self.endpoint.proxy_protocol, local, sock.getpeername()[:2])
                    await loop.sock_sendall(sock, header)
                tls = self.endpoint.scheme == "https"
                seen = way.seen(local, "tcp")
                _, connection = await loop.create_connection(
                    lambda: Connection(visit, identity, seen, self.timeout, begun),
                    sock=sock,
                    ssl=tls_context(self.endpoint) if tls else None,
                    server_hostname=self.endpoint.tls_name if tls else None,
                )
        except BaseException as err:
            sock.close()
            fault = local_fault(err, source, self.endpoint) if isinstance(err, OSError) else None
            if fault is not None:
                raise fault from err
            raise
        return connection

    async def _sweep(self) -> None:
        """End exchanges that take too long. Twice overdue, because this process may itself have been held up."""
        while True:
            await asyncio.sleep(min(self.timeout / 4, 0.25))
            now = time.monotonic()
            for connection in list(self.active):
                connection.check(now)
