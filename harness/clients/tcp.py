"""The client below layer 7: limpet's echo protocol, whose first line carries the request id.

The client sends ``LIMPET <id> [hold=<seconds>]``, the backend answers ``LIMPET <id> <backend> <instance> <peer>``,
each ended by a newline.
"""

from __future__ import annotations

import time

from limpet.harness.clients.base import Endpoint, Exchange, Failure, Recorder, record_received
from limpet.harness.clients.own_port import keep_port
from limpet.harness.clients.sockets import (
    DeadlineTLSSocket,
    Stream,
    blame,
    connection_id,
    local_name,
    open_stream,
    part,
    reset,
)
from limpet.harness.clients.tls_sessions import TlsSessions
from limpet.harness.clients.way import STRAIGHT, Seen, Way
from limpet.harness.clients.wire import Malformed
from limpet.harness.model.history import Header, Sent
from limpet.harness.model.oracle.carried import TLS_SESSION

MAX_LINE = 4096
SESSION = TLS_SESSION
RESUMED = "tls-resumed"
"""Beside `SESSION` among the headers of an answer: whether the handshake went on with the session that was offered."""


class TcpClient:
    """One simulated user of a TCP service. Not for several threads at once.

    Args:
        endpoint: the balancer.
        recorder: where the history goes.
        name: who this is, in the history.
        source: local address, None for the kernel's choice.
        source_port: fixed local port, None for an ephemeral one. End such connections with ``reset``: after a
            close the kernel keeps the pair of addresses busy for a while.
        timeout: seconds that a whole exchange may take, connecting included.
        keep: keep the connection between asks; False opens a new one for each.
        same_port: every new connection comes from the port of the first one, which is ended by RST for that.
        way: what is between it and the balancer.
        sessions: the user's TLS session, where the endpoint speaks TLS; None for one that is never gone on with.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: Recorder,
        *,
        name: str,
        source: str | None = None,
        source_port: int | None = None,
        timeout: float = 10.0,
        keep: bool = True,
        same_port: bool = False,
        way: Way = STRAIGHT,
        sessions: TlsSessions | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.name = name
        self.source = source
        self.timeout = timeout
        self.keep = keep
        self._source_port = source_port
        self._same_port = same_port
        self._sessions = sessions
        self._offered: tuple[Header, ...] = ()
        self._shaken: tuple[Header, ...] = ()
        self._recorder = recorder
        self._sock: Stream | None = None
        self._id = ""
        self._placed: float | None = None
        self._way = way
        self._seen: Seen = way.foresee(source)

    def connect(self) -> str:
        """Open the connection without asking anything; "" or the error that the target caused.

        Raises:
            SetupFault: this machine is to blame.
        """
        try:
            self._open(time.monotonic() + self.timeout)
        except OSError as err:
            return blame(err)[0]
        return ""

    def ask(self, hold: float | None = None, *, note: str = "") -> Exchange:
        """Ask the backend behind the connection who it is.

        Args:
            hold: seconds that the backend shall wait before it answers.
            note: a word for the history.

        Returns:
            The exchange: method "TCP", status 0, the answer's last word as header ``Peer``.
        """
        identity = self._recorder.request_id()
        if not self.keep:
            self.close()
        begun = time.monotonic()
        error: Failure = ""
        detail = ""
        headers: tuple[Header, ...] = ()
        words: list[str] = []
        line = b""
        failed: OSError | None = None
        try:
            self._open(begun + self.timeout)
        except OSError as err:
            failed = err
        # A balancer of connections decides when one is opened, which is before the first line is sent.
        placed, self._placed = self._placed, None
        sent = Sent(
            id=identity,
            t=time.monotonic() if placed is None else placed,
            client=self.name,
            connection=self._id,
            source=self._seen.address,
            method="TCP",
            path="",
            headers=self._offered,
            offset=self._recorder.offset(),
            port=self._seen.port,
            note=note,
            bound=self._seen.bound,
        )
        self._recorder.add(sent)
        try:
            if failed is not None:
                raise failed
            assert self._sock is not None
            # A connection that was just opened may have had to wait for its port, for which the target has more time.
            line = self._exchange(identity, hold, max(begun + self.timeout, self._sock.deadline))
            words = answer_words(line, identity)
            headers = (("Peer", words[2]), *self._shaken)
        except (OSError, EOFError, Malformed) as err:
            error, detail = blame(err)
        exchange = record_received(
            self._recorder,
            sent,
            status=0,
            headers=headers,
            body=line,
            error=error,
            detail=detail,
            who=(words[0], words[1]) if words else ("", ""),
        )
        if error or not self.keep:
            self.close()
        return exchange

    def close(self) -> None:
        """Close with FIN; the next ``ask`` opens a new connection."""
        if self._same_port:
            self.reset()
        elif self._sock is not None:
            part(self._sock)
            self._sock = None

    def reset(self) -> None:
        """Close with RST."""
        if self._sock is not None:
            reset(self._sock)
            self._sock = None

    def __enter__(self) -> TcpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, deadline: float) -> None:
        if self._sock is None:
            if self._same_port and self._source_port is None:
                self._source_port = keep_port(self, self.endpoint, self.source, self._way)
            self._placed = time.monotonic()
            self._id, self._seen = connection_id(), self._way.foresee(self.source)
            self._seen = self._seen._replace(port=self._source_port or 0) if not self._seen.bound else self._seen
            offered = self._sessions.offered if self._sessions is not None else None
            self._offered = ((SESSION, offered.id.hex()),) if offered is not None else ()
            self._sock = open_stream(
                self.endpoint, source=self.source, source_port=self._source_port, deadline=deadline,
                resume=offered, protocol="", way=self._way,
            )  # fmt: skip
            if isinstance(self._sock, DeadlineTLSSocket):
                self._shake(self._sock)
            local = local_name(self._sock)
            self._seen = self._way.seen(local, "tcp")
            if self._same_port:
                self._source_port = local[1]

    def _shake(self, sock: DeadlineTLSSocket) -> None:
        """Notes what the handshake said."""
        session, reused = sock.session, sock.session_reused
        named = ((SESSION, session.id.hex()),) if session is not None and sock.version() == "TLSv1.2" else ()
        self._shaken = (*named, (RESUMED, "yes" if reused else "no"))
        if self._sessions is not None:
            self._sessions.keep(session)

    def _exchange(self, identity: str, hold: float | None, deadline: float) -> bytes:
        assert self._sock is not None
        self._sock.deadline = deadline
        self._sock.sendall(line_of(identity, hold))
        line = b""
        while not line.endswith(b"\n"):
            data = self._sock.recv(MAX_LINE)
            if not data:
                raise EOFError(f"connection closed {'in the middle of' if line else 'before'} the answer")
            line += data
            if len(line) > MAX_LINE:
                raise Malformed(f"an answer of more than {MAX_LINE} bytes")
        return line


def line_of(identity: str, hold: float | None) -> bytes:
    """A line of the echo protocol."""
    return f"LIMPET {identity}{'' if hold is None else f' hold={hold:g}'}\n".encode()


def answer_words(line: bytes, identity: str) -> list[str]:
    """(backend, instance, peer) of an answer.

    Raises:
        Malformed: it is none, or answers another request.
    """
    words = line.decode("utf-8", "replace").split()
    if len(words) != 5 or words[0] != "LIMPET":
        raise Malformed(f"no echo answer: {line[:80]!r}")
    if words[1] != identity:
        raise Malformed(f"an answer to request {words[1]}, not to {identity}")
    return words[2:]
