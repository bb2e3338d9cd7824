"""The header of the PROXY protocol, by which a client plays a proxy that speaks for somebody else.

Source: HAProxy's specification, "The PROXY protocol, versions 1 & 2".
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Literal

Version = Literal["v1", "v2"]
_SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def proxy_header(version: Version, source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """The header that says: this connection is from that address and port to this one."""
    one, other = ip_address(source[0]), ip_address(target[0])
    if one.version != other.version:  # an IPv4 client of an IPv6 listener: written as IPv6, as the protocol asks
        one, other = (ip_address(f"::ffff:{each}") if each.version == 4 else each for each in (one, other))
    if version == "v1":
        return f"PROXY TCP{one.version} {one} {other} {source[1]} {target[1]}\r\n".encode()
    body = one.packed + other.packed + struct.pack("!HH", source[1], target[1])
    family = 0x11 if one.version == 4 else 0x21
    return _SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body
