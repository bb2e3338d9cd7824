"""A WebSocket over a raw connection: text messages, one at a time (RFC 6455)."""

from __future__ import annotations

import base64
import secrets
import struct
import time

from limpet.harness.clients.base import Exchange
from limpet.harness.clients.raw import RawConnection
from limpet.harness.model.history import Header

_TEXT, _CLOSE, _PING = 1, 8, 9


def handshake_headers() -> tuple[Header, ...]:
    """What a client's opening handshake carries besides the request's own headers (section 4.1)."""
    return (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(secrets.token_bytes(16)).decode()),
    )


class WebSocket:
    """The conversation on a connection whose handshake was answered.

    Args:
        connection: nobody else may use it any more.
        opened: the handshake; the conversation is possible where its status is 101.
    """

    def __init__(self, connection: RawConnection, opened: Exchange) -> None:
        self._connection = connection
        self._buffer = b""
        self.opened = opened

    @property
    def agreed(self) -> bool:
        """Whether the balancer switched protocols."""
        return self.opened.status == 101 and not self.opened.error

    def ask(self, text: str, timeout: float) -> str:
        """Sends a message and gives the next one that comes; "" when none comes in so many seconds."""
        self._connection.send_bytes(_masked(_TEXT, text.encode()))
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            frame = self._frame()
            if frame is not None:
                opcode, payload = frame
                if opcode == _TEXT:
                    return payload.decode("utf-8", "replace")
                if opcode == _CLOSE:
                    return ""
                continue
            data = self._connection.read_some(max(0.001, deadline - time.monotonic()))
            if not data:
                return ""
            self._buffer += data
        return ""

    def close(self) -> None:
        """Says goodbye and closes the connection."""
        self._connection.send_bytes(_masked(_CLOSE, struct.pack("!H", 1000)))
        self._connection.close()

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, begin = data[1] & 0x7F, 2
        if size in (126, 127):
            width = 2 if size == 126 else 8
            if len(data) < 2 + width:
                return None
            size, begin = int.from_bytes(data[2 : 2 + width]), 2 + width
        if len(data) < begin + size:
            return None
        self._buffer = data[begin + size :]
        return data[0] & 15, data[begin : begin + size]


def _masked(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client; messages of this client are short."""
    mask = secrets.token_bytes(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    if len(payload) < 126:
        return struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) + mask + masked
    return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload)) + mask + masked
