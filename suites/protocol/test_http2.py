"""HTTP/2: one connection, many streams, each of them somebody's."""

from __future__ import annotations

from typing import Literal

from limpet import Ask, Client, Contract, Http2Client, Inconclusive, Kind, Scenario, behaviour
from limpet.harness.model.history import Header

AT_ONCE = 8
ROUNDS = 3
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"


def _variants(contract: Contract) -> list[str]:
    return list(contract.http2)


@behaviour(
    "protocol.http2",
    only_cited=True,
    layers=(7,),
    fields=("http2",),
    variants=_variants,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=150,
    sees=0.12,
)
def test_http2(s: Scenario) -> None:
    """Streams of several users that share one HTTP/2 connection go each to their own user's backend."""
    way: Literal["alpn", "prior-knowledge"] = "alpn" if s.variant == "alpn" else "prior-knowledge"
    users = [s.pinned(name) for name in s.names]
    groups = [[user] for user in users] if s.contract.affinity == "source-ip" else [users]
    for group in groups:
        s.step(f"{', '.join(user.name for user in group)} send {AT_ONCE} requests at once, {ROUNDS} times")
        with Http2Client(
            s.system.endpoint, s.recorder, way=way, source=group[0].source, identify=group[0].identify
        ) as connection:
            problem = connection.open()
            if problem:
                raise Inconclusive(f"no HTTP/2 connection came about: {problem}")
            for _ in range(ROUNDS):
                _at_once(s, connection, group)


def _at_once(s: Scenario, connection: Http2Client, group: list[Client]) -> None:
    turns = [group[number % len(group)] for number in range(AT_ONCE)]
    s.rng.shuffle(turns)
    asks = []
    for number, user in enumerate(turns):
        said = user.spoken()
        headers = _split(said.headers) if number % 2 else said.headers
        asks.append(Ask(user.name, said.method, said.path, headers, said.body))
    for user, answer in zip(turns, connection.ask(asks), strict=True):
        user.heard(answer)
        said_id = answer.header("Limpet-Request")
        if said_id:
            text = f"a stream of {user.name} was given the answer to another one"
            s.expect(said_id == answer.id, Kind.WRONG_ANSWER, text, answer)


def _split(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """A field of its own for each cookie, as browsers write them for the sake of compression (RFC 9113, 8.2.3)."""
    found: list[Header] = []
    for name, value in headers:
        pieces = value.split("; ") if name.lower() == "cookie" else [value]
        found += [(name, piece) for piece in pieces]
    return tuple(found)
