"""Which addresses a run's network gets: out of a range for documentation, and none that this machine goes to."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

RANGES = tuple(map(ipaddress.IPv4Network, ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")))
"""RFC 5737. None of them is routed on the internet, but a lab may use them for itself."""

PREFIX = 27
"""Of a run's network: 29 containers beside the bridge, and a small part of whatever a lab has in that range."""


def candidates(taken: Sequence[ipaddress.IPv4Network]) -> Iterator[ipaddress.IPv4Network]:
    """The blocks that overlap nothing of what is taken, in the same order always.

    A range of which anything is taken comes last: whoever uses one address of it may use others that nobody told.
    """
    used = [each for each in RANGES if any(each.overlaps(one) for one in taken)]
    for wide in sorted(RANGES, key=lambda each: each in used):
        for block in wide.subnets(new_prefix=PREFIX):
            if not any(block.overlaps(one) for one in taken):
                yield block


def taken_here() -> list[ipaddress.IPv4Network]:
    """What of these ranges this machine goes to already: its routes, its peers, its name servers and what they name.

    A bridge with such a subnet would cut the machine off from it: a package mirror of a lab, say.
    """
    everything = [*_routes(_text("/proc/net/route")), *_peers(_text("/proc/net/tcp"))]
    everything += [ipaddress.IPv4Network(each) for each in _name_servers(_text("/etc/resolv.conf"))]
    return [each for each in everything if any(each.overlaps(wide) for wide in RANGES)]


def _routes(table: str) -> Iterator[ipaddress.IPv4Network]:
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and int(fields[7], 16):
            mask = ipaddress.IPv4Address(socket.ntohl(int(fields[7], 16)))
            yield ipaddress.IPv4Network(f"{_address(fields[1])}/{mask}", strict=False)


def _peers(table: str) -> Iterator[ipaddress.IPv4Network]:
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2:
            yield ipaddress.IPv4Network(_address(fields[2].partition(":")[0]))


def _address(word: str) -> ipaddress.IPv4Address:
    """Of the kernel's own notation: hexadecimal, in the byte order of this machine."""
    return ipaddress.IPv4Address(struct.pack("=I", int(word, 16)))


def _name_servers(text: str) -> list[str]:
    return re.findall(r"^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", text, re.MULTILINE)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
