"""Whose packet is it: the ends of what an Ethernet frame carries, as far as telling flows apart takes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

End = tuple[str, int]
"""An address and a port."""
Pair = tuple[End, End]
"""Both ends of a connection or flow, in any order."""
_ETHERNET = 14
_V4, _V6 = 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _ICMP_V6 = 1, 6, 17, 58
_OFFSET = 0x1FFF


def end_of(text: str) -> End:
    """The end that is written ``ADDRESS:PORT``."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


class Wanted:
    """Tells the packets of some flows: from or to one of the ends, further fragments of those, and errors about them.

    Packets have to come in the order in which they passed the link.

    Args:
        ends: one of each flow, where that has one which is nobody else's.
        pairs: both of each flow, where several may share one end: a balancer may use a port towards each backend once.
    """

    def __init__(self, ends: Collection[End], pairs: Collection[Pair] = ()) -> None:
        self._ends = frozenset(map(_packed, ends))
        self._pairs = frozenset(frozenset(map(_packed, pair)) for pair in pairs)
        self._parts: set[bytes] = set()

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame carries one."""
        try:
            (kind,) = struct.unpack_from("!H", frame, _ETHERNET - 2)
            if kind == _V4:
                return self._v4(frame, _ETHERNET)
            return kind == _V6 and self._v6(frame, _ETHERNET)
        except (struct.error, IndexError):  # shorter than its headers say
            return False

    def _v4(self, frame: bytes, at: int, *, quoted: bool = False) -> bool:
        protocol, (pieces,) = frame[at + 9], struct.unpack_from("!H", frame, at + 6)
        source, target = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        part = frame[at + 4 : at + 6] + bytes([protocol]) + source + target
        if pieces & _OFFSET:
            return part in self._parts
        inner = at + 4 * (frame[at] & 0x0F)
        if protocol == _ICMP:
            return not quoted and frame[inner] == 3 and self._v4(frame, inner + 8, quoted=True)
        found = self._between(frame, inner, protocol, source, target)
        if found and pieces:
            self._parts.add(part)
        return found

    def _v6(self, frame: bytes, at: int, *, quoted: bool = False) -> bool:
        protocol, source, target = frame[at + 6], frame[at + 8 : at + 24], frame[at + 24 : at + 40]
        if protocol == _ICMP_V6:
            return not quoted and frame[at + 40] == 1 and self._v6(frame, at + 48, quoted=True)
        return self._between(frame, at + 40, protocol, source, target)

    def _between(self, frame: bytes, at: int, protocol: int, source: bytes, target: bytes) -> bool:
        if protocol not in (_TCP, _UDP):
            return False
        leaves, arrives = struct.unpack_from("!HH", frame, at)
        one, other = (source, leaves), (target, arrives)
        return one in self._ends or other in self._ends or frozenset((one, other)) in self._pairs


def _packed(end: End) -> tuple[bytes, int]:
    address, port = end
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address), port
