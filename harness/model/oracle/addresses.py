"""Which address a balancer that keys on addresses takes a request's client to have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from limpet.harness.model.contract.client_address import ClientAddress
from limpet.harness.model.history import Sent
from limpet.harness.model.oracle.carried import named

_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)


def client_address(sent: Sent, said: ClientAddress | None) -> str:
    """The source address of its connection, or the one that a proxy vouches for whose word counts."""
    if said is None or not (said.hops or _trusted(sent.source, said.trusted)):
        return sent.source
    if said.proxy_protocol:
        # Who stands for itself tells the address that it has, which behind NAT is not the connection's.
        return sent.carried or (sent.bound if said.hops else "") or sent.source
    if said.hops:
        far = _entries(sent, said.forwarded or "")[-said.hops :]
        return (_plain(far[0]) if len(far) == said.hops else "") or sent.source
    found = sent.source
    for entry in reversed(_entries(sent, said.forwarded or "")):
        address = _plain(entry)
        if not address:
            break
        found = address
        if not _trusted(address, said.trusted):
            break
    return found


def _entries(sent: Sent, header: str) -> list[str]:
    values = named(sent.headers, header) if header else []
    listed = [entry.strip() for value in values for entry in value.split(",")]
    if header == "x-real-ip":
        return listed[-1:]
    if header == "forwarded":
        matches = [_FOR.search(entry) for entry in listed]
        return [match[1].strip('"') if match else "" for match in matches]
    return listed


def _plain(entry: str) -> str:
    """The address of an entry, without brackets and port; "" when it is none."""
    bracketed = re.fullmatch(r"\[(.+)\](?::\d+)?", entry)
    text = bracketed[1] if bracketed else entry.partition(":")[0] if entry.count(":") == 1 else entry
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _trusted(address: str, networks: Sequence[str]) -> bool:
    try:
        return any(ip_address(address) in network for network in _parsed(tuple(networks)))
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _parsed(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each) for each in networks)
