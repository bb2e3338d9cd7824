"""Clients that come through a proxy which says whom it speaks for, and others that only claim to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address
from typing import Literal

from limpet import (
    Client,
    Contract,
    Exchange,
    Scenario,
    behaviour,
    beside_proxies,
    forwarding,
    forwarding_lines,
    trusted_proxies,
)
from limpet.harness.model.contract.client_address import ClientAddress
from limpet.harness.model.history import Header

VISITS = 4
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"
Visit = Callable[[Client], Exchange]


def _said(s: Scenario) -> ClientAddress:
    assert s.contract.client_address is not None, "the behaviour asks for it"
    return s.contract.client_address


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
    if said is None or said.forwarded is None or not said.believed:
        return ["untrusted"]
    if said.hops:  # whoever connects is believed, and the number of addresses decides
        return ["trusted", "other-headers", "forged-behind-a-proxy"]
    path = ["forged-behind-a-proxy", "chain"] if said.forwarded != "x-real-ip" else []
    return ["trusted", "untrusted", "other-headers", *path]


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
    proxies = trusted_proxies(s)
    forger = s.sources.draw()

    def path(user: Client) -> list[str]:
        between = [s.rng.choice(proxies) for _ in range((_said(s).hops or 1) - 1)]
        own = [user.source or "", *between]
        if s.variant == "chain":
            return [*own, s.rng.choice(proxies)]
        return [forger, *own] if s.variant == "forged-behind-a-proxy" else own

    users = _one_each(s)
    # A proxy sends all its clients' requests over the same few connections.
    lines = [next(iter(users.values())).raw(through=proxy) for proxy in proxies]

    def through(user: Client) -> Exchange:
        named = forwarding_lines(s, path(user))
        if s.variant == "other-headers":
            named = _unread(s, [user.source or "" for user in users.values()], named)
        return user.over(s.rng.choice(lines), headers=named)

    told = {
        "trusted": "each names its user",
        "chain": "each names its user and a trusted proxy before it",
        "other-headers": "each names its user, who has written somebody else into every other header",
        "forged-behind-a-proxy": "each names its user, behind one address that all of them have made up",
    }
    s.step(f"users of {', '.join(users)} take turns through {len(proxies)} trusted proxies: {told[s.variant]}")
    _take_turns(s, users, through)
    for connection in lines:
        connection.close()
    s.step("and come once more by themselves, from the same addresses")
    for user in users.values():
        user.visit(new_connection=True)


def _unread(s: Scenario, victims: list[str], named: list[Header]) -> list[Header]:
    """These headers, and all those that could name an address and are not read here, with somebody's who is pinned."""
    read = {name.lower() for name, _ in named}
    victim = s.rng.choice(victims)
    names = ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP")
    others = [(name, victim) for name in names] + [("Forwarded", f"for={victim}")]
    return [*(each for each in others if each[0].lower() not in read), *named]


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

    def claims(somebody: Client, address: str, victim: str) -> None:
        with closing(somebody.raw(through=address)) as connection:
            somebody.over(connection, headers=_claims(s, victim))

    _next_door(s, users, claims)


def _next_door(s: Scenario, users: dict[str, Client], claims: Callable[[Client, str, str], object]) -> None:
    """Nor are those believed who come from beside the trusted proxies' networks.

    Args:
        s: the scenario.
        users: whom they claim to be.
        claims: one request of this client from that address, in which it claims to be at the other one.
    """
    for address in beside_proxies(s):
        somebody = s.client()
        s.step(f"somebody at {address}, next door to the trusted proxies, claims to be each of them in turn")
        for victim in [*users.values()] * 2:
            claims(somebody, address, victim.source or "")


def _claims(s: Scenario, victim: str) -> list[tuple[str, str]]:
    """Every header by which one could try."""
    return [forwarding(s, [victim]), ("X-Client-IP", victim), ("True-Client-IP", victim)]


# By the PROXY protocol.


def _protocol_variants(contract: Contract) -> list[str]:
    said = contract.client_address
    if said is None:
        return []
    versions = list(said.proxy_protocol)
    forged = [] if said.hops else [f"untrusted-{each}" for each in versions]
    return [*(versions if said.believed else []), *forged]


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
    proxies = trusted_proxies(s)

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

    def claims(somebody: Client, address: str, victim: str) -> None:
        with closing(somebody.raw(through=address, carried=victim, proxy_protocol=version)) as connection:
            somebody.over(connection)

    _next_door(s, users, claims)
