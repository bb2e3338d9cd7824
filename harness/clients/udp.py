"""The client of a UDP service: limpet's echo protocol, each line and each answer a datagram of its own.

Datagrams may be lost: an answer that does not come in time is an exchange with the error ``timeout``. Nothing is ever
sent again, since the same id twice would look like the balancer's doing.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from limpet.harness.clients.base import Endpoint, Exchange, Failure, Recorder, record_received
from limpet.harness.clients.sockets import blame, connection_id, local_fault, local_name, once_free, resolved
from limpet.harness.clients.tcp import answer_words, line_of
from limpet.harness.clients.way import STRAIGHT, Seen, Way
from limpet.harness.clients.wire import Malformed
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Header, Sent

LARGEST = 65536


class UdpClient:
    """One simulated user of a UDP service. Not for several threads at once.

    Args:
        endpoint: the balancer.
        recorder: where the history goes.
        name: who this is, in the history.
        source: local address, None for the kernel's choice.
        source_port: fixed local port, None for an ephemeral one.
        timeout: seconds that an answer may take.
        keep: keep the socket, and so the flow, between asks; False opens a new one for each.
        same_port: every new socket takes the port of the first one, so that its flow goes on.
        way: what is between it and the balancer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: Recorder,
        *,
        name: str,
        source: str | None = None,
        source_port: int | None = None,
        timeout: float = 5.0,
        keep: bool = True,
        same_port: bool = False,
        way: Way = STRAIGHT,
    ) -> None:
        self.endpoint = endpoint
        self.name = name
        self.source = source
        self.timeout = timeout
        self.keep = keep
        self._source_port = source_port
        self._same_port = same_port
        self._recorder = recorder
        self._sock: socket.socket | None = None
        self._id = ""
        self._way = way
        self._seen: Seen = way.foresee(source)

    def ask(self, hold: float | None = None, *, note: str = "") -> Exchange:
        """Ask whatever backend the datagram reaches who it is.

        Args:
            hold: seconds that the backend shall wait before it answers.
            note: a word for the history.

        Returns:
            The exchange: method "UDP", status 0, the answer's last word as header ``Peer``; the id of the socket stands
            for a connection's.

        Raises:
            SetupFault: this machine cannot send.
        """
        identity = self._recorder.request_id()
        if not self.keep:
            self.close()
        error: Failure = ""
        detail = ""
        headers: tuple[Header, ...] = ()
        words: list[str] = []
        data = b""
        sock = self._open()
        begun = time.monotonic()
        sent = Sent(
            id=identity,
            t=begun,
            client=self.name,
            connection=self._id,
            source=self._seen.address,
            method="UDP",
            path="",
            offset=self._recorder.offset(),
            port=self._seen.port,
            note=note,
            bound=self._seen.bound,
        )
        self._recorder.add(sent)
        try:
            data, words = self._exchange(sock, line_of(identity, hold), identity, begun + self.timeout)
            headers = (("Peer", words[2]),)
        except (OSError, Malformed) as err:
            error, detail = blame(err)
        exchange = record_received(
            self._recorder,
            sent,
            status=0,
            headers=headers,
            body=data,
            error=error,
            detail=detail,
            who=(words[0], words[1]) if words else ("", ""),
        )
        if not self.keep:
            self.close()
        return exchange

    def close(self) -> None:
        """Close the socket; the next ``ask`` opens a new one, at another port unless it is fixed."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __enter__(self) -> UdpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> socket.socket:
        if self._sock is not None:
            return self._sock
        family = 0 if self.source is None else (socket.AF_INET6 if ":" in self.source else socket.AF_INET)
        family, address = resolved(self._way.towards(self.endpoint), family)
        sock = once_free(lambda: self._bound(family, address), same_port=bool(self._source_port))
        local = local_name(sock)
        self._sock, self._id, self._seen = sock, connection_id(), self._way.seen(local, "udp")
        if self._same_port:
            self._source_port = local[1]
        return sock

    def _bound(self, family: int, address: tuple[Any, ...]) -> socket.socket:
        sock: socket.socket | None = None
        try:
            with self._way.place():
                sock = socket.socket(family, socket.SOCK_DGRAM)
                if self.source or self._source_port:
                    anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
                    sock.bind((self.source or anywhere, self._source_port or 0))
                sock.connect(address)
                return sock
        except OSError as err:
            if sock is not None:
                sock.close()
            fault = local_fault(err, self.source, self.endpoint)
            raise (fault or SetupFault(f"cannot send from {self.source}: {err}")) from err

    def _exchange(self, sock: socket.socket, line: bytes, identity: str, deadline: float) -> tuple[bytes, list[str]]:
        sock.settimeout(self.timeout)
        try:
            sock.send(line)
        except ConnectionRefusedError:
            sock.send(line)  # that was told about an earlier datagram
        while True:
            # What has already arrived may still be read: a pause of this process is not the target's fault.
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = sock.recv(LARGEST)
            words = data.decode("utf-8", "replace").split()
            if len(words) == 5 and words[0] == "LIMPET" and words[1] != identity:
                continue  # the late answer to an earlier request, which was given up
            return data, answer_words(data, identity)
