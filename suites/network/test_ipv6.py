"""Clients with IPv6 addresses: of their own, changing inside one /64, or told by a proxy that the balancer trusts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv6Address

from limpet import (
    Client,
    Contract,
    Exchange,
    Inconclusive,
    Kind,
    Scenario,
    behaviour,
    forwarding,
    ipv6_copy,
    largest_share,
    rebalanced,
    trusted_proxies,
)
from limpet.harness.model.contract.stated import may
from limpet.harness.model.statistics import runs_needed

ALPHA = 1e-6
VISITS = 4
PEOPLE = 8
NEIGHBOURS = 3
SITE_BITS = 64
"""What a provider gives to one home: its devices choose the rest, and choose anew every day (RFC 8981)."""
DOCUMENTATION = int(IPv6Address("2001:db8::"))


def _variants(contract: Contract) -> list[str]:
    said = contract.client_address
    told = contract.affinity == "source-ip" and said is not None and said.believed
    moving = contract.affinity == "source-ip" or contract.reaction.ip_change is not None
    first = "homes" if contract.affinity == "source-ip" else "pins"
    return [first, *(["privacy"] if moving else []), *(["told", "told-privacy"] if told else [])]


@behaviour(
    "network.ipv6",
    affinities=("source-ip", "lb-cookie", "app-cookie", "header", "url", "tls-session-id"),
    variants=_variants,
    error_rate=1e-6,
    needs=("launch",),
    budget=260,
    sees=0.98,
)
def test_ipv6(s: Scenario) -> None:
    """An IPv6 address is a key like any other, as many of its bits as the contract says; other keys do not care."""
    {"pins": _pins, "homes": _homes, "privacy": _privacy, "told": _told, "told-privacy": _told_privacy}[s.variant](s)


# Connections by IPv6, to a copy of the balancer that listens there.


def _pins(s: Scenario) -> None:
    with ipv6_copy(s) as six:
        apart = not six.network.lacks("ipv6-home")
        users = [_newcomer(six, number, apart=apart) for number in range(2 * six.n)]
        six.step(f"{len(users)} users come by IPv6, {VISITS} connections each, {_whence(apart)}")
        turns = users * VISITS
        six.rng.shuffle(turns)
        for user in turns:
            user.visit(new_connection=True)


def _newcomer(six: Scenario, number: int, *, apart: bool) -> Client:
    return six.at(six.home(f"home {number}", family=6)) if apart else six.client()


def _whence(apart: bool) -> str:
    return "each from a home of its own" if apart else "all from ::1, which is the only such address of this machine"


def _homes(s: Scenario) -> None:
    s.need_ipv6_homes()
    with ipv6_copy(s) as six:
        people = [six.at(six.home(f"home {number}", family=6)) for number in range(PEOPLE)]
        six.step(f"{len(people)} users come by IPv6, {VISITS} connections each, in a random order")
        turns = people * VISITS
        six.rng.shuffle(turns)
        for user in turns:
            user.visit(new_connection=True)


def _privacy(s: Scenario) -> None:
    s.need_ipv6_homes()
    with ipv6_copy(s) as six:
        own_keys = _each_its_own(s.contract)
        users: list[tuple[Client, str]] = []
        for number in range(_crowd(six) if own_keys else PEOPLE):
            home = six.home(f"home {number}", family=6)
            user = six.at(home)
            _stranger(six)
            user.visit()
            users.append((user, home.addresses[0]))
        homes = {user.name: address for user, address in users}

        def elsewhere(user: Client) -> Exchange:
            line = six.moved(user, six.home("the same home", family=6, beside=homes[user.name]))
            if own_keys:
                _stranger(six)
            try:
                return line.visit()
            finally:
                line.close()

        if own_keys:
            six.step(
                f"{len(users)} users have come by IPv6; each comes by another address of its own /64, which is a key"
            )
            _all_anew(six, [user for user, _ in users], elsewhere)
            return
        six.step(f"{len(users)} users have come by IPv6; each comes by {NEIGHBOURS} other addresses of its own /64")
        turns = [user for user, _ in users] * NEIGHBOURS
        six.rng.shuffle(turns)
        same = sum(elsewhere(user).backend == user.backend for user in turns)
        six.observe(f"{same} of {len(turns)} visits by other addresses of the same /64 met their user's first backend")


def _each_its_own(contract: Contract) -> bool:
    """Whether two addresses of one /64 are two keys."""
    apart = contract.affinity == "source-ip" and contract.key_prefix.v6 > SITE_BITS
    return apart and not may(contract.reaction.ip_change, "keep")


def _crowd(s: Scenario) -> int:
    """How many users cannot all be on one backend by luck, even where a hash is uneven."""
    return 2 * runs_needed(largest_share(s), ALPHA / s.n)


def _stranger(six: Scenario) -> None:
    """Somebody whose address nobody else has, now and then, so that a rotation stands anywhere."""
    for _ in range(six.rng.randrange(six.n)):
        six.at(six.home("a stranger's", family=6), keep=False).visit()


def _all_anew(s: Scenario, users: list[Client], visit: Callable[[Client], Exchange]) -> None:
    groups: dict[str, list[Client]] = {}
    for user in users:
        groups.setdefault(user.backend, []).append(user)
    groups.pop("", None)
    what = "the address, which is the key, was another one of the same /64"
    rebalanced(s, groups, Kind.KEY_IGNORED, what, visit=visit)


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


def _next_key(s: Scenario, address: str) -> str:
    """The address whose key is nearest to this one's: another customer of the provider, or the next machine."""
    return str(IPv6Address(int(IPv6Address(address)) ^ 1 << 128 - s.contract.key_prefix.v6))


def _arrive(s: Scenario, proxies: _Proxies) -> list[tuple[Client, str]]:
    """Users by one proxy: that all of them are on one backend is no luck."""
    users: list[tuple[Client, str]] = []
    for _ in range(_crowd(s) // 2):
        address = _somewhere(s)
        users += [(s.client(), address), (s.client(), _next_key(s, address))]
    s.step(
        f"{len(users)} users come for the first time, all through one trusted proxy, each by an IPv6 address; always "
        "two of them are neighbours"
    )
    for user, address in users:
        with s.luck():
            proxies.tell(user, address, first=True)
    met = {user.backend for user, _ in users if user.backend}
    if s.n > 1 and len(met) == 1 and sum(bool(user.backend) for user, _ in users) == len(users):
        algorithm = s.contract.algorithm
        if algorithm is None or not algorithm.binding or any("hash" in each for each in algorithm.allowed):
            raise Inconclusive(f"all {len(users)} users are on one backend, and nobody says how the hash scatters them")
        text = f"all {len(users)} users behind one trusted proxy are on {met.pop()}, whatever address it told for each"
        s.broken(Kind.KEY_IGNORED, text, users[-1][0].last)
    else:
        _neighbours_are_two(s, [user for user, _ in users])
    s.certain(f"limit on false accusation {ALPHA:g}")
    return users


def _neighbours_are_two(s: Scenario, users: list[Client]) -> None:
    """Who looks at fewer bits than it promises takes all neighbours for one; that each pair met one backend by luck is
    excluded where new users are placed one by one.
    """
    pairs = [(one, other) for one, other in zip(users[::2], users[1::2], strict=True) if one.backend and other.backend]
    together = sum(one.backend == other.backend for one, other in pairs)
    bits = s.contract.key_prefix.v6
    text = (
        f"{together} of {len(pairs)} pairs of neighbours, whose keys differ in the last of {bits} bits, met one backend"
    )
    s.observe(text)
    algorithm = s.contract.algorithm
    dealt = algorithm is not None and algorithm.binding and not any("hash" in each for each in algorithm.allowed)
    if dealt and largest_share(s) ** len(pairs) <= ALPHA:
        s.expect(together < len(pairs), Kind.KEY_IGNORED, f"{text}: they are taken for one client", users[-1].last)


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
    own_keys = _each_its_own(s.contract)
    where = "each a key of its own" if own_keys else "the same key"
    s.step(f"everybody comes by another address of the same /64: {where}")
    if not own_keys:
        turns = users * NEIGHBOURS
        s.rng.shuffle(turns)
        for user, address in turns:
            proxies.tell(user, _somewhere(s, beside=address))
        return
    addresses = {user.name: address for user, address in users}
    _all_anew(
        s, [user for user, _ in users], lambda user: proxies.tell(user, _somewhere(s, beside=addresses[user.name]))
    )
