"""limpet's echo protocol in datagrams: each line of it, and each answer, is a datagram of its own.

A backend that speaks UDP listens on the same port for TCP too, for health checks and for limpet itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from typing import Any

from limpet.harness.backends.echo import ERROR, LONGEST, parse_line
from limpet.harness.backends.state import BackendState
from limpet.harness.model.errors import HarnessFault

BURST = 256
"""Datagrams read before others get their turn."""
BUFFER = 4 * 1024 * 1024


def udp_socket(host: str, port: int) -> socket.socket:
    """A bound datagram socket that no child process inherits.

    Raises:
        OSError: the address is in use or not this machine's.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # the kernel gives what it allows
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a datagram: what stands for its connection in the history, and its address and port."""

    id: str
    peer: str


class Datagrams:
    """Answers datagrams on one port, or does to them what the backend's present fault says.

    Args:
        state: of the backend.
        bound: the socket, which belongs to this object from now on.
    """

    def __init__(self, state: BackendState, bound: socket.socket) -> None:
        self._state = state
        self._socket: socket.socket | None = bound
        self._address: tuple[str, int] = bound.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._owed: set[asyncio.TimerHandle] = set()
        self._reading = False

    def follow(self) -> None:
        """Listen, unless the present fault is ``reset``: the kernel then answers for a port that nobody has (ICMP).

        Raises:
            HarnessFault: somebody else has taken the port meanwhile.
        """
        if self._state.faults.way == "reset":
            self.close()
            return
        if self._socket is None:
            try:
                self._socket = udp_socket(*self._address)
            except OSError as err:
                where = f"{self._address[0]}:{self._address[1]}"
                raise HarnessFault(f"the UDP port cannot be had again: {err.strerror}", where=where) from err
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket, self._read)

    def begin_anew(self) -> None:
        """Owe nobody an answer: neither whose datagram was read, nor whose still waits to be."""
        for handle in self._owed:
            handle.cancel()
        self._owed.clear()
        while self._socket is not None:
            try:
                self._socket.recvfrom(65536)
            except OSError:
                break
        self.follow()

    def close(self) -> None:
        """Listen no more."""
        bound, self._socket = self._socket, None
        if bound is not None:
            if self._reading:
                self._loop.remove_reader(bound)
                self._reading = False
            bound.close()

    def _read(self) -> None:
        for _ in range(BURST):
            if self._socket is None:
                return
            try:
                data, peer = self._socket.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # what became of an earlier answer
            if self._state.faults.way == "normal":
                self._answer(data, peer)

    def _answer(self, data: bytes, peer: Any) -> None:
        line = data.decode("latin-1").rstrip("\r\n")
        said = parse_line(line) if len(data) <= LONGEST and "\n" not in line else None
        if said is None:
            self._send(ERROR, peer)
            return
        state = self._state
        shown = f"{peer[0]}:{peer[1]}"
        visitor = Visitor(f"{state.instance}-udp-{shown}", shown)
        state.arrived(said.request, visitor, method="UDP", path="", body_bytes=len(data))
        text = f"LIMPET {said.request} {state.options.name} {state.instance} {shown}\n".encode("latin-1")
        self._send_at(time.monotonic() + said.hold + state.faults.delay, text, peer)

    def _send_at(self, due: float, data: bytes, peer: Any) -> None:
        left = due - time.monotonic()
        if left <= 0:
            self._send(data, peer)
            return

        def wake() -> None:
            # uvloop's timers count whole milliseconds and may fire early: look again.
            self._owed.discard(handle)
            self._send_at(due, data, peer)

        handle = self._loop.call_later(max(left, 0.001), wake)
        self._owed.add(handle)

    def _send(self, data: bytes, peer: Any) -> None:
        if self._socket is not None and self._state.faults.way == "normal":
            with contextlib.suppress(OSError):  # lost, as datagrams may be
                self._socket.sendto(data, peer)
