"""What passes a link of the lab: recorded by the kernel, kept for a while, written down where something went wrong.

The kernel puts packets into a ring of blocks (PACKET_MMAP, TPACKET_V3); a thread takes whole blocks from there without
looking at them, so that very many packets cost next to nothing. Only the packets of a violation are ever looked at.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from limpet.harness.model.errors import SetupFault
from limpet.harness.network.frames import End, Pair, Wanted

KEPT = 32 << 20
"""Bytes of packets that are kept of each link, the newest ones."""

WRITTEN = 8 << 20
"""Bytes of packets that are written for one scenario, the first ones."""

_BLOCK, _BLOCKS, _FRAME = 1 << 17, 32, 2048
_RETIRED = 50
"""Milliseconds after which the kernel hands over a block that is not full."""

_FLUSHED = 10 * _RETIRED / 1000
"""Seconds after which whatever was to be handed over has been."""

_SOL_PACKET, _RX_RING, _VERSION, _V3 = 263, 5, 10, 2
_ALL = 0x0003
_USER = 1
_STATUS = struct.Struct("=I")
_HEAD = struct.Struct("=II")
"""Number of packets and place of the first one; a block has them behind its status."""
_PACKET = struct.Struct("=IIIIIIH")
"""Place of the next packet, seconds, nanoseconds, bytes here, bytes on the link, status, place of the link's header."""
_ETHERNET = 1


class Packet(NamedTuple):
    """One packet as it passed the link: when (CLOCK_MONOTONIC), its length there, and what was kept of it."""

    t: float
    length: int
    frame: bytes


class Capture:
    """Records a link of the namespace that this thread is in. Thread-safe.

    Args:
        link: its name.

    Raises:
        SetupFault: this process may not (CAP_NET_RAW), or there is no such link.
    """

    def __init__(self, link: str) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as err:
            raise SetupFault(f"no packet socket can be opened: {err.strerror}", do="run as root (CAP_NET_RAW)") from err
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _V3)
            frames = _BLOCK // _FRAME * _BLOCKS
            ring = struct.pack("=7I", _BLOCK, _BLOCKS, _FRAME, frames, _RETIRED, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, ring)
            self._ring = mmap.mmap(self._socket.fileno(), _BLOCK * _BLOCKS, mmap.MAP_SHARED | mmap.MAP_POPULATE)
            self._socket.bind((link, _ALL))
        except OSError as err:
            self._socket.close()
            raise SetupFault(f"packets of {link} cannot be recorded: {err.strerror}") from err
        self._next = 0
        self._kept: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._newest = 0.0
        self._lock = threading.Lock()
        self._over = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._take, daemon=True, name="capture")
        self._thread.start()

    def write(self, path: Path, ends: Collection[End], begin: float, end: float, pairs: Collection[Pair] = ()) -> int:
        """Writes the packets of these flows that passed meanwhile; returns how many, 0 for no file.

        Times in the file are those of the history: seconds of CLOCK_MONOTONIC.

        Args:
            path: the file to make, in pcap format.
            ends: one of each flow, an address with a port.
            begin: CLOCK_MONOTONIC.
            end: CLOCK_MONOTONIC.
            pairs: both ends of further flows.

        Raises:
            OSError: the file cannot be written.
        """
        self._flush(end)
        wanted = Wanted(ends, pairs)
        with self._lock:
            blocks = list(self._kept)
        packets = (each for ahead, block in blocks for each in _packets(block, ahead))
        found = [each for each in packets if begin <= each.t <= end and wanted(each.frame)]
        return _write(path, found) if found else 0

    def frames(self, begin: float, end: float) -> list[bytes]:
        """What passed meanwhile (CLOCK_MONOTONIC), as far as it is kept, in that order."""
        self._flush(end)
        with self._lock:
            blocks = list(self._kept)
        return [each.frame for ahead, block in blocks for each in _packets(block, ahead) if begin <= each.t <= end]

    def close(self) -> None:
        """Records no more. Idempotent."""
        if self._over < 0:
            return
        os.eventfd_write(self._over, 1)
        self._thread.join()
        os.close(self._over)
        self._over = -1
        self._ring.close()
        self._socket.close()

    def _flush(self, end: float) -> None:
        """Returns when everything up to that moment has been taken from the ring."""
        deadline = time.monotonic() + _FLUSHED
        while self._newest <= end and time.monotonic() < deadline:
            time.sleep(_RETIRED / 1000)

    def _take(self) -> None:
        look = select.poll()
        look.register(self._socket, select.POLLIN)
        look.register(self._over, select.POLLIN)
        while True:
            at = self._next * _BLOCK
            if _STATUS.unpack_from(self._ring, at + 8)[0] & _USER:
                block = self._ring[at : at + _STATUS.unpack_from(self._ring, at + 20)[0]]
                _STATUS.pack_into(self._ring, at + 8, 0)  # the kernel's again
                self._next = (self._next + 1) % _BLOCKS
                self._keep(block)
            elif any(number == self._over for number, _ in look.poll()):
                return

    def _keep(self, block: bytes) -> None:
        ahead = time.time() - time.monotonic()  # the clock of packets, beside that of histories
        with self._lock:
            self._kept.append((ahead, block))
            self._size += len(block)
            while self._size > KEPT:
                self._size -= len(self._kept.popleft()[1])
            seconds, nanoseconds = _HEAD.unpack_from(block, 40)
            self._newest = seconds + nanoseconds / 1e9 - ahead


def _packets(block: bytes, ahead: float) -> Iterator[Packet]:
    count, at = _HEAD.unpack_from(block, 12)
    for _ in range(count):
        step, seconds, nanoseconds, here, length, _status, start = _PACKET.unpack_from(block, at)
        frame = block[at + start : at + start + here]
        yield Packet(seconds + nanoseconds / 1e9 - ahead, length, frame)
        at += step


def _write(path: Path, packets: list[Packet]) -> int:
    from scapy.utils import RawPcapWriter

    count, size = 0, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with RawPcapWriter(str(path), linktype=_ETHERNET) as writer:
        writer.write_header(None)
        for each in packets:
            size += len(each.frame)
            if size > WRITTEN:
                break
            seconds = int(each.t)
            writer.write_packet(each.frame, sec=seconds, usec=int((each.t - seconds) * 1e6), wirelen=each.length)
            count += 1
    return count
