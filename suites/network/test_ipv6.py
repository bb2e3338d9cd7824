"""Clients with IPv6 addresses: of their own, changing inside one /64, or told by a proxy that the balancer trusts."""

from __future__ import annotations

from contextlib import closing
from ipaddress import IPv6Address

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    Scenario,
    behaviour,
    forwarding,
    largest_share,
    rebalanced,
    trusted_proxies,
)
from limpet.harness.model.contract.stated import may
from limpet.harness.model.statistics import runs_needed

ALPHA = 1e-6
VISITS = 4
NEIGHBOURS = 3
SITE_BITS = 64
"""What a provider gives to one home: its devices choose the rest, and choose anew every day (RFC 8981)."""
DOCUMENTATION = int(IPv6Address("2001:db8::"))


def _variants(contract: Contract) -> list[str]:
    said = contract.client_address
    told = contract.affinity == "source-ip" and said is not None and bool(said.trusted)
    moving = contract.affinity == "source-ip" or contract.reaction.ip_change is not None
    return ["homes", *(["privacy"] if moving else []), *(["told", "told-privacy"] if told else [])]


@behaviour(
    "network.ipv6",
    affinities=("source-ip", "lb-cookie", "app-cookie", "header", "url"),
    variants=_variants,
    error_rate=1e-6,
    budget=260,
    sees=0.98,
)
def test_ipv6(s: Scenario) -> None:
    """An IPv6 address is a key like any other, as many of its bits as the contract says; other keys do not care."""
    {"homes": _homes, "privacy": _privacy, "told": _told, "told-privacy": _told_privacy}[s.variant](s)


# Addresses of their own.


def _homes(s: Scenario) -> None:
    people = [s.at(s.home(f"home {number}", family=6)) for number in range(2 * s.n)]
    s.step(f"{len(people)} users come by IPv6, {VISITS} connections each, in a random order")
    turns = people * VISITS
    s.rng.shuffle(turns)
    for user in turns:
        user.visit(new_connection=True)


def _privacy(s: Scenario) -> None:
    users: list[tuple[Client, str]] = []
    for number in range(2 * s.n):
        home = s.home(f"home {number}", family=6)
        user = s.at(home)
        user.visit()
        users.append((user, home.addresses[0]))
    s.step(f"{len(users)} users have come by IPv6; then each comes by {NEIGHBOURS} other addresses of its own /64")
    turns = users * NEIGHBOURS
    s.rng.shuffle(turns)
    same = 0
    for user, address in turns:
        line = s.moved(user, s.home("the same home", family=6, beside=address))
        same += line.visit().backend == user.backend
        line.close()
    s.observe(f"{same} of {len(turns)} visits by other addresses of the same /64 met their user's first backend")


# Addresses that a proxy tells.


class _Proxies:
    """Proxies that the balancer trusts, which say of each user by which address it came."""

    def __init__(self, s: Scenario) -> None:
        self._s = s
        self._all = trusted_proxies(s)
        said = s.contract.client_address
        self._versions = said.proxy_protocol if said is not None else ()

    def tell(self, user: Client, address: str, *, first: bool = False) -> Exchange:
        """A visit of this user by that address, through the first of the proxies or through any."""
        proxy = self._all[0] if first else self._s.rng.choice(self._all)
        if self._versions:
            version = self._s.rng.choice(self._versions)
            with closing(user.raw(through=proxy, carried=address, proxy_protocol=version)) as connection:
                return user.over(connection)
        with closing(user.raw(through=proxy)) as connection:
            return user.over(connection, headers=[forwarding(self._s, [address])])


def _somewhere(s: Scenario, *, beside: str = "") -> str:
    """An address out of the documentation's range (RFC 3849), or another one of the same /64."""
    site = int(IPv6Address(beside)) >> SITE_BITS if beside else DOCUMENTATION >> SITE_BITS | s.rng.getrandbits(32)
    return str(IPv6Address(site << SITE_BITS | s.rng.getrandbits(SITE_BITS)))


def _arrive(s: Scenario, proxies: _Proxies) -> list[tuple[Client, str]]:
    """So many users by one proxy that they cannot all be on one backend by luck, even where a hash is uneven."""
    users = [(s.client(), _somewhere(s)) for _ in range(2 * runs_needed(largest_share(s), ALPHA / s.n))]
    s.step(f"{len(users)} users come for the first time, all through one trusted proxy, each by an IPv6 address")
    for user, address in users:
        with s.luck():
            proxies.tell(user, address, first=True)
    met = {user.backend for user, _ in users if user.backend}
    if s.n > 1 and len(met) == 1 and sum(bool(user.backend) for user, _ in users) == len(users):
        text = f"all {len(users)} users behind one trusted proxy are on {met.pop()}, whatever address it told for each"
        s.broken(Kind.KEY_IGNORED, text, users[-1][0].last)
    s.certain(f"limit on false accusation {ALPHA:g}")
    return users


def _told(s: Scenario) -> None:
    proxies = _Proxies(s)
    users = _arrive(s, proxies)
    s.step(f"each of them comes {VISITS} more times, through any trusted proxy, in a random order")
    turns = users * VISITS
    s.rng.shuffle(turns)
    for user, address in turns:
        proxies.tell(user, address)


def _told_privacy(s: Scenario) -> None:
    proxies = _Proxies(s)
    users = _arrive(s, proxies)
    one_key = s.contract.key_prefix.v6 <= SITE_BITS
    where = "the same key" if one_key else "each a key of its own"
    s.step(f"everybody comes by another address of the same /64: {where}")
    if one_key or may(s.contract.reaction.ip_change, "keep"):
        turns = users * NEIGHBOURS
        s.rng.shuffle(turns)
        for user, address in turns:
            proxies.tell(user, _somewhere(s, beside=address))
        return
    addresses = {user.name: address for user, address in users}
    groups: dict[str, list[Client]] = {}
    for user, _ in users:
        groups.setdefault(user.backend, []).append(user)
    groups.pop("", None)
    what = "the address, which is the key, was another one of the same /64"
    rebalanced(
        s, groups, Kind.KEY_IGNORED, what,
        visit=lambda user: proxies.tell(user, _somewhere(s, beside=addresses[user.name])),
    )  # fmt: skip
