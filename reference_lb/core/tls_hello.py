"""The session id in the first flight of TLS, read on the way past: nothing is decrypted, and nothing changed.

RFC 5246 (TLS 1.2) section 7.4.1: a client offers the session that it wants to go on with, a server says which one it
is. In TLS 1.3 (RFC 8446) the field is kept for old middleboxes and names no session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LONGEST = 16_384
"""Bytes of a hello at the most; what is longer is taken for none."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_HELLO = 2
_SUPPORTED_VERSIONS = b"\x00\x2b"
_TLS_1_3 = b"\x03\x04"
_RECORD, _MESSAGE, _FIXED = 5, 4, 2 + 32  # record and message headers; version and random


class Side(Enum):
    """Whose hello it is."""

    CLIENT = _CLIENT_HELLO
    SERVER = _SERVER_HELLO


@dataclass(frozen=True, slots=True)
class Hello:
    """The id in hexadecimal digits, "" for none."""

    session: str


class HelloReader:
    """Takes the first bytes of one side until its hello is there.

    Args:
        side: whose bytes they are.
    """

    def __init__(self, side: Side) -> None:
        self._side = side
        self._raw = b""
        self.found: Hello | None = None

    def feed(self, data: bytes) -> Hello | None:
        """The hello, once it is whole or can no longer be one; None until then. Later bytes change nothing."""
        if self.found is None:
            self._raw += data
            self.found = self._read()
            if self.found is not None:
                self._raw = b""
        return self.found

    def _read(self) -> Hello | None:
        """Hello(""): these bytes are none, or one without a session."""
        message, broken = _message(self._raw)
        if broken or (message and message[0] != self._side.value):
            return Hello("")
        length = int.from_bytes(message[1:_MESSAGE], "big")
        body = message[_MESSAGE:]
        if len(message) < _MESSAGE or len(body) < length:
            return Hello("") if len(self._raw) > LONGEST else None
        return Hello(_session(body[:length], self._side))


def _message(raw: bytes) -> tuple[bytes, bool]:
    """What the handshake records hold so far, and whether anything else is among them."""
    message, at = b"", 0
    while len(raw) - at >= _RECORD:
        kind, major = raw[at], raw[at + 1]
        if kind != _HANDSHAKE or major != 3:
            # After a whole hello other records may follow; the caller looks at its length first.
            return message, not message
        length = int.from_bytes(raw[at + 3 : at + _RECORD], "big")
        message += raw[at + _RECORD : at + _RECORD + length]
        at += _RECORD + length
    return message, bool(raw) and raw[0] != _HANDSHAKE


def _session(body: bytes, side: Side) -> str:
    if len(body) <= _FIXED:
        return ""
    length = body[_FIXED]
    at = _FIXED + 1 + length
    if side is Side.SERVER and _speaks_1_3(body[at + 3 :]):
        return ""
    return body[_FIXED + 1 : at].hex()


def _speaks_1_3(extensions: bytes) -> bool:
    """Whether a server's extensions choose TLS 1.3."""
    at = 2  # their length
    while at + 4 <= len(extensions):
        length = int.from_bytes(extensions[at + 2 : at + 4], "big")
        if extensions[at : at + 2] == _SUPPORTED_VERSIONS:
            return extensions[at + 4 : at + 4 + length] == _TLS_1_3
        at += 4 + length
    return False
