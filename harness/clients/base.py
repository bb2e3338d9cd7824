"""What every client shares: where it sends, what it writes into the history, what it gives back.

A client never raises for what the target does: a refused connection, a reset or nonsense is an ``Exchange`` with
an ``error``. It raises ``SetupFault`` when this machine cannot send (no such source address, no descriptors left)
and ``HarnessFault`` when a scenario asks for something that this client cannot do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from limpet.harness.model.history import Header, Received, Record, Sent

REQUEST_HEADER = "Limpet-Request"
BACKEND_HEADER = "Limpet-Backend"
INSTANCE_HEADER = "Limpet-Instance"

Failure = Literal["", "refused", "reset", "closed", "timeout", "malformed"]


class Recorder(Protocol):
    """Where clients write the history. The lab implements it; every method may be called from any thread."""

    def add(self, record: Record) -> None:
        """Append one record."""

    def offset(self) -> float:
        """The virtual time offset of the deployment at this moment, in seconds."""

    def request_id(self) -> str:
        """An id that no other request of this run has."""


class CookieJar(Protocol):
    """What a client asks of a jar; ``limpet.harness.model.cookies.Jar`` is the real one."""

    def store(self, url: str, lines: Sequence[str], /) -> object:
        """Take in the ``Set-Cookie`` values of one response, in their order on the wire."""

    def header(self, url: str, /, *, method: str = "GET", cross_site: bool = False) -> str:
        """The value of the ``Cookie`` header for this request, "" when nothing is to be sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the balancer listens.

    Args:
        host: address or name, IPv6 without brackets.
        port: TCP or UDP port.
        scheme: what is spoken there.
        server_name: the ``Host`` header (and TLS server name) when it differs from ``host:port``.
        verify: whether a TLS certificate must be valid for the server name.
        ca: PEM file with what a certificate must lead back to; "" for what this machine trusts.
        tls_version: the one version of TLS that clients speak, such as ``TLSv1.2``; "" for any.
        proxy_protocol: the version of the PROXY header with which each connection begins; "" for none.
        tls: with scheme tcp, whether the backends speak TLS inside of its connections.
    """

    host: str
    port: int
    scheme: Literal["http", "https", "tcp", "udp"] = "http"
    server_name: str | None = None
    verify: bool = True
    ca: str = ""
    tls_version: Literal["", "TLSv1.2", "TLSv1.3"] = ""
    proxy_protocol: Literal["", "v1", "v2"] = ""
    tls: bool = False

    @property
    def secure(self) -> bool:
        """Whether a connection begins with a TLS handshake."""
        return self.tls or self.scheme == "https"

    @property
    def authority(self) -> str:
        """What belongs into the ``Host`` header: the port only where it is not the scheme's own."""
        if self.server_name is not None:
            return self.server_name
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}.get(self.scheme)
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def tls_name(self) -> str:
        """The name a certificate is checked against: the authority without its port."""
        if self.server_name is None:
            return self.host
        name = self.server_name
        return name.partition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]

    @property
    def base_url(self) -> str:
        """``scheme://authority``, without a path: the origin by which a jar files its cookies."""
        return f"{self.scheme}://{self.authority}"


Identify = Callable[[int, Sequence[Header], bytes], tuple[str, str]]
"""(status, headers, body) of a response → (backend, instance), "" for what it does not tell."""


def find(headers: Sequence[Header], name: str) -> str:
    """The first value of this header, "" when it is absent; names are compared without case."""
    wanted = name.lower()
    size = len(wanted)  # a look at the length spares most of the comparisons
    for key, value in headers:
        if len(key) == size and key.lower() == wanted:
            return value
    return ""


def by_headers(status: int, headers: Sequence[Header], body: bytes) -> tuple[str, str]:
    """Who answered, by the headers that limpet's own backends put into every response."""
    return find(headers, BACKEND_HEADER), find(headers, INSTANCE_HEADER)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it. ``body`` is what arrived, possibly a part when ``error`` is set."""

    sent: Sent
    received: Received
    body: bytes = b""

    @property
    def id(self) -> str:
        """The request id."""
        return self.sent.id

    @property
    def status(self) -> int:
        """The HTTP status, 0 when no response head arrived or the protocol has none."""
        return self.received.status

    @property
    def backend(self) -> str:
        """The name of the backend that answered, "" when unknown."""
        return self.received.backend

    @property
    def instance(self) -> str:
        """The instance (one life of a backend) that answered, "" when unknown."""
        return self.received.instance

    @property
    def error(self) -> str:
        """Why there is no complete response, "" when there is one."""
        return self.received.error

    @property
    def ok(self) -> bool:
        """A complete response that is no server error."""
        return not self.received.error and self.received.status < 500

    @property
    def connection(self) -> str:
        """The id of the TCP connection that carried it."""
        return self.sent.connection

    @property
    def set_cookies(self) -> tuple[str, ...]:
        """The raw ``Set-Cookie`` values, one for each line, in order."""
        return tuple(value for key, value in self.received.headers if key.lower() == "set-cookie")

    def header(self, name: str) -> str:
        """The first value of a response header, "" when absent."""
        return find(self.received.headers, name)

    def json(self) -> object:
        """The body as JSON, None when it is not JSON (a balancer's own error page, say)."""
        try:
            parsed: object = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return parsed


def record_received(
    recorder: Recorder,
    sent: Sent,
    *,
    status: int = 0,
    headers: Sequence[Header] = (),
    body: bytes = b"",
    error: Failure = "",
    detail: str = "",
    identify: Identify = by_headers,
    arrived: float | None = None,
    who: tuple[str, str] | None = None,
) -> Exchange:
    """Write the answer (or its absence) into the history and pair it with its request.

    Args:
        arrived: when its last byte was there (CLOCK_MONOTONIC seconds); None means now.
        who: (backend, instance) where the protocol tells it without ``identify``.
    """
    at = time.monotonic() if arrived is None else arrived
    if who is None:
        who = identify(status, headers, body) if status else ("", "")
    backend, instance = who
    received = Received(
        id=sent.id,
        t=at,
        status=status,
        backend=backend,
        instance=instance,
        headers=tuple(headers),
        error=error,
        detail=detail,
        offset=recorder.offset(),
    )
    recorder.add(received)
    return Exchange(sent, received, body)
