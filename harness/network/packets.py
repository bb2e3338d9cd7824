"""Packets from addresses that nobody has: datagrams of limpet's echo protocol, sent in bulk, and SYNs; made by scapy.

scapy makes one packet of each shape. Very many differ from it in a few bytes only, so a raw socket sends patched
copies; making each by scapy would take a hundred times as long.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from limpet.harness.model.errors import SetupFault

Shape = Literal["plain", "near", "far", "fragments"]
SHAPES: tuple[Shape, ...] = ("plain", "near", "far", "fragments")
"""As hosts send them (TTL 64); with few hops left, which just do in a lab; from next door (TTL 255); in fragments."""

_TTL: dict[Shape, int] = {"plain": 64, "near": 255, "far": 8, "fragments": 64}
_ID_LENGTH = 16
_SOURCE = slice(12, 16)
_IDENTIFICATION = slice(4, 6)
_HEADER = 20
_UDP = 8
_SYN, _ACK = 0x02, 0x10
_WORD = len(b"LIMPET ")


class Datagrams:
    """Sends lines of the echo protocol in datagrams whose source is anybody's. For one thread.

    Nothing comes back from there: who asks knows from the backends' records what has arrived.

    Args:
        sock: a raw socket, which belongs to this object from now on.
        to: address and port of the balancer, IPv4.
    """

    def __init__(self, sock: socket.socket, to: tuple[str, int]) -> None:
        self._socket = sock
        self._to = to
        self._shapes = {shape: _made(to, shape) for shape in SHAPES}
        self._numbers = itertools.cycle(range(1, 65536))

    def send(self, source: str, port: int, request: str, shape: Shape = "plain") -> None:
        """Sends one request.

        Args:
            source: the address that it seems to come from.
            port: the port likewise.
            request: its id, 16 ASCII characters: every datagram is as long as the others of its shape.
            shape: what it looks like.

        Raises:
            SetupFault: the kernel does not take it.
        """
        number = struct.pack("!H", next(self._numbers))
        address = socket.inet_aton(source)
        for packet in self._patched(shape, struct.pack("!H", port), request.encode("ascii")):
            packet[_SOURCE] = address
            packet[_IDENTIFICATION] = number  # by which the parts of one datagram are put together again
            try:
                self._socket.sendto(packet, self._to)
            except OSError as err:
                raise SetupFault(f"a datagram from {source} cannot be sent: {err.strerror}") from err

    def close(self) -> None:
        """Sends no more. Idempotent."""
        self._socket.close()

    def _patched(self, shape: Shape, port: bytes, request: bytes) -> Iterator[bytearray]:
        if len(request) != _ID_LENGTH:
            raise ValueError(f"ids have {_ID_LENGTH} characters, not {len(request)}")
        packets = self._shapes[shape]
        first = bytearray(packets[0])
        first[_HEADER : _HEADER + 2] = port
        at = _HEADER + _UDP + _WORD
        here = len(first) - at
        first[at:] = (request + b"\n")[:here] if len(packets) > 1 else request + b"\n"
        yield first
        if len(packets) > 1:
            second = bytearray(packets[1])
            second[_HEADER:] = (request + b"\n")[here:]
            yield second


def raw_socket() -> socket.socket:
    """A socket for whole IPv4 packets, in the namespace that this thread is in.

    Raises:
        SetupFault: this process may not (CAP_NET_RAW).
    """
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except OSError as err:
        raise SetupFault(f"no raw socket can be opened: {err.strerror}", do="run as root (CAP_NET_RAW)") from err
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    return sock


class Syns:
    """Sends the first packets of TCP connections that will never be any. For one thread.

    Args:
        sock: a raw socket, which belongs to this object from now on.
        to: address and port of the balancer, IPv4.
    """

    def __init__(self, sock: socket.socket, to: tuple[str, int]) -> None:
        self._socket = sock
        self._to = to

    def send(self, source: str, port: int, sequence: int, ttl: int) -> None:
        """Sends one.

        Args:
            source: the address that it seems to come from.
            port: the port likewise.
            sequence: its number, by which it is found again behind whoever translates addresses.
            ttl: hops that it has left.

        Raises:
            SetupFault: the kernel does not take it.
        """
        from scapy.layers.inet import IP, TCP

        made = IP(src=source, dst=self._to[0], ttl=ttl) / TCP(sport=port, dport=self._to[1], flags="S", seq=sequence)
        try:
            self._socket.sendto(bytes(made), self._to)
        except OSError as err:
            raise SetupFault(f"a SYN from {source} cannot be sent: {err.strerror}") from err

    def close(self) -> None:
        """Sends no more. Idempotent."""
        self._socket.close()


@dataclass(frozen=True)
class Syn:
    """One that passed a link: its number, where it came from and where it went."""

    sequence: int
    source: tuple[str, int]
    target: tuple[str, int]


def syns_in(frames: Iterable[bytes]) -> Iterator[Syn]:
    """The SYNs among Ethernet frames, IPv4 and without an ACK."""
    for frame in frames:
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
            continue
        at = 14 + 4 * (frame[14] & 0x0F)
        leaves, arrives, sequence = struct.unpack_from("!HHI", frame, at)
        if frame[at + 13] & (_SYN | _ACK) == _SYN:
            source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
            yield Syn(sequence, (source, leaves), (target, arrives))


def _made(to: tuple[str, int], shape: Shape) -> list[bytes]:
    """One datagram of a shape, as the packets that it takes. Addresses, port and id are to be filled in."""
    from scapy.layers.inet import IP, UDP
    from scapy.packet import Raw

    line = b"LIMPET " + b"0" * _ID_LENGTH + b"\n"
    # No checksum of UDP's own (0 means that, RFC 768): it would be another one for each copy.
    whole = IP(src="0.0.0.0", dst=to[0], ttl=_TTL[shape], id=1) / UDP(sport=1, dport=to[1], chksum=0) / Raw(line)
    parts = whole.fragment(16) if shape == "fragments" else [whole]  # type: ignore[no-untyped-call]
    return [bytes(each) for each in parts]
