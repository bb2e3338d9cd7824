"""Clients that come through a proxy which says whom it speaks for, and others that only claim to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Literal

from limpet import Client, Contract, Exchange, NotCheckable, Scenario, behaviour
from limpet.harness.model.contract.client_address import ClientAddress

VISITS = 4
PROXIES = 2
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"
Visit = Callable[[Client], Exchange]


def _said(s: Scenario) -> ClientAddress:
    assert s.contract.client_address is not None, "the behaviour asks for it"
    return s.contract.client_address


def _proxies(s: Scenario) -> list[str]:
    """Addresses of this machine whose word the balancer trusts.

    Raises:
        NotCheckable: there are none.
    """
    found: list[str] = []
    for each in _said(s).trusted if s.system.local else ():
        network = ip_network(each)
        if network.version == 4 and network.is_loopback:
            first, last = int(network[0]), int(network[-1])
            inner = range(first + (first < last), max(last, first + 1))
            found += [str(IPv4Address(s.rng.choice(inner))) for _ in range(PROXIES)]
    if not found:
        raise NotCheckable("no address of this machine lies in the networks that the balancer trusts")
    return found


def _one_each(s: Scenario) -> dict[str, Client]:
    """A user at each backend, pinned there by requests of its own: a key is the same however its address is told."""
    return {name: s.pinned(name) for name in s.names}


def _take_turns(s: Scenario, users: dict[str, Client], visit: Visit) -> None:
    turns = [user for user in users.values() for _ in range(VISITS)]
    s.rng.shuffle(turns)
    for user in turns:
        visit(user)


# By a header.


def _header_variants(contract: Contract) -> list[str]:
    said = contract.client_address
    if said is None or said.forwarded is None or not said.trusted:
        return ["untrusted"]
    return ["trusted", "untrusted", *(["forged-behind-a-proxy", "chain"] if said.forwarded != "x-real-ip" else [])]


@behaviour(
    "network.forwarded-for",
    layers=(7,),
    affinities=("source-ip",),
    fields=("client_address.forwarded",),
    variants=_header_variants,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=120,
    sees=0.23,
)
def test_forwarded_for(s: Scenario) -> None:
    """The address that a trusted proxy forwards is the key; what an untrusted client claims changes nothing."""
    if s.variant == "untrusted":
        _forged_header(s)
        return
    proxies = _proxies(s)
    forger = s.sources.draw()

    def path(user: Client) -> list[str]:
        own = user.source or ""
        if s.variant == "chain":
            return [own, s.rng.choice(proxies)]
        return [forger, own] if s.variant == "forged-behind-a-proxy" else [own]

    users = _one_each(s)
    # A proxy sends all its clients' requests over the same few connections.
    lines = [next(iter(users.values())).raw(through=proxy) for proxy in proxies]

    def through(user: Client) -> Exchange:
        return user.over(s.rng.choice(lines), headers=[_header(s, path(user))])

    told = {
        "trusted": "each names its user",
        "chain": "each names its user and a trusted proxy before it",
        "forged-behind-a-proxy": "each names its user, behind one address that all of them have made up",
    }
    s.step(f"users of {', '.join(users)} take turns through {len(proxies)} trusted proxies: {told[s.variant]}")
    _take_turns(s, users, through)
    for connection in lines:
        connection.close()
    s.step("and come once more by themselves, from the same addresses")
    for user in users.values():
        user.visit(new_connection=True)


def _header(s: Scenario, path: list[str]) -> tuple[str, str]:
    """The header with these addresses, nearest last; written in the ways that mean the same."""
    name = _said(s).forwarded or "x-forwarded-for"
    if name == "forwarded":
        forms = ("for={}", 'For="{}"', "for={};proto=http", "by=203.0.113.7;for={}", 'for="{}:4711"')
        return "Forwarded", ", ".join(s.rng.choice(forms).format(each) for each in path)
    if name == "x-real-ip":
        return "X-Real-IP", path[-1]
    return s.rng.choice(("X-Forwarded-For", "x-forwarded-for")), ", ".join(path)


def _forged_header(s: Scenario) -> None:
    """Everybody claims to be the user of another backend."""
    users = _one_each(s)
    names = list(users)
    s.step(f"users of {', '.join(names)} come by themselves, and each claims to be the next one")
    for _ in range(VISITS):
        for number, name in enumerate(names):
            user, victim = users[name], users[names[(number + 1) % len(names)]]
            with closing(user.raw()) as connection:
                user.over(connection, headers=_claims(s, victim.source or ""))


def _claims(s: Scenario, victim: str) -> list[tuple[str, str]]:
    """Every header by which one could try."""
    return [_header(s, [victim]), ("X-Client-IP", victim), ("True-Client-IP", victim)]


# By the PROXY protocol.


def _protocol_variants(contract: Contract) -> list[str]:
    said = contract.client_address
    versions = list(said.proxy_protocol) if said is not None else []
    return [*(versions if said is not None and said.trusted else []), *(f"untrusted-{each}" for each in versions)]


@behaviour(
    "network.proxy-protocol",
    layers=(7,),
    affinities=("source-ip",),
    fields=("client_address.proxy_protocol",),
    variants=_protocol_variants,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=120,
    sees=0.23,
)
def test_proxy_protocol(s: Scenario) -> None:
    """The address in a trusted proxy's PROXY header is the key of the whole connection; an untrusted one's is not."""
    version: Literal["v1", "v2"] = "v1" if s.variant.endswith("v1") else "v2"
    if s.variant.startswith("untrusted"):
        _forged_connection(s, version)
        return
    proxies = _proxies(s)

    def through(user: Client) -> Exchange:
        proxy = s.rng.choice(proxies)
        with closing(user.raw(through=proxy, carried=user.source or "", proxy_protocol=version)) as connection:
            user.over(connection)
            return user.over(connection)

    users = _one_each(s)
    s.step(f"users of {', '.join(users)} take turns through {len(proxies)} trusted proxies, by PROXY {version}")
    _take_turns(s, users, through)
    s.step("and come once more by themselves, from the same addresses")
    for user in users.values():
        user.visit(new_connection=True)


def _forged_connection(s: Scenario, version: Literal["v1", "v2"]) -> None:
    users = _one_each(s)
    names = list(users)
    s.step(f"users of {', '.join(names)} come by themselves, and each claims to be the next one, by PROXY {version}")
    for _ in range(VISITS):
        for number, name in enumerate(names):
            user, victim = users[name], users[names[(number + 1) % len(names)]]
            claimed = str(ip_address(victim.source or ""))
            with closing(user.raw(carried=claimed, proxy_protocol=version)) as connection:
                user.over(connection)
