"""The pinned backend dies: its users go on elsewhere and stay there, and nobody else notices."""

from __future__ import annotations

import itertools

from limpet import Client, Contract, Exchange, Kind, Observed, Scenario, behaviour, load, main_cookies
from limpet.harness.model.contract.stated import may, must

DURING = 12
"""Requests at the most while the failure is not noticed yet."""

STAYS = 15
"""Requests of each user after its failover, each after a fresh draw of limpet's luck among the survivors."""

ROUNDS = 4
"""How often everybody comes at the most while the failure is not noticed yet."""


def failures(s: Scenario, seen: list[Exchange]) -> None:
    """Notes how many requests of the time before the failure was noticed had no good answer."""
    if seen:
        lost = sum(not each.ok for each in seen)
        s.observe(f"{lost} of {len(seen)} requests failed before the failure was noticed")


@behaviour(
    "failover.repins",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    certainty="Errors count from the moment on by which the balancer must have noticed",
    error_rate=0.0,
    budget=150,
    sees=0.27,
)
def test_repins(s: Scenario) -> None:
    """A killed backend: its users' next requests succeed elsewhere, on whatever connection and with whatever cookie."""
    dead = s.rng.choice(s.names)
    early, kept, fresh, stale = (s.pinned(dead) for _ in range(4))
    others = [s.pinned(name) for name in s.names if name != dead]
    stale.freeze()
    seen: list[Exchange] = []

    def meanwhile() -> None:
        if len(seen) < DURING:
            seen.append(early.visit(new_connection=len(seen) % 2 == 0))

    s.system.kill(dead, meanwhile=meanwhile)
    failures(s, seen)
    s.step("everybody goes on: on a kept connection, on new ones, and with the cookie of old")
    served = serves_elsewhere(s.contract)
    answered: set[str] = set()
    for _ in range(5):
        answers = [kept.visit(), *(user.visit(new_connection=True) for user in (early, fresh, stale))]
        if s.contract.layer == 7:
            # Nothing of it was sent to anybody yet, so that a POST fails over as well as a GET does.
            answers.append(stale.request("POST", s.system.loaded.target.request.path, body=b"item=lamp"))
        if served:
            s.decided += sum(each.ok for each in answers)  # had one failed, the oracle would have said so
        answered |= {each.sent.client for each in answers if each.ok}
        for user in others:
            user.visit(new_connection=True)
    for user in (early, kept, fresh, stale):
        # A balancer that learns from failing requests may fail one now and then, but never all of somebody's.
        if served and user.name not in answered:
            s.broken(Kind.NO_FAILOVER, f"none of {user.name}'s requests after the failure was answered", user.last)


def serves_elsewhere(contract: Contract) -> bool:
    """Whether users of a failed backend must be answered by others."""
    stated = contract.reaction.unhealthy
    return stated is not None and stated.binding and set(stated.allowed) <= {"repin", "reroute"}


@behaviour(
    "failover.repins-once",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    certainty=f"a balancer that places every later request anew among two survivors is "
    f"missed with a probability of {2.0 ** (-2 * STAYS):.0e}",
    error_rate=0.0,
    budget=130,
    sees=0.1,
)
def test_repins_once(s: Scenario) -> None:
    """After the failover a user stays where it went: one move, not one for each request."""
    s.need_members(3)
    dead = s.rng.choice(s.names)
    users = [s.pinned(dead) for _ in range(2)]
    s.system.kill(dead)
    survivors = s.n - 1
    homes: dict[str, list[str]] = {}
    s.step(f"{STAYS + 1} requests of each user, strangers between them")
    for _ in range(STAYS + 1):
        for user in users:
            with s.luck(survivors):
                answer = user.visit(new_connection=True)
            homes.setdefault(user.name, []).append(answer.backend)
    if not must(s.contract.reaction.unhealthy, "repin"):
        raise Observed("; ".join(f"{name}: {moves(seen)} further moves" for name, seen in homes.items()))


def moves(seen: list[str]) -> int:
    """How often the answering backend changed."""
    answered = [name for name in seen if name]
    return sum(one != other for one, other in itertools.pairwise(answered))


@behaviour(
    "failover.new-cookie",
    fields=("reaction.unhealthy", "cookie.issued"),
    needs=("kill",),
    touches="backends",
    layers=(7,),
    affinities=("lb-cookie",),
    certainty="a cookie that pins nobody is missed with a probability of 6e-05 for each of "
    "three users, so 2e-13 in all",
    error_rate=0.0,
    budget=160,
    sees=0.09,
)
def test_new_cookie(s: Scenario) -> None:
    """The re-pin is carried by a new cookie: it comes with the first answer from elsewhere, and it pins."""
    dead = s.rng.choice(s.names)
    users = [s.pinned(dead) for _ in range(3)]
    s.system.kill(dead)
    promised = must(s.contract.reaction.unhealthy, "repin")
    # Who keeps a table may bind the cookie that the user has to another backend.
    cookie = s.contract.cookie
    told = s.cited or (
        cookie is not None and (must(cookie.issued, "every-response") or must(cookie.value, "server-id"))
    )
    issued = [first_answer(s, user, dead, promised=promised and told) for user in users]
    if not promised:
        raise Observed(f"{sum(issued)} of {len(users)} users got a new cookie with their first answer from elsewhere")
    s.step("the new cookie is all that they show from now on")
    for _ in range(STAYS - 1):
        for user in users:
            with s.luck(s.n - 1):
                user.visit(new_connection=True)


def attributes(s: Scenario, exchange: Exchange | None) -> list[str]:
    """What the balancer's cookie in this answer carries of all that is promised of it; of times only that they are."""
    stated = s.contract.cookie.attributes if s.contract.cookie else None
    found: set[str] = set()
    for each in main_cookies(exchange, s.contract) if exchange is not None else ():
        for attribute in each.attributes:
            name = attribute.name.lower()
            field = {"max-age": "max_age", "httponly": "http_only", "samesite": "same_site"}.get(name, name)
            if getattr(stated, field, None) is not None:
                found.add(name if name in ("expires", "max-age") else f"{name}={attribute.value or ''}".lower())
    return sorted(found)


def first_answer(s: Scenario, user: Client, dead: str, *, promised: bool) -> bool:
    """Whether the user's first answer from elsewhere carried a new cookie."""
    old = user.key
    before = attributes(s, user.last)
    answer = user.visit()
    if not answer.ok or not answer.backend:
        return False  # whether it may fail is the oracle's question
    given = user.issued(answer)
    if promised:
        what = f"{user.name} was moved from {dead} to {answer.backend}"
        s.expect(bool(given), Kind.COOKIE_NOT_ISSUED, f"{what} without a new cookie", answer)
        text = f"{what} with a cookie that carries {attributes(s, answer)}, the first one carried {before}"
        s.expect(not given or attributes(s, answer) == before, Kind.COOKIE_ATTRIBUTE, text, answer)
        cookie = s.contract.cookie
        names_server = cookie is not None and (must(cookie.value, "server-id") or must(cookie.value, "encodes-address"))
        if given and names_server:
            s.expect(old not in given, Kind.COOKIE_IGNORED, f"{what} with the cookie that means {dead}", answer)
    return bool(given)


@behaviour(
    "failover.others-unmoved",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    certainty="A balancer that places everybody anew, once, is missed with a probability of 6e-05",
    error_rate=0.0,
    budget=190,
    sees=0.29,
)
def test_others_unmoved(s: Scenario) -> None:
    """Users of healthy backends stay where they are, before and after the failure is noticed."""
    s.need_members(3)  # of two one would be left, and its users have nowhere else to go
    groups = s.pinned_to_each(7)
    dead = s.rng.choice(s.names)
    lost = groups.pop(dead)[0]
    users = [user for group in groups.values() for user in group]
    s.rng.shuffle(users)
    for user in users[:4]:
        user.freeze()
    homes = {user.name: user.backend for user in users}
    count = 0

    def meanwhile() -> None:
        nonlocal count
        if count < DURING:
            (lost if count % 4 == 0 else users[count % len(users)]).visit(new_connection=True)
            count += 1

    s.system.kill(dead, meanwhile=meanwhile)
    s.step("those who lost nothing go on, strangers between them")
    moved: set[str] = set()
    for anew in (True, False):
        for user in users:
            s.scramble(s.n - 1)
            if user.visit(new_connection=anew).backend not in ("", homes[user.name]):
                moved.add(user.name)
    said = s.contract.reaction
    if may(said.added, "remap") and not must(said.recovered, "return"):
        # Whoever may spread all keys anew over the backends that are open may do so here.
        raise Observed(f"{len(moved)} of {len(users)} users of healthy backends moved")


@behaviour(
    "failover.rate",
    charted=True,
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    certainty="One needless move among ten users is seen; "
    "that ten users are all placed where they were, by luck, has a probability of 1e-03",
    error_rate=0.0,
    budget=220,
    sees=0.26,
)
def test_rate(s: Scenario) -> None:
    """One backend of n fails: the users that move are those that were pinned to it, and no others."""
    s.need_members(3)  # of two one would be left, and its users have nowhere else to go
    groups = s.pinned_to_each(5)
    dead = s.rng.choice(s.names)
    users = {user.name: user for group in groups.values() for user in group}
    homes = {user.name: name for name, group in groups.items() for user in group}
    moved: set[str] = set()
    rounds = 0

    def everybody() -> None:
        nonlocal moved
        moved |= {name for name, backend in _loaded(s, list(users.values())) if backend not in ("", homes[name])}

    def meanwhile() -> None:
        nonlocal rounds
        if rounds < ROUNDS:
            rounds += 1
            everybody()

    s.step(f"all {len(users)} users at once, before and again and again while {dead} fails")
    everybody()
    s.system.kill(dead, meanwhile=meanwhile)
    s.step("everybody goes on, all at once")
    for _ in range(2):
        everybody()
    had_to = sum(homes[name] == dead for name in moved)
    s.observe(f"{had_to} of {len(groups[dead])} users of {dead} moved, and {len(moved) - had_to} of the other "
              f"{len(users) - len(groups[dead])}")  # fmt: skip


def _loaded(s: Scenario, users: list[Client]) -> list[tuple[str, str]]:
    """One request of each user, all at once where HTTP is spoken: whose it was, and who answered."""
    if s.contract.layer == 7:
        return [(each.client, each.backend) for each in load(s, users, 1)]
    return [(user.name, user.visit(new_connection=True).backend) for user in users]
