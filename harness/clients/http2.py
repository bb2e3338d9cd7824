"""The HTTP/2 client: several requests at once as streams of one connection (RFC 9113)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

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
from limpet.harness.clients.sockets import Stream, blame, connection_id, local_name, open_stream
from limpet.harness.clients.way import STRAIGHT
from limpet.harness.clients.way import Way as Between
from limpet.harness.model.history import Header, Sent

Way = Literal["alpn", "prior-knowledge"]
_NOT_PASSED = frozenset(("host", "connection", "keep-alive", "upgrade", "transfer-encoding"))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: whose it is, and what it says; cookies may be split over several fields."""

    client: str
    method: str
    path: str
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    note: str = ""


@dataclass(slots=True)
class _Answer:
    status: int = 0
    headers: list[Header] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: float | None = None
    error: Failure = ""
    detail: str = ""


class Http2Client:
    """One connection; any number of users' requests travel on it at once.

    Args:
        endpoint: the balancer.
        recorder: where the history goes.
        way: how it is known that HTTP/2 is spoken: agreed inside of TLS, or taken for granted.
        source: local address, None for the kernel's choice.
        timeout: seconds for connecting, and for all answers to one ``ask``.
        identify: how to tell which backend answered.
        between: what is between this end and the balancer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: Recorder,
        *,
        way: Way,
        source: str | None = None,
        timeout: float = 10.0,
        identify: Identify = by_headers,
        between: Between = STRAIGHT,
    ) -> None:
        self.endpoint = endpoint
        self.id = connection_id()
        self.timeout = timeout
        self._way = way
        self._recorder = recorder
        self._source = source
        self._identify = identify
        self._sock: Stream | None = None
        self._wire: Any = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._between = between
        self._seen = between.foresee(source)
        self._ended = ""

    def open(self) -> str:
        """Connects; "" or why no HTTP/2 connection came about.

        Raises:
            SetupFault: this machine is to blame.
        """
        if self._sock is not None:
            return ""
        deadline = time.monotonic() + self.timeout
        try:
            sock = open_stream(self.endpoint, source=self._source, deadline=deadline, protocol="h2", way=self._between)
        except OSError as err:
            return ": ".join(blame(err))
        agreed = sock.selected_alpn_protocol() if hasattr(sock, "selected_alpn_protocol") else None
        if self._way == "alpn" and agreed != "h2":
            sock.close()
            return f"the balancer agreed to {agreed or 'no protocol'}, not to h2"
        self._sock, self._seen = sock, self._between.seen(local_name(sock), "tcp")
        self._wire.initiate_connection()
        return ""

    def ask(self, asks: Sequence[Ask]) -> list[Exchange]:
        """Sends all of these at once, and gives their answers in the order of asking."""
        deadline = time.monotonic() + self.timeout
        sent: list[tuple[int, Sent]] = [self._send(each) for each in asks]
        answers = {stream: _Answer() for stream, _ in sent}
        try:
            self._flush(deadline)
            while any(each.ended is None and not each.error for each in answers.values()) and not self._ended:
                self._read(answers, deadline)
        except (OSError, EOFError, ProtocolError) as err:
            self._ended, detail = blame(err)
            for each in answers.values():
                if each.ended is None and not each.error:
                    each.error, each.detail = blame(err)[0], detail
        return [self._record(record, answers[stream]) for stream, record in sent]

    def close(self) -> None:
        """Closes the connection."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, ask: Ask) -> tuple[int, Sent]:
        identity = self._recorder.request_id()
        headers = [(name, value) for name, value in ask.headers if name.lower() not in _NOT_PASSED]
        headers.append((REQUEST_HEADER, identity))
        fields = [
            (":method", ask.method),
            (":scheme", self.endpoint.scheme),
            (":authority", self.endpoint.authority),
            (":path", ask.path),
            *((name.lower(), value) for name, value in headers),
        ]
        stream: int = self._wire.get_next_available_stream_id()
        record = Sent(
            id=identity,
            t=time.monotonic(),
            client=ask.client,
            connection=self.id,
            source=self._seen.address,
            method=ask.method,
            path=ask.path,
            headers=tuple(headers),
            offset=self._recorder.offset(),
            port=self._seen.port,
            bound=self._seen.bound,
            note=ask.note,
        )
        self._recorder.add(record)
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields]
        self._wire.send_headers(stream, encoded, end_stream=not ask.body)
        if ask.body:  # short ones only: within the first window
            self._wire.send_data(stream, ask.body, end_stream=True)
        return stream, record

    def _flush(self, deadline: float) -> None:
        if self._sock is None:
            raise EOFError("no connection")
        self._sock.deadline = deadline
        data = self._wire.data_to_send()
        if data:
            self._sock.sendall(data)

    def _read(self, answers: dict[int, _Answer], deadline: float) -> None:
        assert self._sock is not None
        self._sock.deadline = deadline
        data = self._sock.recv(65536)
        if not data:
            raise EOFError("the connection was closed before every answer was there")
        for event in self._wire.receive_data(data):
            if isinstance(event, ConnectionTerminated):
                self._ended = "the balancer ended the connection"
                raise EOFError(self._ended)
            answer = answers.get(getattr(event, "stream_id", None) or 0)
            if isinstance(event, DataReceived):
                self._wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if answer is not None:
                _note(event, answer)
        self._flush(deadline)

    def _record(self, sent: Sent, answer: _Answer) -> Exchange:
        return record_received(
            self._recorder,
            sent,
            status=answer.status,
            headers=answer.headers,
            body=bytes(answer.body),
            error=answer.error,
            detail=answer.detail,
            identify=self._identify,
            arrived=answer.ended,
        )


def _note(event: object, answer: _Answer) -> None:
    if isinstance(event, ResponseReceived):
        fields = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in event.headers]
        answer.status = next((int(value) for name, value in fields if name == ":status"), 0)
        answer.headers = [(name, value) for name, value in fields if not name.startswith(":")]
    elif isinstance(event, DataReceived):
        answer.body += event.data
    elif isinstance(event, StreamEnded):
        answer.ended = time.monotonic()
    elif isinstance(event, StreamReset) and answer.ended is None:
        answer.error, answer.detail = "reset", f"the stream was reset: {event.error_code}"
