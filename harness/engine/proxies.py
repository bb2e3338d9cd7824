"""Proxies before the balancer, played by limpet: where they are, and how they say whom they speak for."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from limpet.harness.clients.way import Straight
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Header
from limpet.harness.network.vantage import Family

PROXIES = 2
"""Proxies of each trusted network."""
_ANYWHERE = "127.0.100.0/24"
"""Where they stand on loopback where whoever connects is believed: no client of limpet's has an address of it."""


class Edge(Straight):
    """A proxy that the balancer trusts, as a place: whose requests pass there, a header tells."""

    def __init__(self, address: str) -> None:
        self.name = "an edge that the balancer trusts"
        self.family: Family = 4
        self.addresses: tuple[str, ...] = (address,)

    def seat(self) -> str:
        """The proxy's address, whoever comes through it."""
        return self.addresses[0]

    def change(self) -> None:
        """It stays where it is."""

    def close(self) -> None:
        """Nothing was made."""


def trusted_proxies(s: Scenario) -> list[str]:
    """Addresses of this machine whose word counts: the balancer trusts them, or whoever connects.

    Raises:
        NotCheckable: there are none.
    """
    said = s.contract.client_address
    found: list[str] = []
    ours = s.system.site.proxies
    believed = () if said is None else (ours or (_ANYWHERE,)) if said.hops else said.trusted
    for each in believed if s.system.local else ():
        network = ip_network(each)
        if each in ours or (not ours and network.version == 4 and network.is_loopback):
            first, last = int(network[0]), int(network[-1])
            inner = range(first + (first < last), max(last, first + 1))
            found += [str(IPv4Address(s.rng.choice(inner))) for _ in range(PROXIES)]
    if not found:
        raise NotCheckable("no address of this machine lies in the networks that the balancer trusts")
    return found


def forwarding(s: Scenario, path: list[str]) -> Header:
    """The header that names these addresses, nearest last; written in the ways that mean the same."""
    said = s.contract.client_address
    name = said.forwarded if said is not None and said.forwarded else "x-forwarded-for"
    if name == "forwarded":
        return "Forwarded", ", ".join(_element(s, each) for each in path)
    if name == "x-real-ip":
        return "X-Real-IP", path[-1]
    return s.rng.choice(("X-Forwarded-For", "x-forwarded-for")), ", ".join(path)


def _element(s: Scenario, address: str) -> str:
    """An element of Forwarded; IPv6 addresses stand in brackets and quotes (RFC 7239, section 6)."""
    quoted = ('For="{}"', 'for="{}";proto=http', 'for="{}:4711"')
    plain = ("for={}", "for={};proto=http", "by=203.0.113.7;for={}")
    if ":" in address:
        return s.rng.choice(quoted).format(f"[{address}]")
    return s.rng.choice(plain + quoted).format(address)
