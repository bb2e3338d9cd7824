"""The raw client: exact bytes on one connection, for what a well-behaved HTTP library would tidy away."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from limpet.harness.clients.base import (
    REQUEST_HEADER,
    Endpoint,
    Exchange,
    Failure,
    Identify,
    Recorder,
    by_headers,
    record_received,
)
from limpet.harness.clients.sockets import Stream, blame, connection_id, local_name, open_stream, reset
from limpet.harness.clients.way import STRAIGHT, Seen, Way
from limpet.harness.clients.wire import ResponseParser
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Sent

Text = str | bytes


class RawConnection:
    """One TCP (or TLS) connection under exact control; any number of clients may speak on it.

    Requests that are never ``receive``d stay without an answer in the history.

    Args:
        endpoint: the balancer.
        recorder: where the history goes.
        source: local address, None for the kernel's choice.
        source_port: fixed local port, None for an ephemeral one.
        timeout: seconds for connecting and for each ``receive``.
        identify: how to tell which backend answered.
        carried: the client's address that the connection's PROXY header tells, "" for its own.
        resume: the TLS session of an earlier connection to go on with.
        way: what is between it and the balancer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: Recorder,
        *,
        source: str | None = None,
        source_port: int | None = None,
        timeout: float = 10.0,
        identify: Identify = by_headers,
        carried: str = "",
        resume: ssl.SSLSession | None = None,
        way: Way = STRAIGHT,
    ) -> None:
        self.endpoint = endpoint
        self.carried = carried
        self._resume = resume
        self._later = b""
        self.timeout = timeout
        self.id = connection_id()
        self._way = way
        self.seen: Seen = way.foresee(source)
        self._source = source
        self._source_port = source_port
        self._recorder = recorder
        self._identify = identify
        self._sock: Stream | None = None
        self._failure: tuple[Failure, str] | None = None
        self._waiting: deque[Sent] = deque()
        self._spare = b""
        self._lost = False  # the place in the stream of responses is lost
        self._answers = 0
        self.spent = False
        """Whether the peer said, or showed, that it takes no further request on this connection (RFC 9112, 9.3)."""

    def open(self) -> bool:
        """Connect, if not yet tried; False when the target let no connection come about.

        Raises:
            SetupFault: this machine is to blame.
        """
        if self._sock is None and self._failure is None:
            self.seen = self._way.foresee(self._source)
            try:
                self._sock = open_stream(
                    self.endpoint,
                    source=self._source,
                    source_port=self._source_port,
                    deadline=time.monotonic() + self.timeout,
                    carried=self.carried,
                    resume=self._resume,
                    way=self._way,
                )
                self.seen = self._way.seen(local_name(self._sock), "tcp")
            except OSError as err:
                self._failure = blame(err)
        return self._sock is not None

    def send(
        self,
        head_lines: Sequence[bytes],
        body: bytes = b"",
        *,
        client: str,
        id: str | None = None,
        note: str = "",
        later: bool = False,
    ) -> str:
        """Send one request without waiting for its answer.

        Args:
            head_lines: request line and header lines without line ends, sent as they are; the request id is added
                as a last line.
            body: what follows the head.
            client: whose request it is, for the history.
            id: a request id, None for a fresh one.
            note: a word for the history.
            later: keep its bytes until the next one that is not sent later, so that they travel together.

        Returns:
            The request id.
        """
        identity = id or self._recorder.request_id()
        begun = time.monotonic()
        self.open()
        lines = [*head_lines, f"{REQUEST_HEADER}: {identity}".encode()]
        method, _, target = lines[0].decode("latin-1").partition(" ")
        sent = Sent(
            id=identity,
            t=begun,
            client=client,
            connection=self.id,
            source=self.seen.address,
            method=method,
            path=target.rpartition(" ")[0] or target,
            headers=tuple(_split(line) for line in lines[1:]),
            offset=self._recorder.offset(),
            port=self.seen.port,
            note=note,
            bound=self.seen.bound,
            carried=self.carried if self.endpoint.proxy_protocol else "",
        )
        self._recorder.add(sent)
        self._waiting.append(sent)
        self._later += b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body
        if not later:
            data, self._later = self._later, b""
            self.send_bytes(data)
        return identity

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are: a part of a request, or none. A failure shows at the next ``receive``."""
        if self._sock is None or self._failure is not None:
            return
        self._sock.deadline = time.monotonic() + self.timeout
        try:
            self._sock.sendall(data)
        except OSError as err:
            self._failure = blame(err)

    def receive(self, timeout: float | None = None) -> Exchange:
        """The answer to the oldest request that has none yet.

        Args:
            timeout: seconds until it must be complete, None for the connection's.

        Raises:
            HarnessFault: no request waits for an answer.
        """
        if not self._waiting:
            raise HarnessFault("no request waits for an answer", where=f"raw connection {self.id}")
        sent = self._waiting.popleft()
        parser = ResponseParser(sent.method)
        error: Failure = ""
        detail = ""
        try:
            self._read(parser, time.monotonic() + (self.timeout if timeout is None else timeout))
        except (OSError, EOFError, ValueError) as err:
            error, detail = blame(err)
            self._lost = True
            if self._failure is not None and not parser.started:
                error, detail = self._failure  # the first failure tells more than what followed from it
            self._failure = self._failure or (error, detail)
            if self._answers and not parser.started and error in ("closed", "reset"):
                detail = f"{detail} of a kept connection"
            self.spent = True
        else:
            self._answers += 1
            self.spent = self.spent or _last(parser.headers)
        return record_received(
            self._recorder,
            sent,
            status=parser.status,
            headers=parser.headers,
            body=parser.body,
            error=error,
            detail=detail,
            identify=self._identify,
        )

    def request(
        self,
        client: str,
        method: str,
        path: Text,
        headers: Sequence[tuple[Text, Text]] = (),
        *,
        body: bytes = b"",
        version: str = "HTTP/1.1",
        bare: bool = False,
        timeout: float | None = None,
        note: str = "",
    ) -> Exchange:
        """Send one request and read its answer.

        Args:
            client: whose request it is.
            method: HTTP method.
            path: request target, as it is.
            headers: exact names, values, order and repetitions; any bytes.
            body: request body.
            version: what the request line claims.
            bare: add nothing. Otherwise a missing ``Host``, and a missing ``Content-Length`` where there is a body
                without other framing, are added.
            timeout: seconds for the answer.
            note: a word for the history.
        """
        lines = [f"{method} ".encode() + _bytes(path) + f" {version}".encode()]
        names = {_bytes(name).lower() for name, _ in headers}
        if not bare and b"host" not in names:
            lines.append(b"Host: " + self.endpoint.authority.encode())
        lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
        if body and not bare and not names & {b"content-length", b"transfer-encoding"}:
            lines.append(b"Content-Length: %d" % len(body))
        self.send(lines, body, client=client, note=note)
        return self.receive(timeout)

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """The TLS session, for a later connection to resume; None without TLS, or before the server gave one."""
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    @property
    def resumed(self) -> bool:
        """Whether this connection went on with an earlier TLS session."""
        return isinstance(self._sock, ssl.SSLSocket) and bool(self._sock.session_reused)

    def read_some(self, timeout: float) -> bytes:
        """What has come and belongs to no answer, or comes within so many seconds; b"" at the end, or in vain."""
        spare, self._spare = self._spare, b""
        if spare or self._sock is None:
            return spare
        self._sock.deadline = time.monotonic() + timeout
        try:
            return self._sock.recv(65536)
        except OSError:
            return b""

    def renew(self) -> None:
        """Begin again on a new connection, from the same address; what waits for an answer gets none."""
        self.close()
        self.id = connection_id()
        self._failure = None
        self._waiting.clear()
        self._spare = self._later = b""
        self._lost = self.spent = False
        self._answers = 0

    def wait_closed(self, timeout: float) -> Literal["closed", "reset", "open"]:
        """Wait until the peer closes; what it sends meanwhile is kept for ``receive``.

        Args:
            timeout: seconds; afterwards the answer is "open".
        """
        if self._sock is None:
            return "closed"
        self._sock.deadline = time.monotonic() + timeout
        try:
            while data := self._sock.recv(65536):
                self._spare += data
        except TimeoutError:
            return "open"
        except OSError:
            return "reset"
        return "closed"

    def half_close(self) -> None:
        """Send FIN and go on reading (TCP only: TLS cannot)."""
        if self._sock is not None and self._failure is None:
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as err:
                self._failure = blame(err)

    def close(self) -> None:
        """Close with FIN."""
        self._drop(socket.socket.close)

    def reset(self) -> None:
        """Close with RST."""
        self._drop(reset)

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self, how: Callable[[socket.socket], None]) -> None:
        if self._sock is not None:
            how(self._sock)
            self._sock = None
        self._failure = self._failure or ("closed", "the client closed the connection")

    def _read(self, parser: ResponseParser, deadline: float) -> None:
        if self._sock is None or self._lost:
            raise EOFError("no usable connection")
        self._sock.deadline = deadline
        spare, self._spare = self._spare, b""
        if spare:
            parser.feed(spare)
        while not parser.done:
            data = self._sock.recv(65536)
            if not data:
                parser.eof()
                break
            parser.feed(data)
        self._spare = parser.rest


def _last(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether these response headers say that the connection ends with it."""
    words = [
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    ]
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name, _ in headers}
    return "close" in words or not (framed or "keep-alive" in words)


def _bytes(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _split(line: bytes) -> tuple[str, str]:
    name, _, value = line.partition(b":")
    return name.decode("latin-1"), value.removeprefix(b" ").decode("latin-1")
