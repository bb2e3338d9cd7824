"""What the bulk client is told to do, what it reports, and how that reaches the history."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from limpet.harness.clients.base import REQUEST_HEADER, Endpoint, Failure, Identify, Recorder
from limpet.harness.clients.way import STRAIGHT, Seen, Way
from limpet.harness.model.history import Header, Received, Record, Sent

BATCH = 1024
_GONE = re.compile(r";\s*max-age=(0|-\d+)\s*(;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """One user of a bulk run: so many requests, one after the other.

    Args:
        client: who it is, in the results and the history.
        source: local address, None for the kernel's choice.
        requests: how many.
        method: anything but HEAD.
        path: request target.
        headers: header lines besides Host, Content-Length, Cookie and the request id.
        body: request body.
        cookies: sent from the first request on.
        carry: names of cookies to take from responses and send from then on; one with Max-Age=0 is dropped.
        keep: all over one connection; False opens a new one for each request.
        way: what is between the user and the balancer.
    """

    client: str
    source: str | None = None
    requests: int = 1
    method: str = "GET"
    path: str = "/"
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    cookies: Mapping[str, str] = field(default_factory=dict)
    carry: tuple[str, ...] = ()
    keep: bool = True
    way: Way = STRAIGHT


@dataclass(slots=True)
class BulkResult:
    """One request of a bulk run and what became of it; times are CLOCK_MONOTONIC seconds."""

    client: str
    id: str
    connection: str
    port: int
    t_sent: float
    t_received: float = 0.0
    status: int = 0
    backend: str = ""
    instance: str = ""
    set_cookies: tuple[str, ...] = ()
    error: Failure = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """A complete response that is no server error."""
        return not self.error and self.status < 500


class Ledger:
    """Gives request ids and collects records for a recorder, which gets them in batches.

    A recorder that has a method ``extend(records)`` is given each batch in one call.
    """

    def __init__(self, recorder: Recorder | None, seed: int | str, identify: Identify) -> None:
        self.recorder = recorder
        self.identify = identify
        # Virtual time stands still while requests are in flight, so one reading serves the whole run.
        self.offset = recorder.offset() if recorder is not None else 0.0
        self._records: list[Record] = []
        numbers = itertools.count(1)
        self.request_id: Callable[[], str] = (
            recorder.request_id if recorder is not None else lambda: f"bulk-{seed}-{next(numbers)}"
        )

    def add(self, record: Record) -> None:
        """Collect one record."""
        self._records.append(record)
        if len(self._records) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been collected."""
        records, self._records = self._records, []
        if self.recorder is None or not records:
            return
        extend: Callable[[Sequence[Record]], None] | None = getattr(self.recorder, "extend", None)
        if extend is not None:
            extend(records)
            return
        for record in records:
            self.recorder.add(record)


class Visit:
    """One plan on its way: builds its requests, carries its cookies, keeps its results."""

    def __init__(self, plan: BulkPlan, endpoint: Endpoint, ledger: Ledger) -> None:
        self.plan = plan
        self.left = plan.requests
        self.results: list[BulkResult] = []
        self.cookies = dict(plan.cookies)
        self.ledger = ledger
        fixed = [("Host", endpoint.authority), *plan.headers]
        if plan.body or plan.method in ("POST", "PUT", "PATCH"):
            fixed.append(("Content-Length", str(len(plan.body))))
        self._fixed = tuple(fixed)
        lines = [f"{plan.method} {plan.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fixed)]
        self._head = ("\r\n".join(lines) + "\r\n").encode("latin-1")

    def begin(self, at: float, connection: str, seen: Seen) -> bytes:
        """Enter the next request into the history; its bytes."""
        identity = self.ledger.request_id()
        plan = self.plan
        self.left -= 1
        self.results.append(BulkResult(plan.client, identity, connection, seen.port, at))
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items()) if self.cookies else ""
        if self.ledger.recorder is not None:
            carried = (("Cookie", cookie),) if cookie else ()
            self.ledger.add(
                Sent(
                    id=identity,
                    t=at,
                    client=plan.client,
                    connection=connection,
                    source=seen.address,
                    method=plan.method,
                    path=plan.path,
                    headers=(*self._fixed, *carried, (REQUEST_HEADER, identity)),
                    offset=self.ledger.offset,
                    port=seen.port,
                    bound=seen.bound,
                )
            )
        line = f"Cookie: {cookie}\r\n" if cookie else ""
        return self._head + f"{line}{REQUEST_HEADER}: {identity}\r\n\r\n".encode("latin-1") + plan.body

    def finish(self, status: int, headers: Sequence[Header], body: bytes, at: float) -> None:
        """The current request has its whole response, whose last byte came ``at``."""
        self._end(status, headers, body, at)

    def fail(
        self, error: Failure, detail: str, status: int = 0, headers: Sequence[Header] = (), body: bytes = b""
    ) -> None:
        """The current request has none, or a part of one."""
        self._end(status, headers, body, time.monotonic(), error=error, detail=detail)

    def _end(
        self, status: int, headers: Sequence[Header], body: bytes, at: float, *, error: Failure = "", detail: str = ""
    ) -> None:
        result = self.results[-1]
        result.t_received, result.status, result.error, result.detail = at, status, error, detail
        if status:
            result.backend, result.instance = self.ledger.identify(status, headers, body)
            result.set_cookies = tuple(value for name, value in headers if name.lower() == "set-cookie")
            for line in result.set_cookies:
                self._carry(line)
        if self.ledger.recorder is not None:
            self.ledger.add(
                Received(
                    id=result.id,
                    t=at,
                    status=status,
                    backend=result.backend,
                    instance=result.instance,
                    headers=tuple(headers),
                    error=error,
                    detail=detail,
                    offset=self.ledger.offset,
                )
            )

    def _carry(self, line: str) -> None:
        pair = line.partition(";")[0]
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or name not in self.plan.carry:
            return
        if _GONE.search(line):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value.strip()
