"""A cookie of the balancer's that is too long for one: it comes and goes in numbered pieces."""

from __future__ import annotations

import string

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    NotCheckable,
    Scenario,
    behaviour,
    main_cookies,
    rebalanced,
    small_group,
)
from limpet.harness.model.contract.companion import Shards
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import parse_cookie_headers

SET = "Limpet-Set-Cookie"
LONG = 3900
"""Bytes of an application's cookie that a browser still keeps, and that fills more than one shard when it is copied."""
LENGTHS = (16, 1500, 3000, LONG, 9000, 14000)
"""The longest are none that a browser would keep; they show where the shards end."""
FULL = 0.9
"""A shard counts as full from this share of its size on: names and attributes may count, or not."""
VISITS = 3


def _variants(contract: Contract) -> list[str]:
    found = ["format", "round-trip"]
    if must(contract.reaction.bad_cookie, "replace"):
        found += ["lost-first", "lost-last", "reordered"]
    return found


@behaviour(
    "cookie.shards",
    fields=("cookie.shards", "application.name"),
    layers=(7,),
    affinities=("app-cookie",),
    needs=("sessions",),
    variants=_variants,
    error_rate=1e-6,
    budget=180,
)
def test_shards(s: Scenario) -> None:
    """A long cookie comes in shards as documented and keeps the pin; with a shard lost or misplaced it is a bad one."""
    if s.variant.startswith("lost"):
        _lost(s, 0 if s.variant == "lost-first" else -1)
        return
    {"format": _format, "round-trip": _round_trip, "reordered": _reordered}[s.variant](s)


def _shards(s: Scenario) -> Shards:
    cookie = s.contract.cookie
    assert cookie is not None
    assert cookie.shards is not None
    return cookie.shards


def _name(s: Scenario) -> str:
    application = s.contract.application
    return (application.name if application is not None else None) or ""


def _grow(s: Scenario, user: Client, length: int) -> Exchange:
    """The application gives this user a cookie of so many bytes."""
    text = "".join(s.rng.choices(string.ascii_letters + string.digits, k=length))
    return user.request("GET", s.system.loaded.target.request.path, headers=((SET, f"{_name(s)}={text}; Path=/"),))


def _format(s: Scenario) -> None:
    shards = _shards(s)
    seen: dict[int, int] = {}
    for length in LENGTHS:
        s.step(f"the application sets a cookie of {length} bytes")
        for _ in range(s.n):
            user = s.client()
            answer = _grow(s, user, length)
            given = [each for each in main_cookies(answer, s.contract) if each.value]
            if not given:
                if length <= LONG and answer.ok and answer.backend:
                    s.broken(Kind.COOKIE_NOT_ISSUED, f"{user.name}'s answer does not set the balancer's cookie", answer)
                continue
            names = [each.name for each in given]
            text = f"shards {', '.join(names)} for {user.name}; promised: in order from {shards.names[0]}, each once"
            s.expect(sorted(names) == sorted(shards.names[: len(names)]), Kind.COOKIE_SHARDS, text, answer)
            sizes = [len(each.value) for each in given]
            text = f"shards of {sizes} bytes for {user.name}; promised: {shards.size} bytes at the most"
            s.expect(max(sizes) <= shards.size, Kind.COOKIE_SHARDS, text, answer)
            text = f"{len(sizes)} shards of {sizes} bytes for {user.name}: more than the value needs"
            few = sum(sizes) > FULL * shards.size * (len(sizes) - 1)
            s.expect(few, Kind.COOKIE_SHARDS, text, answer)
            seen[length] = max(seen.get(length, 0), len(sizes))
    s.observe("shards by the length of the application's cookie: " + ", ".join(f"{n}: {k}" for n, k in seen.items()))


def _own(s: Scenario, user: Client) -> list[tuple[str, str]]:
    names = _shards(s).names
    return [(name, value) for name, value in parse_cookie_headers(user.cookie_header()) if name in names]


def _cut_up(s: Scenario, each: int) -> dict[str, list[Client]]:
    """So many users of each backend whose cookie is in several shards.

    Raises:
        NotCheckable: no cookie is that long.
    """
    pinned = s.pinned_to_each(each)
    s.step(f"the application gives each of them a cookie of {LONG} bytes")
    for group in pinned.values():
        for user in group:
            _grow(s, user, LONG)
            if len(_own(s, user)) < 2:
                raise NotCheckable("no cookie of the balancer's was longer than one shard")
    return pinned


def _round_trip(s: Scenario) -> None:
    pinned = _cut_up(s, 2)
    users = [user for group in pinned.values() for user in group]
    for turn in range(VISITS):
        s.rng.shuffle(users)
        for user in users:
            s.scramble()
            user.visit(new_connection=turn == 1)
    s.step("the application's cookie is short again: what is left of the old shards must not hurt")
    homes = {user.name: _grow(s, user, 16).backend for user in users}
    for user in users:
        s.scramble()
        exchange = user.visit()
        if exchange.backend and homes[user.name]:
            text = f"after its cookie became shorter {user.name} moved from {homes[user.name]} to {exchange.backend}"
            s.expect(exchange.backend == homes[user.name], Kind.MOVED, text, exchange)


def _beside(s: Scenario, user: Client) -> list[str]:
    names = _shards(s).names
    pairs = parse_cookie_headers(user.cookie_header())
    return [f"{name}={value}" for name, value in pairs if name not in names]


def _damaged(s: Scenario, pinned: dict[str, list[Client]], sent: dict[str, str], what: str) -> None:
    replaced: list[tuple[Client, Exchange]] = []

    def visit(user: Client) -> Exchange:
        exchange = user.visit(cookie=sent[user.name], new_connection=True)
        replaced.append((user, exchange))
        return exchange

    rebalanced(s, pinned, Kind.COOKIE_ACCEPTED, what, visit=visit)
    for user, exchange in replaced:
        if exchange.ok and exchange.backend:
            text = f"{user.name}: {what}, and the answer has no new cookie"
            s.expect(bool(user.issued(exchange)), Kind.COOKIE_NOT_ISSUED, text, exchange)
    s.step("with what they were given instead they are pinned")
    for user, _ in replaced[:: max(1, len(replaced) // 6)]:
        s.scramble()
        user.visit()


def _lost(s: Scenario, place: int) -> None:
    pinned = _cut_up(s, small_group(s))
    sent: dict[str, str] = {}
    for user in (user for group in pinned.values() for user in group):
        own = _own(s, user)
        del own[place]
        sent[user.name] = "; ".join([*_beside(s, user), *(f"{name}={value}" for name, value in own)])
    _damaged(s, pinned, sent, "a shard was lost")


def _reordered(s: Scenario) -> None:
    pinned = _cut_up(s, small_group(s))
    sent: dict[str, str] = {}
    for group in pinned.values():
        for user in group:
            own = _own(s, user)
            values = [value for _, value in own][::-1]
            pairs = [f"{name}={value}" for (name, _), value in zip(own, values, strict=True)]
            sent[user.name] = "; ".join([*_beside(s, user), *pairs])
    _damaged(s, pinned, sent, "the shards were misplaced")
