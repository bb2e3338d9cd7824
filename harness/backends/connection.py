"""What HTTP and TCP connections of a backend share: answers in order, each at its time, and ways to die."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from typing import NamedTuple, cast

from limpet.harness.backends.state import BackendState

LINGER_ZERO = struct.pack("ii", 1, 0)
LAST_WORDS = 2.0
MANY = 100


class Answer(NamedTuple):
    """Bytes to send, not before `due` (CLOCK_MONOTONIC); `close` ends the connection afterwards."""

    due: float
    data: bytes
    close: bool


def abort_with_reset(connection: socket.socket) -> None:
    """Make the next close of this socket send RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)


class Connection(asyncio.Protocol):
    """One accepted connection. Subclasses read; this class answers."""

    def __init__(self, state: BackendState) -> None:
        self.state = state
        self.id = ""
        self.peer = ""
        self._transport: asyncio.Transport | None = None
        self._answers: deque[Answer] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._silent = False
        self._full = False
        self._ending = False
        self._half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know the visitor."""
        self._transport = cast("asyncio.Transport", transport)
        self.id = self.state.next_connection()
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if address else ""
        self.state.connections.add(self)
        self.follow()

    def follow(self) -> None:
        """Do what the backend's present fault asks of an open connection."""
        way = self.state.faults.way
        if way == "reset":
            self.reset()
        elif way == "accept-close":
            self.finish()
        elif way == "blackhole":
            self.silence()
        else:
            self.speak()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was still to be answered."""
        self.state.connections.discard(self)
        self._answers.clear()
        self._cancel()
        if self._closing is not None:
            self._closing.cancel()  # nearly every visitor closes first: nobody need be woken for it once more
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Discard what comes after the last answer; else read it."""
        if not self._ending:
            self.read(data)

    def read(self, data: bytes) -> None:
        """Take in bytes of the client."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The client will say no more: send what is owed, then close."""
        self._half_closed = True
        if self._ending or self._transport is None:
            return False
        return bool(self._answers)

    def answer(self, data: bytes, *, hold: float = 0.0, close: bool = False) -> None:
        """Send `data` after `hold` seconds, and after everything that was to be sent before it."""
        now = time.monotonic()
        self._answers.append(Answer(now + hold + self.state.faults.delay, data, close))
        self._send(now)
        if len(self._answers) >= MANY and not self._full and self._transport is not None:
            self._full = True
            self._transport.pause_reading()

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be answered."""
        return not self._answers

    def _send(self, now: float) -> None:
        self._cancel()
        if self._silent or self._transport is None:
            return
        answers = self._answers
        while answers and answers[0].due <= now and not self._ending:
            first = answers.popleft()
            self._transport.write(first.data)
            if first.close:
                self.finish()
        if self._ending or self._transport is None:
            return
        if answers:
            # uvloop's timers count whole milliseconds and may fire early: never answer before the time, look again.
            self._timer = asyncio.get_running_loop().call_later(max(answers[0].due - now, 0.001), self._wake)
            return
        if self._full:
            self._full = False
            self._transport.resume_reading()
        if self._half_closed:
            self._transport.close()
        else:
            self.answered()

    def answered(self) -> None:
        """Everything owed was sent. For subclasses."""

    def _wake(self) -> None:
        self._timer = None
        self._send(time.monotonic())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def finish(self) -> None:
        """End with FIN, then read on for a while: closing with unread data would send RST and destroy the answer."""
        transport = self._transport
        if transport is None or self._ending:
            return
        self._ending = True
        self._answers.clear()
        self._cancel()
        if self._half_closed:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:  # TLS says goodbye when it is closed
            transport.close()
            return
        self._closing = asyncio.get_running_loop().call_later(LAST_WORDS, transport.close)

    def reset(self) -> None:
        """End with RST at once."""
        if self._transport is not None:
            abort_with_reset(self._transport.get_extra_info("socket"))
            self._transport.abort()

    def silence(self) -> None:
        """Neither read nor answer until `speak`; the connection stays."""
        self._silent = True
        self._cancel()
        if self._transport is not None:
            self._transport.pause_reading()

    def speak(self) -> None:
        """Go on where `silence` began."""
        if not self._silent:
            return
        self._silent = False
        if self._transport is not None and not self._full:
            self._transport.resume_reading()
        self._send(time.monotonic())
