"""The PROXY protocol's header, versions 1 and 2, by which a proxy says for whom it opened a connection.

Source: HAProxy's specification, "The PROXY protocol, versions 1 & 2".
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import NamedTuple

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_WORD = b"PROXY "
_LONGEST_LINE = 107
_FIXED = len(_SIGNATURE) + 4
_FAMILIES = {"TCP4": 4, "TCP6": 6}
_ADDRESS_BYTES = {0x1: (4, 12), 0x2: (16, 36)}


class NoHeader(ValueError):
    """The connection does not begin with such a header."""


class Said(NamedTuple):
    """What it says: the client's address, "" where the proxy speaks for itself or cannot tell, and its own length."""

    source: str
    length: int


def read(data: bytes) -> Said | None:
    """The header at the beginning of these bytes; None when more of them are needed.

    Raises:
        NoHeader: there is none, or it is malformed.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _binary(data)
    if data[: len(_WORD)] == _WORD[: len(data)]:
        return _line(data)
    raise NoHeader("no PROXY header")


def _line(data: bytes) -> Said | None:
    line, end, _ = data.partition(b"\r\n")
    if not end:
        if len(data) >= _LONGEST_LINE:
            raise NoHeader("a PROXY line without an end")
        return None
    if len(line) + 2 > _LONGEST_LINE:
        raise NoHeader("a PROXY line that is too long")
    words = line.decode("latin-1").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return Said("", len(line) + 2)
    if len(words) != 6 or words[1] not in _FAMILIES:
        raise NoHeader("a malformed PROXY line")
    try:
        source, target = ip_address(words[2]), ip_address(words[3])
    except ValueError as error:
        raise NoHeader(str(error)) from None
    ports = [word for word in words[4:] if word.isascii() and word.isdigit() and int(word) <= 65535]
    if {source.version, target.version} != {_FAMILIES[words[1]]} or len(ports) != 2:
        raise NoHeader("a PROXY line whose addresses do not fit")
    return Said(str(source), len(line) + 2)


def _binary(data: bytes) -> Said | None:
    if len(data) < _FIXED:
        return None
    version_command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    version, command = version_command >> 4, version_command & 15
    if version != 2 or command > 1:
        raise NoHeader(f"PROXY version {version}, command {command}")
    if len(data) < _FIXED + length:
        return None
    size, least = _ADDRESS_BYTES.get(family >> 4, (0, 0))
    if command == 0 or not size:  # LOCAL: the proxy's own check of health; or a family that has no IP address
        return Said("", _FIXED + length)
    if length < least:
        raise NoHeader("a PROXY header that is too short for its addresses")
    return Said(str(ip_address(data[_FIXED : _FIXED + size])), _FIXED + length)
