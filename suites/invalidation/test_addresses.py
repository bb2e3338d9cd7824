"""The client's address changes, and changes back."""

from __future__ import annotations

from limpet import Client, Contract, Exchange, Kind, NotCheckable, Scenario, behaviour, rebalanced, small_group
from limpet.harness.model.contract.stated import may, must

EACH = 2
MOVES = 3


@behaviour("invalidation.ip-change", fields=("reaction.ip_change",), error_rate=1e-6, budget=150, sees=0.98)
def test_ip_change(s: Scenario) -> None:
    """Where the address is the key, users with another key are new ones (judged over a group); else their pins hold."""
    _require_addresses(s)
    if may(s.contract.reaction.ip_change, "keep"):
        _keeps(s)
    elif s.contract.affinity == "source-ip":
        _is_the_key(s)
    else:
        users = s.pinned_to_each(small_group(s))
        s.step("every user comes from another address")
        what = "the pin was made for another address"
        rebalanced(s, users, Kind.KEY_IGNORED, what, visit=lambda user: _from(s, user, s.sources.draw()))


def _keeps(s: Scenario) -> None:
    people = [user for group in s.pinned_to_each(EACH).values() for user in group]
    homes = {user.name: user.backend for user in people}
    s.step(f"{len(people)} users change their address {MOVES} times")
    kept = 0
    for _ in range(MOVES):
        s.rng.shuffle(people)
        for user in people:
            s.scramble()
            kept += _from(s, user, s.sources.draw()).backend == homes[user.name]
    s.observe(f"{kept} of {MOVES * len(people)} requests from other addresses met their user's backend")


def _is_the_key(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    if s.contract.key_prefix.v4 < 32:
        s.step(f"users come from neighbours that share the first {s.contract.key_prefix.v4} bits of their addresses")
        for group in users.values():
            for user in group[:EACH]:
                _from(s, user, _neighbour(s, user))
    # Where a hash decides, near keys may lawfully fall together, and only far ones are luck.
    hashed = s.contract.algorithm is not None and "hash" in s.contract.algorithm.allowed
    s.step("every user comes from another address, outside of the key")

    def moved(user: Client) -> Exchange:
        sources = s.sources
        return _from(s, user, sources.draw() if hashed else sources.outside(user.source or ""))

    rebalanced(s, users, Kind.KEY_IGNORED, "the address, which is the key, was another one", visit=moved)


def _neighbour(s: Scenario, user: Client) -> str:
    return s.sources.sibling(user.source or "")


def unless_steady(contract: Contract) -> str:
    """Why nothing is said about a client that comes back to its old address."""
    stated = contract.reaction.ip_change
    if contract.affinity == "source-ip" or must(stated, "keep") or (stated is not None and not stated.binding):
        return ""
    return "a cookie need not survive the change of address"


@behaviour(
    "invalidation.ip-return",
    fields=("reaction.ip_change",),
    unless=unless_steady,
    error_rate=0.0,
    budget=120,
    sees=0.23,
)
def test_ip_return(s: Scenario) -> None:
    """Users who were elsewhere and are back on their old addresses, inside the duration, have their old pins."""
    _require_addresses(s)
    people = [user for group in s.pinned_to_each(EACH).values() for user in group]
    homes = {user.name: user.backend for user in people}
    s.step(f"{len(people)} users go to other addresses")
    for user in people:
        _from(s, user, s.sources.draw())
    s.step("they are back on their own addresses")
    kept = 0
    for _ in range(MOVES):
        s.rng.shuffle(people)
        for user in people:
            s.scramble()
            kept += user.visit(new_connection=True).backend == homes[user.name]
    s.observe(f"{kept} of {MOVES * len(people)} requests from the old addresses met their user's first backend")


def _from(s: Scenario, user: Client, source: str) -> Exchange:
    """A visit of this user, with all its cookies, from another address."""
    elsewhere = user.another(source=source)
    try:
        return elsewhere.visit()
    finally:
        elsewhere.close()


def _require_addresses(s: Scenario) -> None:
    if not s.system.local:
        raise NotCheckable("the balancer is not on loopback, so that clients cannot choose their addresses")
