"""What comes in fragments is placed without its port and by another table, away from the rest of its flow."""

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
CAUGHT_BY = ("network.forged-packets[[]fragments]",)
_ALL_IPV4 = 0x0800
_MORE, _OFFSET = 0x2000, 0x1FFF


class ByPieces(KeyReaderAround):
    """Looks at packets as they come in, before the kernel puts them together."""

    def __init__(self, inner: KeyReader, activated: Callable[[], None]) -> None:
        super().__init__(inner)
        self._activated = activated
        self._copies = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IPV4))
        self._copies.setblocking(False)
        self._pieces: dict[tuple[str, int], bool] = {}

    def read(self, request: RequestHead) -> Sequence[str]:
        """The key; of what came in pieces another one."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._copies.recv(128)
                (parts,) = struct.unpack_from("!H", packet, 6)
                if packet[9] == socket.IPPROTO_UDP and not parts & _OFFSET:
                    (port,) = struct.unpack_from("!H", packet, 4 * (packet[0] & 0x0F))
                    self._pieces[socket.inet_ntoa(packet[12:16]), port] = bool(parts & _MORE)
        keys = self.inner.read(request)
        if not self._pieces.get((request.source, request.port)):
            return keys
        self._activated()
        return tuple(f"{key} in pieces" for key in keys)


def fault(parts: Parts, activated: Callable[[], None]) -> Parts:
    """Needs CAP_NET_RAW, as the lab does."""
    return replace(parts, key_reader=ByPieces(parts.key_reader, activated))
