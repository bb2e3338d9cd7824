"""Very many users whose connections are all open at the same time: one thread, one epoll, no event loop.

Each has an address of its own and asks on its connection again and again, without cookies; HTTP/1.1 without TLS, or
limpet's echo protocol. A request that fails has no end in the history: whoever has thousands of connections to serve
may lawfully turn some away or be late, which says nothing of where a pin leads. They are counted instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from limpet.harness.clients.base import REQUEST_HEADER, Endpoint, Recorder, record_received
from limpet.harness.clients.sockets import blame, bound_socket, connection_id, local_fault, local_name
from limpet.harness.clients.tcp import MAX_LINE, answer_words, line_of
from limpet.harness.clients.wire import Malformed, ResponseParser
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Header, Sent

BUSY = 128
"""Members that connect or wait for an answer at the same time; the others are connected and idle."""


class PatientRecorder(Recorder, Protocol):
    """A history that can leave a request without an end."""

    def abandon(self) -> None:
        """One request in flight will never be waited for."""


@dataclass(slots=True)
class Member:
    """One user; ``backend`` and ``instance`` are who answered last, "" where nobody did."""

    name: str
    source: str
    backend: str = ""
    instance: str = ""
    sock: socket.socket | None = field(default=None, repr=False)
    connection: str = ""
    _sent: Sent | None = field(default=None, repr=False)
    _placed: float | None = field(default=None, repr=False)
    _deadline: float = 0.0
    _line: bytes = b""
    _parser: ResponseParser | None = field(default=None, repr=False)
    _asked: int = 0


class Swarm:
    """The connections of many users. For one thread.

    Args:
        endpoint: the balancer: http, or tcp for the echo protocol.
        recorder: where the history goes.
        members: who; each name and address once.
        timeout: seconds for each connect and each answer.
        path: what is asked for, where that is HTTP.
        headers: sent with each request, where that is HTTP.

    Raises:
        HarnessFault: the endpoint speaks something else.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: PatientRecorder,
        members: Sequence[Member],
        *,
        timeout: float = 20.0,
        path: str = "/",
        headers: Sequence[Header] = (),
    ) -> None:
        if endpoint.scheme not in ("http", "tcp") or endpoint.proxy_protocol:
            raise HarnessFault(f"a swarm speaks plain HTTP or the echo protocol, not {endpoint.scheme}")
        self.members = members
        self.failed: Counter[str] = Counter()
        self.ended_early = 0
        self._endpoint, self._recorder = endpoint, recorder
        self._timeout = timeout
        self._path = path
        self._headers = (("Host", endpoint.authority), *headers)
        self._poll = select.epoll()
        self._by_descriptor: dict[int, Member] = {}
        self._busy: dict[int, Member] = {}

    @property
    def open(self) -> int:
        """How many connections stand."""
        return len(self._by_descriptor)

    def connect(self, members: Iterable[Member], *, then_close: bool = False) -> None:
        """Opens a connection for each and asks on it; it stays open, unless ``then_close``.

        Raises:
            SetupFault: this machine cannot (no such address, no descriptors left).
        """
        self._work(deque(members), self._begin, self._end if then_close else None)

    def ask(self, members: Iterable[Member]) -> None:
        """Asks once more on each connection that still stands.

        One that the balancer has ended meanwhile, while nothing was asked on it, is counted in ``ended_early``.
        """
        self._work(deque(each for each in members if each.sock is not None), self._again, None)

    def close(self) -> None:
        """Closes all connections. Idempotent."""
        for member in list(self._by_descriptor.values()):
            self._end(member)
        if not self._poll.closed:
            self._poll.close()

    def _work(
        self, todo: deque[Member], begin: Callable[[Member], None], after: Callable[[Member], None] | None
    ) -> None:
        while todo or self._busy:
            while todo and len(self._busy) < BUSY:
                begin(todo.popleft())
            for descriptor, event in self._poll.poll(0.25, 1024):
                member = self._by_descriptor.get(descriptor)
                if member is None:
                    continue
                if descriptor not in self._busy:
                    self._idle(member)
                elif self._step(member, event) and after is not None:
                    after(member)
            now = time.monotonic()
            for member in [each for each in self._busy.values() if now > each._deadline]:
                self._failed(member, TimeoutError("the deadline has passed"))

    def _begin(self, member: Member) -> None:
        self._end(member)
        member.connection, member._placed, member._asked = connection_id(), time.monotonic(), 0
        member._deadline = member._placed + self._timeout
        sock, address = bound_socket(socket.socket, self._endpoint, member.source)
        sock.setblocking(False)
        member.sock = sock
        self._by_descriptor[sock.fileno()] = self._busy[sock.fileno()] = member
        self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._failed(member, OSError(code, os.strerror(code)))

    def _again(self, member: Member) -> None:
        assert member.sock is not None
        member._placed = None
        member._deadline = time.monotonic() + self._timeout
        self._busy[member.sock.fileno()] = member
        self._ask(member)

    def _step(self, member: Member, event: int) -> bool:
        """What happened to a busy member; whether its answer is complete now."""
        assert member.sock is not None
        try:
            if member._sent is None:
                code = member.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                if not event & select.EPOLLOUT:
                    return False
                self._poll.modify(member.sock, select.EPOLLIN)
                self._ask(member)
                return False
            data = member.sock.recv(65536)
            if not data:
                raise EOFError("connection closed before the answer was complete")
            return self._read(member, data)
        except BlockingIOError:
            return False
        except (OSError, EOFError, Malformed) as err:
            self._failed(member, err)
            return False

    def _ask(self, member: Member) -> None:
        assert member.sock is not None
        identity = self._recorder.request_id()
        now = time.monotonic()
        echo = self._endpoint.scheme == "tcp"
        local = local_name(member.sock)
        headers = () if echo else (*self._headers, (REQUEST_HEADER, identity))
        # A balancer of connections decides when one is opened, which is before the first line is sent.
        at = member._placed if echo and member._placed is not None else now
        member._sent = Sent(
            id=identity,
            t=at,
            client=member.name,
            connection=member.connection,
            source=local[0],
            method="TCP" if echo else "GET",
            path="" if echo else self._path,
            headers=headers,
            offset=self._recorder.offset(),
            port=local[1],
        )
        member._asked += 1
        member._line, member._parser = b"", None if echo else ResponseParser()
        self._recorder.add(member._sent)
        if echo:
            data = line_of(identity, None)
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            data = f"GET {self._path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        try:
            member.sock.sendall(data)
        except OSError as err:
            self._failed(member, err)

    def _read(self, member: Member, data: bytes) -> bool:
        assert member._sent is not None
        if member._parser is not None:
            member._parser.feed(data)
            if not member._parser.done:
                return False
            parser = member._parser
            if parser.status >= 500:
                self._gone(member, str(parser.status))
                return False
            found = record_received(
                self._recorder, member._sent, status=parser.status, headers=parser.headers, body=parser.body
            )
            keep = parser.keep_alive and not parser.rest
        else:
            member._line += data
            if not member._line.endswith(b"\n"):
                if len(member._line) > MAX_LINE:
                    raise Malformed(f"an answer of more than {MAX_LINE} bytes")
                return False
            words = answer_words(member._line, member._sent.id)
            found = record_received(
                self._recorder, member._sent, headers=(("Peer", words[2]),), body=member._line, who=(words[0], words[1])
            )
            keep = True
        member.backend, member.instance, member._sent = found.backend, found.instance, None
        self._rest(member)
        if not keep:
            self._end(member)
        return True

    def _idle(self, member: Member) -> None:
        """The balancer ends a connection on which nobody has asked anything, which it may."""
        self.ended_early += 1
        self._end(member)

    def _failed(self, member: Member, err: BaseException) -> None:
        fault = local_fault(err, member.source, self._endpoint) if isinstance(err, OSError) else None
        if fault is not None:
            raise fault from err
        self._gone(member, blame(err)[0])

    def _gone(self, member: Member, why: str) -> None:
        """Its request has no end."""
        if member._sent is not None:
            self._recorder.abandon()
            member._sent = None
        self.failed[why] += 1
        member.backend = member.instance = ""
        self._end(member)

    def _rest(self, member: Member) -> None:
        if member.sock is not None:
            self._busy.pop(member.sock.fileno(), None)

    def _end(self, member: Member) -> None:
        sock, member.sock = member.sock, None
        if sock is None:
            return
        self._busy.pop(sock.fileno(), None)
        self._by_descriptor.pop(sock.fileno(), None)
        with contextlib.suppress(OSError):
            self._poll.unregister(sock)
        sock.close()
