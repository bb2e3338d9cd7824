"""Two keys in one request that lead to different backends: which of them counts."""

from __future__ import annotations

from limpet import Client, Contract, Kind, NotCheckable, Scenario, behaviour
from limpet.harness.model.contract.stated import must

ROUNDS = 3


def _variants(contract: Contract) -> list[str]:
    found = []
    keyed = contract.affinity in ("lb-cookie", "app-cookie", "header", "url")
    if keyed and must(contract.reaction.ip_change, "keep"):
        found.append("address")
    if contract.url is not None and any(must(contract.url.cookie, word) for word in ("unread", "after", "before")):
        found.append("url-and-cookie")
    return found


@behaviour(
    "affinity.key-precedence",
    layers=(7,),
    affinities=("lb-cookie", "app-cookie", "header", "url"),
    variants=_variants,
    unless=lambda contract: "" if _variants(contract) else "the documentation does not say which key counts",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=140,
    sees=0.5,
)
def test_key_precedence(s: Scenario) -> None:
    """Of two keys in one request the documented one decides: the client's key before its address, the URL's id before
    or behind the cookie."""
    users = [s.pinned(name) for name in s.names]
    if s.variant == "address":
        _address(s, users)
    elif s.variant == "url-and-cookie":
        _cookie(s, users)


def _address(s: Scenario, users: list[Client]) -> None:
    """Everybody comes from one address, as behind a gateway; the oracle judges by the keys."""
    if not s.system.local:
        raise NotCheckable("all clients come from this machine's one address anyhow")
    source = s.rng.choice(users).source
    s.step(f"{len(users)} users of different backends all come from {source}")
    hands = [user.another(source=source) for user in users] * ROUNDS
    s.rng.shuffle(hands)
    for hand in hands:
        hand.visit(new_connection=True)
    for hand in hands[: len(users)]:
        hand.close()


def _cookie(s: Scenario, users: list[Client]) -> None:
    key, application = s.contract.url, s.contract.application
    if key is None or application is None or not application.name:
        raise NotCheckable("the contract does not name the application's cookie")
    cookie_first = must(key.cookie, "before")
    pairs = [(one, other, one.backend, other.backend) for one in users for other in users if one is not other]
    s.step(f"{len(pairs)} requests carry one user's id in the URL and another's in the cookie {application.name}")
    for one, other, home, others in pairs:
        s.scramble()
        exchange = one.visit(cookie=f"{application.name}={other.key}", new_connection=True)
        if exchange.backend:
            wanted = others if cookie_first else home
            text = f"the URL's id led to {home}, the cookie's to {others}; the request reached {exchange.backend}"
            s.expect(exchange.backend == wanted, Kind.MOVED, text, exchange)
