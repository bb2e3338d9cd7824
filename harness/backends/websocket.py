"""What the backend says after an upgrade to WebSocket: who it is, to every message (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LONGEST = 1024 * 1024


class Frame(NamedTuple):
    """One unfragmented frame."""

    opcode: int
    payload: bytes


class BadFrame(ValueError):
    """Bytes that are no such frame of a client."""


def accept(key: str) -> str:
    """The answer to a handshake's key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode()


def render(opcode: int, payload: bytes) -> bytes:
    """A frame of a server, which is not masked."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


class FrameReader:
    """Feed it bytes, get whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now.

        Raises:
            BadFrame: fragmented, not masked, or too long.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if not buffer[0] & 0x80 or not buffer[1] & 0x80:
            raise BadFrame("only whole, masked messages are read here")
        size, begin = buffer[1] & 0x7F, 2
        for mark, width in ((126, 2), (127, 8)):
            if size == mark:
                if len(buffer) < 2 + width:
                    return None
                size, begin = int.from_bytes(buffer[2 : 2 + width]), 2 + width
                break
        if size > LONGEST:
            raise BadFrame(f"a message of {size} bytes")
        end = begin + 4 + size
        if len(buffer) < end:
            return None
        mask, masked = buffer[begin : begin + 4], buffer[begin + 4 : end]
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        opcode = buffer[0] & 15
        del buffer[:end]
        return Frame(opcode, payload)
