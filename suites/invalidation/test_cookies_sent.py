"""Cookies that are not sent, sent twice, or sent by somebody else."""

from __future__ import annotations

from limpet import (
    Client,
    Exchange,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    behaviour,
    largest_share,
    rebalanced,
    require_others,
    small_group,
)
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import parse_cookie_headers
from limpet.harness.model.oracle.exchanges import ODD, cookie_names
from limpet.harness.model.statistics import never_leaves, runs_needed

COOKIES = ("lb-cookie", "app-cookie")
ALPHA = 1e-6
MOST = 150
"""Requests without cookies at the most, where one backend gets nearly all."""
EACH = 2
REPEATS = 3


@behaviour(
    "invalidation.no-cookie",
    only_cited=True,
    affinities=COOKIES,
    variants=("dropped", "disabled"),
    alone=True,
    error_rate=1e-6,
    budget=180,
)
def test_no_cookie(s: Scenario) -> None:
    """Whoever sends no cookie, because it was dropped or cookies are off, is balanced anew at every request."""
    if s.variant == "dropped":
        users = s.pinned_to_each(small_group(s))
        s.step("every user has lost the cookies; the connections are still open")
        rebalanced(
            s, users, Kind.STICKY_UNASKED, "the cookie was not sent any more", visit=lambda user: user.visit(cookie="")
        )
        return
    user = s.client(cookies=False)
    share = largest_share(s)
    visits = min(MOST, runs_needed(share, ALPHA) + 2) if share < 1 else MOST
    s.step(f"{user.name}, whose browser takes no cookies, sends {visits} requests on one connection")
    seen: list[Exchange] = []
    for _ in range(visits):
        with s.luck():
            exchange = user.visit()
        if exchange.backend:
            seen.append(exchange)
    again = sum(each.backend == seen[0].backend for each in seen[1:])
    result = never_leaves(again, max(0, len(seen) - 1), share, ALPHA)
    s.certain(result.text)
    if result.rejected:
        require_others(s, seen[0].backend, visits)
        text = f"a user without cookies met {seen[0].backend} again and again: {result.text}"
        s.broken(Kind.STICKY_UNASKED, text, seen[-1])
    elif not result.able:
        raise Inconclusive(f"only {len(seen)} requests were answered, too few to exclude luck")
    else:
        s.decided += len(seen)


@behaviour(
    "invalidation.duplicate-cookies",
    affinities=COOKIES,
    variants=("same-value", "different-values", "first-is-dead"),
    error_rate=0.0,
    budget=180,
    sees=0.32,
)
def test_duplicate_cookies(s: Scenario) -> None:
    """Two cookies of the name: with one value the pin holds, with two the documented one decides."""
    users = [user for group in s.pinned_to_each(EACH).values() for user in group]
    s.rng.shuffle(users)
    if s.variant == "same-value":
        s.step(f"{len(users)} users send their cookies twice")
        kept = 0
        for user in users:
            for _ in range(REPEATS):
                twice = "; ".join([_pair(s, user)] * 2)
                home = user.backend
                s.scramble()
                kept += user.visit(cookie=twice).backend == home
        s.observe(f"{kept} of {REPEATS * len(users)} requests that carried the cookie twice met their user's backend")
        return
    if s.variant == "first-is-dead":
        _first_is_dead(s, users)
        return
    cookies = {user.name: _pair(s, user) for user in users}
    homes = {user.name: user.backend for user in users}
    pairs = [(one, other) for one in users for other in users if one.backend != other.backend][: 2 * EACH]
    s.step(f"{len(pairs)} requests, {REPEATS} times each, carry the cookies of two users of different backends")
    first = last = other = unstable = 0
    for one, two in pairs:
        met: set[str] = set()
        for _ in range(REPEATS):
            s.scramble()
            backend = one.visit(cookie=f"{cookies[one.name]}; {cookies[two.name]}").backend
            met.add(backend)
            first += backend == homes[one.name]
            last += backend == homes[two.name]
            other += backend not in (homes[one.name], homes[two.name])
        unstable += len(met - {""}) > 1
    duplicates = s.contract.reaction.duplicates
    if not must(duplicates, "first") and not must(duplicates, "last"):
        said = f"of two different cookies the first decided {first} times, the last {last}, neither {other}"
        changed = f"the choice changed for {unstable} of {len(pairs)} pairs although nothing else did"
        raise Observed(f"{said}; {changed if unstable else 'the choice was the same each time'}")


def _first_is_dead(s: Scenario, users: list[Client]) -> None:
    """Only where a sentence names this very variant: many products go by the first cookie, whatever it is worth."""
    loaded = s.system.loaded
    named = any(
        "invalidation.duplicate-cookies[first-is-dead]" in each.behaviours
        for each in loaded.catalogue.requirements(loaded.profile_name, "invalidation.duplicate-cookies[first-is-dead]")
    )
    kept = 0
    for user in users:
        pair = _pair(s, user)
        home = user.backend
        for _ in range(2 * REPEATS):
            s.scramble()
            exchange = user.visit(cookie=f"{pair.partition('=')[0]}=limpet-nowhere; {pair}", note=ODD)
            kept += exchange.backend == home
            if named and exchange.backend:
                text = f"{user.name}, pinned to {home}, sent a dead cookie before the live one: {exchange.backend}"
                s.expect(exchange.backend == home, Kind.COOKIE_IGNORED, text, exchange)
    seen = f"behind a dead cookie of its name the live one decided {kept} of {2 * REPEATS * len(users)} times"
    if not named:
        raise Observed(seen)
    s.observe(seen)


def _pair(s: Scenario, user: Client) -> str:
    """``name=value`` of the cookie that the balancer goes by; of twins the first."""
    wanted = cookie_names(s.contract)
    if wanted is None:
        raise NotCheckable("the contract does not name the cookie")
    carried = parse_cookie_headers(s.keyed(user).cookie_header())
    found = [f"{name}={value}" for name, value in carried if wanted.fullmatch(name)]
    if not found:
        raise Inconclusive(f"{user.name} has no cookie to send")
    return found[0]


@behaviour(
    "invalidation.replay",
    affinities=COOKIES,
    error_rate=0.0,
    budget=90,
    certainty="what is seen is shown, not judged; but the oracle judges every request",
)
def test_replay(s: Scenario) -> None:
    """Somebody else, from another address and with another browser, sends a user's cookie: who answers?"""
    users = [user for group in s.pinned_to_each(EACH).values() for user in group]
    s.step(f"the cookies of {len(users)} users are sent by others")
    met = 0
    s.rng.shuffle(users)
    for user in users:
        thief = s.client()
        s.scramble()
        exchange = thief.visit(cookie=user.cookie_header())
        met += bool(exchange.backend) and exchange.backend == user.backend
    s.observe(
        f"{met} of {len(users)} strangers who sent a user's cookie met that user's backend"
        + ("; whoever has the cookie has the pin, so it must be as secret as the session" if met == len(users) else "")
    )
