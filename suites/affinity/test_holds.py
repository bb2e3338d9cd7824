"""The pin holds: whatever the client does that does not concern its key."""

from __future__ import annotations

import math
from functools import partial

from limpet import Client, RawConnection, Scenario, behaviour, load, together
from limpet.harness.model.oracle.exchanges import ODD

REQUESTS = 25
"""Requests of one user: with three users a balancer that loses one pin in ten is missed with a chance of 0.5 %."""
MANY = 1497
"""Requests of all users: a balancer that loses one pin in 500 is missed with a chance of 5 %."""
LINES = 10
"""Connections of each user for them: a pin that is read once for each connection only is another row's matter."""
CONNECTIONS = 12
ROUNDS = 8
METHODS = ("GET", "POST", "GET", "HEAD", "POST", "GET")
"""In turn over a connection: what is behind a request with a body, or one whose answer has none, is read anew."""
AT_ONCE = 8
LONG = b"limpet\n" * 20000
"""Above 64 and 128 KiB, where proxies begin to keep bodies in files."""


@behaviour(
    "affinity.holds",
    certainty="Over HTTP one fault in 500 is seen; below it one in 25, since each request takes a connection",
    error_rate=0.0,
    budget=1900,
    sees=0.04,
)
def test_holds(s: Scenario) -> None:
    """All requests of one user reach one backend, of very many too."""
    users = []
    for name in s.names:
        user = s.pinned(name)
        s.step(f"{user.name} is pinned to {name} and sends {REQUESTS} requests")
        for _ in range(REQUESTS):
            # Below layer 7 a kept connection stays where it is by itself and could show nothing.
            user.visit(new_connection=s.contract.layer == 4)
        users.append(user)
    if s.contract.layer == 7:
        each = math.ceil(MANY / len(users) / LINES)
        s.step(f"and each of them {LINES * each} more, over {LINES} connections")
        for _ in range(LINES):
            load(s, users, each, keep=True)


@behaviour("affinity.holds-across-connections", error_rate=0.0, budget=200, sees=0.08)
def test_holds_across_connections(s: Scenario) -> None:
    """A new TCP connection for each request: the same backend."""
    for name in s.names:
        user = s.pinned(name, keep=False)
        s.step(f"{user.name} is pinned to {name} and opens a connection for each of {CONNECTIONS} requests")
        for _ in range(CONNECTIONS):
            s.scramble()
            user.visit(new_connection=True)


@behaviour("affinity.holds-within-connection", layers=(7,), error_rate=0.0, budget=120, sees=0.12)
def test_holds_within_connection(s: Scenario) -> None:
    """Every request of a kept connection is looked at, not only the first: keys that take turns on one connection go
    each to their own backend, whatever the request before brought along."""
    users = [s.pinned(name) for name in s.names]
    if s.contract.affinity == "source-ip":
        s.step(f"each user sends {ROUNDS} requests over one kept connection, while the others do the same")
        lines = [(user, user.raw()) for user in users]
    else:
        s.step(f"the users take turns on one connection, {ROUNDS} requests each in a random order")
        shared = users[0].raw()
        lines = [(user, shared) for user in users]
    turns = lines * ROUNDS
    s.rng.shuffle(turns)
    for number, (user, connection) in enumerate(turns):
        _say(s, user, connection, METHODS[number % len(METHODS)])
    for _, connection in lines:
        connection.close()


def _say(s: Scenario, user: Client, connection: RawConnection, method: str) -> None:
    """A request by this method; by the plain one only, where nobody knows which others the servers take."""
    if s.system.loaded.target.backends.owner != "limpet" or method == "GET":
        user.over(connection)
        return
    if connection.spent:
        connection.renew()
    said, body = user.spoken(), b"item=lamp" * (method == "POST")
    # Whether a method is served at all is no matter of stickiness: only who answers is judged.
    user.heard(connection.request(user.name, method, said.path, said.headers, body=body, note=ODD))


@behaviour("affinity.holds-across-paths-and-methods", layers=(7,), error_rate=0.0, budget=90, sees=0.1)
def test_holds_across_paths_and_methods(s: Scenario) -> None:
    """Other methods, bodies and paths inside the cookie's scope: the same backend."""
    for name in s.names:
        user = s.pinned(name)
        s.step(f"{user.name} is pinned to {name} and uses other methods, bodies and paths")
        _wander(s, user)


def _wander(s: Scenario, user: Client) -> None:
    base = _scope(s)
    calls: list[tuple[str, str, bytes | None, bool]] = [
        ("GET", base, None, False),
        ("GET", f"{base}deep/er/than?before=1&after=%20x", None, False),
        ("GET", f"{base}.hidden;v=1/picture.png", None, False),
        ("HEAD", base, None, False),
        ("POST", f"{base}form", b"name=limpet", False),
        ("POST", f"{base}upload", LONG, False),
        ("POST", f"{base}stream", LONG, True),
        ("PUT", f"{base}thing", b'{"a": 1}', False),
        ("DELETE", f"{base}thing", None, False),
        ("OPTIONS", base, None, False),
    ]
    s.rng.shuffle(calls)
    for method, path, body, chunked in calls:
        # Whether a method or path is served at all is no matter of stickiness: only who answers is judged.
        exchange = user.request(method, path, body=body, chunked=chunked, note=ODD)
        if not exchange.ok:
            s.observe(f"{method} {path} is answered with {exchange.error or exchange.status}")


def _scope(s: Scenario) -> str:
    """The path below which the cookie is sent, with a slash at the end."""
    stated = s.contract.cookie.attributes.path if s.contract.cookie else None
    path = stated.sole if stated is not None else None
    return f"{path.rstrip('/')}/" if path and path.startswith("/") else "/"


@behaviour("affinity.holds-under-concurrency", error_rate=0.0, budget=130, sees=0.07)
def test_holds_under_concurrency(s: Scenario) -> None:
    """Many requests of one user at once, each on its own connection, after the pin exists: the same backend."""
    for name in s.names:
        user = s.pinned(name)
        hands = [user, *(user.another() for _ in range(AT_ONCE - 1))]
        s.step(f"{user.name} is pinned to {name} and sends {AT_ONCE} requests at once, twice")
        for _ in range(2):
            together([partial(hand.visit, new_connection=True) for hand in hands])
        for hand in hands:
            hand.close()
