"""The lab on paper: its hosts, their addresses, and where clients come from. All ranges are reserved ones.

Documentation ranges (RFC 5737, RFC 3849) as far as they go: 508 clients in two /24, any number in IPv6. Scenarios need
more than that, and keys of 24 bits more than two, so further IPv4 clients come from 198.18.0.0/15, which is set aside
for tests of network devices (RFC 2544): its first half is the users', its second half is nobody's and forged only.
Where the key is a whole /24 even that is used up soon; what comes then is of 240.0.0.0/4, which is reserved for a
future that nobody plans (RFC 1112). Nothing of it has a route out of the lab.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIENTS = ("198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/16", "240.0.0.0/8")
"""What clients are drawn from, in this order."""

FORGED = "198.19.0.0/16"
"""Nobody's: packets come from there, and whatever goes there is thrown away without a word."""

CLIENTS_V6 = "2001:db8:8000::/33"

PROXIES = "192.0.2.16/28"
"""Where limpet plays proxies whose word a balancer trusts: on the users' host too, and never drawn for a client."""

CORE = "192.0.2.1"
"""The router that all links meet at, on each of them."""

LINK_CORE, LINK_HOST = "fe80::1", "fe80::2"
"""The two ends of each link in IPv6."""


@dataclass(frozen=True)
class Plan:
    """One host: its own address, and the prefixes of which every address is its own (AnyIP), by both families."""

    name: str
    address: str
    address_v6: str
    prefixes: tuple[str, ...] = ()
    prefixes_v6: tuple[str, ...] = ()


USERS = Plan("users", "192.0.2.2", "2001:db8::2", (*CLIENTS, PROXIES), (CLIENTS_V6,))
STORE = Plan("store", "192.0.2.3", "2001:db8::3")
BALANCER = Plan("balancer", "192.0.2.33", "2001:db8:1::1", ("192.0.2.32/27",), ("2001:db8:1::/64",))
BALANCERS = tuple(f"192.0.2.{last}" for last in range(34, 63))
"""What balancers listen on; the host's own address is the one that backends see."""

BALANCERS_V6 = tuple(f"2001:db8:1::{last:x}" for last in range(2, 34))
"""The same in IPv6."""

ALONE = tuple(Plan(f"alone{number}", f"192.0.2.{4 + number}", f"2001:db8:4:{number:x}::1") for number in range(8))
"""Hosts of balancers that change the network of their host: what one of them tracks or fills is no other's."""

BACKENDS = tuple(
    Plan(
        f"backend{number}",
        f"192.0.2.{64 + 4 * number}",
        f"2001:db8:2:{number:x}::1",
        (f"192.0.2.{64 + 4 * number}/30",),
        (f"2001:db8:2:{number:x}::/64",),
    )
    for number in range(16)
)
"""The hosts of backends, one after the other: those of a deployment sit on different ones."""


PAIRS = tuple(
    (
        Plan(f"gateway{number}", f"192.0.2.{128 + 2 * number}", f"2001:db8:3:{number:x}::1"),
        Plan(f"inside{number}", f"192.0.2.{129 + 2 * number}", f"2001:db8:3:{number:x}::2"),
    )
    for number in range(64)
)
"""NAT gateways, each with the host of those who are behind it."""


def seats_of(backend: Plan) -> tuple[str, ...]:
    """The addresses of a backends' host."""
    first = int(backend.address.rpartition(".")[2])
    return tuple(f"192.0.2.{first + step}" for step in range(4))
