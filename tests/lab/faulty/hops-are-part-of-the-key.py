"""Hops left are hashed with the address: who is reached by another route in mid-session is somebody else's client."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from limpet.reference_lb.parts.delegates import KeyReaderAround
from limpet.reference_lb.parts.protocols import KeyReader, Parts
from limpet.reference_lb.parts.records import RequestHead

CLASSES = (26,)
TARGETS = ("reference-udp-source-ip", "reference-udp-flow")
PROVOKES = "moved"
CAUGHT_BY = ("network.forged-packets[[]ttl]",)


class WithHops(KeyReaderAround):
    """Looks at the headers of what the kernel hands over: a raw socket has a copy before the other socket has it."""

    def __init__(self, inner: KeyReader, activated: Callable[[], None]) -> None:
        super().__init__(inner)
        self._activated = activated
        self._copies = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self._copies.setblocking(False)
        self._hops: dict[tuple[str, int], int] = {}

    def read(self, request: RequestHead) -> Sequence[str]:
        """The key, and how many hops are left."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._copies.recv(128)
                (port,) = struct.unpack_from("!H", packet, 4 * (packet[0] & 0x0F))
                self._hops[socket.inet_ntoa(packet[12:16]), port] = packet[8]
        hops = self._hops.get((request.source, request.port), 0)
        self._activated()
        return tuple(f"{key} {hops}" for key in self.inner.read(request))


def fault(parts: Parts, activated: Callable[[], None]) -> Parts:
    """Needs CAP_NET_RAW, as the lab does."""
    return replace(parts, key_reader=WithHops(parts.key_reader, activated))
