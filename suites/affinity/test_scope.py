"""Where there is more than one group of servers: how far a pin reaches, and what it leads to."""

from __future__ import annotations

from limpet import Client, Contract, Exchange, Kind, NotCheckable, Scenario, behaviour, rebalanced, small_group
from limpet.harness.model.statistics import never_leaves

ALPHA = 1e-6
NEWCOMERS = 2
"""New users of the other group for each backend."""
AGAIN = 3
USERS = 10
"""Users for each group, each of whom meets one of its servers again or does not."""


def _one_group(contract: Contract) -> str:
    """Why a deployment promises nothing that could be seen."""
    scope = contract.scope
    return "" if scope is not None and scope.path else "this deployment has one group of servers only"


@behaviour(
    "affinity.scope",
    fields=("scope.ends",),
    unless=_one_group,
    layers=(7,),
    affinities=("lb-cookie", "source-ip"),
    error_rate=1e-6,
    budget=300,
    sees=0.98,
)
def test_scope(s: Scenario) -> None:
    """A pin means nothing in another group of the same servers (judged over a group of users), and holds in its own.

    Users who carry a pin of one group to the other are balanced anew there; back in the first one, with the cookies of
    before, they are where they were. Pins that are made in the other group hold there.
    """
    assert s.contract.scope is not None and s.contract.scope.path is not None
    path = s.contract.scope.path
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    for user in people:
        user.freeze()
    s.step(f"{len(people)} users go to the other group, below {path}, with what pins them to the first one")
    what = "the pin was made in another group"
    rebalanced(s, users, Kind.STICKY_UNASKED, what, visit=lambda user: _elsewhere(s, user, path))
    s.step("and back, in another order")
    s.rng.shuffle(people)
    for user in people:
        s.scramble()
        user.visit(new_connection=True)
    s.step(f"{NEWCOMERS * s.n} new users come to the other group first, and stay there")
    newcomers = [s.client() for _ in range(NEWCOMERS * s.n)]
    for _ in range(AGAIN):
        s.rng.shuffle(newcomers)
        for user in newcomers:
            _elsewhere(s, user, path)


def _elsewhere(s: Scenario, user: Client, path: str) -> Exchange:
    """A request to the other group, whose rotation stands anywhere."""
    for _ in range(s.rng.randrange(s.n)):
        s.client(cookies=False, keep=False).request("GET", path)
    return user.request("GET", path, new_connection=True)


@behaviour(
    "affinity.balanced-in-group",
    fields=("group.inside",),
    layers=(7,),
    error_rate=1e-6,
    budget=300,
    sees=0.95,
    certainty="judged by the luck of meeting one of the group's servers again",
)
def test_balanced_in_group(s: Scenario) -> None:
    """Where a pin leads to a group of servers, it is kept there, and each request is balanced anew among them."""
    size = s.system.loaded.target.backends.servers
    if size < 2:
        raise NotCheckable("each group of this deployment is a single server")
    people = [user for group in s.pinned_to_each(USERS).values() for user in group]
    s.step(f"{len(people)} pinned users come again, in a random order, with strangers before each")
    s.rng.shuffle(people)
    met = answered = 0
    shown: Exchange | None = None
    for user in people:
        before = user.last.instance if user.last is not None else ""
        s.scramble(among=s.n * size)
        exchange = user.visit(new_connection=True)
        if not before or not exchange.instance:
            continue  # a failure is the oracle's to judge
        answered += 1
        if exchange.instance == before:
            met, shown = met + 1, exchange
    result = never_leaves(met, answered, 1 / size, ALPHA)
    s.certain(result.text)
    if result.rejected:
        s.broken(Kind.STICKY_UNASKED, f"users meet one server of their group again: {result.text}", shown)
    else:
        s.decide_together(answered, result.visible)
