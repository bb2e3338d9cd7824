"""Odd but lawful ways to speak HTTP/1: version 1.0, several requests in one piece, requests across origins."""

from __future__ import annotations

from contextlib import closing

from limpet import Client, Contract, Exchange, Kind, RawConnection, Scenario, behaviour
from limpet.harness.model.contract import Stated
from limpet.harness.model.history import Header
from limpet.harness.model.oracle.exchanges import ODD

ROUNDS = 4
IN_ONE_PIECE = 6
OTHER_ORIGIN = "https://shop.example"
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"


@behaviour(
    "protocol.http10",
    only_cited=True,
    layers=(7,),
    variants=("close", "keep-alive"),
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=110,
    sees=0.23,
)
def test_http10(s: Scenario) -> None:
    """A client that speaks HTTP/1.0 is served by its backend like any other."""
    for home in s.names:
        user = s.pinned(home)
        s.step(f"{user.name}, pinned to {home}, sends {ROUNDS} requests in HTTP/1.0 ({s.variant})")
        with closing(user.raw()) as connection:
            for _ in range(ROUNDS):
                s.scramble()
                if connection.spent:
                    connection.renew()
                said = user.spoken([("Connection", s.variant)])
                # Whether so old a version is served at all is no matter of stickiness: only who answers is judged.
                exchange = connection.request(
                    user.name, said.method, said.path, said.headers, body=said.body, version="HTTP/1.0", note=ODD
                )
                user.heard(exchange)
                if s.variant == "close":
                    connection.renew()


def _several_keys(contract: Contract) -> list[str]:
    return ["one-user"] if contract.affinity == "source-ip" else ["one-user", "several-users"]


@behaviour(
    "protocol.pipelining",
    only_cited=True,
    layers=(7,),
    variants=_several_keys,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=80,
    sees=0.2,
)
def test_pipelining(s: Scenario) -> None:
    """Of requests that come in one piece each goes to its own user's backend, and the answers come in their order."""
    users = [s.pinned(name) for name in s.names]
    groups = [users] if s.variant == "several-users" else [[user] for user in users]
    for group in groups:
        names = ", ".join(user.name for user in group)
        for _ in range(2):
            s.step(f"{IN_ONE_PIECE} requests of {names} in one piece, on a new connection")
            turns = [group[number % len(group)] for number in range(IN_ONE_PIECE)]
            s.rng.shuffle(turns)
            with closing(turns[0].raw()) as connection:
                _in_one_piece(s, connection, turns)


def _in_one_piece(s: Scenario, connection: RawConnection, turns: list[Client]) -> None:
    for number, user in enumerate(turns):
        said = user.spoken()
        lines = [f"{said.method} {said.path} HTTP/1.1", f"Host: {user.endpoint.authority}"]
        lines += [f"{name}: {value}" for name, value in said.headers]
        if said.body:
            lines.append(f"Content-Length: {len(said.body)}")
        raw = [line.encode() for line in lines]
        # A server may close after any answer (RFC 9112 section 9.3.2), so none is owed to what comes behind.
        connection.send(raw, said.body, client=user.name, note=ODD, later=number + 1 < len(turns))
    for user in turns:
        answer = connection.receive()
        if answer.error:
            return
        user.heard(answer)
        _is_answered(s, answer)


def _is_answered(s: Scenario, answer: Exchange) -> None:
    """Limpet's own backends say which request they answer."""
    said = answer.header("Limpet-Request")
    if said:
        text = f"a request of {answer.sent.client} was given the answer to another one"
        s.expect(said == answer.id, Kind.WRONG_ANSWER, text, answer)


def _cors_variants(contract: Contract) -> list[str]:
    return ["same-site", *(["cross-site"] if _crosses_sites(contract) else [])]


def _crosses_sites(contract: Contract) -> bool:
    """Whether a browser sends the key's cookie from another site's pages too: SameSite=None, and so Secure."""
    cookie = contract.cookie
    if cookie is None or contract.affinity != "lb-cookie":
        return False
    keepers = [cookie.attributes, *(twin.attributes for twin in cookie.twins if _yes(twin.alone_keeps))]
    return any(each.same_site is not None and each.same_site.must("None") and _yes(each.secure) for each in keepers)


def _yes(stated: Stated[bool] | None) -> bool:
    return stated is not None and stated.must(True)


@behaviour(
    "protocol.cors",
    only_cited=True,
    layers=(7,),
    variants=_cors_variants,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=80,
    sees=0.23,
)
def test_cors(s: Scenario) -> None:
    """A preflight carries no cookie and pins nobody; the request that follows it is the user's, and still pinned."""
    for home in s.names:
        user = s.pinned(home)
        s.step(f"a page of another origin sends requests of {user.name}, pinned to {home}, each after its preflight")
        for number in range(ROUNDS):
            s.scramble()
            with closing(user.raw()) as connection:
                _preflight(user, connection)
                if number % 2:  # browsers may use another connection for what carries cookies
                    connection.renew()
                user.over(connection, cookies=_sent_along(s, user), headers=[("Origin", _origin(s, user))])


def _origin(s: Scenario, user: Client) -> str:
    return OTHER_ORIGIN if s.variant == "cross-site" else f"{user.endpoint.scheme}://{user.endpoint.tls_name}:1"


def _sent_along(s: Scenario, user: Client) -> list[str]:
    if s.variant == "same-site" or user.jar is None:
        return [user.cookie_header()]
    return [user.jar.header(user.endpoint.base_url + user.spoken().path, cross_site=True)]


def _preflight(user: Client, connection: RawConnection) -> None:
    """As a browser sends it (Fetch, CORS preflight): without cookies; and what it sets is not kept."""
    asked: list[Header] = [
        ("Origin", OTHER_ORIGIN),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "content-type"),
    ]
    path = user.spoken(cookies=()).path if user.contract.affinity != "url" else "/"
    connection.request(user.name, "OPTIONS", path, asked, note=ODD)
    if connection.spent:
        connection.renew()
