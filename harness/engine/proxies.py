"""Proxies before the balancer, played by limpet: where they are, and how they say whom they speak for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

from limpet.harness.clients.sources import LOOPBACK
from limpet.harness.clients.way import Straight
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Header
from limpet.harness.network.vantage import Family

PROXIES = 2
"""Proxies of each trusted network."""
_ANYWHERE = "127.0.100.0/24"
"""Where they stand on loopback where whoever connects is believed: no client of limpet's has an address of it."""
_NEAR = IPv4Network("127.0.0.0/8")
_CLIENTS = IPv4Network(LOOPBACK[0])
_FURTHER = range(2, 251)
"""So far from the ends of a network, addresses are outside of it that look like no network's or broadcast's own."""
_SPELLED = {"forwarded": "Forwarded", "x-real-ip": "X-Real-IP", "x-forwarded-for": "X-Forwarded-For"}
"""As it is usually written; HTTP/2 writes small letters, and so do many proxies (RFC 9110, section 5.1)."""


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


def beside_proxies(s: Scenario) -> list[str]:
    """Addresses of loopback just outside of the networks that the balancer trusts: nobody's word counts there.

    Empty where there are none: it trusts nobody, or whoever connects, or networks that are not of this machine.
    """
    said = s.contract.client_address
    if said is None or s.system.site.proxies or not s.system.local:
        return []
    trusted = [ip_network(each) for each in said.trusted]
    found: list[str] = []
    for network in trusted:
        if network.version != 4:
            continue
        for number in (int(network[0]) - s.rng.choice(_FURTHER), int(network[-1]) + s.rng.choice(_FURTHER)):
            address = IPv4Address(number)
            outside = not any(address in each for each in trusted)
            if outside and address in _NEAR and address not in _CLIENTS:
                found.append(str(address))
    return found


def forwarding(s: Scenario, path: list[str]) -> Header:
    """The header that names these addresses, nearest last; written in the ways that mean the same."""
    said = s.contract.client_address
    name = said.forwarded if said is not None and said.forwarded else "x-forwarded-for"
    spelled = s.rng.choice((_SPELLED[name], name))
    if name == "forwarded":
        return spelled, ", ".join(_element(s, each) for each in path)
    if name == "x-real-ip":
        return spelled, _written(s, path[-1])
    return spelled, s.rng.choice((", ", ",")).join(_written(s, each) for each in path)


def forwarding_lines(s: Scenario, path: list[str]) -> list[Header]:
    """The same in one line; or in two, as of proxies that add a line of their own, where it is said that both count."""
    said = s.contract.client_address
    before = s.rng.randrange(len(path)) if said is not None and said.joined else 0
    return [forwarding(s, each) for each in (path[:before], path[before:]) if each]


def _written(s: Scenario, address: str) -> str:
    """An IPv6 address in one of the forms of its text that mean the same (RFC 4291, section 2.2)."""
    if ":" not in address:
        return address
    return s.rng.choice((address, IPv6Address(address).exploded, address.upper()))


def _element(s: Scenario, address: str) -> str:
    """An element of Forwarded; IPv6 addresses stand in brackets and quotes (RFC 7239, section 6)."""
    quoted = ('For="{}"', 'for="{}";proto=http', 'for="{}:4711"')
    plain = ("for={}", "for={};proto=http", "by=203.0.113.7;for={}")
    if ":" in address:
        return s.rng.choice(quoted).format(f"[{_written(s, address)}]")
    return s.rng.choice(plain + quoted).format(address)
