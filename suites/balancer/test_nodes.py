"""Several nodes of one balancer: whoever a user meets must know the pin."""

from __future__ import annotations

from collections.abc import Callable

from limpet import Client, Exchange, Kind, Scenario, Special, behaviour, nodes_agree, second_node
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import must

USERS = 2
"""Of each backend, that are pinned before the second node starts."""
NEW = 4
"""That come to the second node first."""
MOVED = 8
"""Whose backend fails: those whose pins the second node cannot read all go where they were with a chance of 0.02."""
AHEAD = 30 * 86400.0
"""Seconds for which the second node's machine seems to run longer than the first one's."""


def _unless_promised(contract: Contract) -> str:
    if must(contract.reaction.second_node, "keep"):
        return ""
    return "nodes need not know each other's pins"


@behaviour(
    "balancer.two-nodes",
    fields=("reaction.second_node",),
    needs=("launch",),
    touches="settings",
    layers=(7,),
    variants=("same-order", "other-order", "shifted-clock"),
    special={"shifted-clock": Special(needs=("time-namespace",))},
    unless=_unless_promised,
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=200,
    sees=0.23,
)
def test_two_nodes(s: Scenario) -> None:
    """Two nodes with the same configuration and keys agree on every pin, whichever made it and whichever came first:
    told the members in the same or another order, and on machines that were started at different times. So it is with
    the pins that a failover makes.
    """
    s.need_members(2)
    s.step(f"{USERS} users of each backend are pinned by the first node")
    users = [user for group in s.pinned_to_each(USERS).values() for user in group]
    ahead = AHEAD if s.variant == "shifted-clock" else 0.0
    with second_node(s, reordered=s.variant == "other-order", ahead=ahead) as node:
        s.step("a second node was started: everybody comes to it, and back to the first")
        for user in _shuffled(s, users):
            with s.luck():
                node.visit(user)
            with s.luck():
                user.visit(new_connection=True)
        if s.contract.affinity in ("app-cookie", "header", "url"):
            return  # whose keys somebody else hands out
        s.step(f"{NEW} new users come to the second node first")
        new = [s.client() for _ in range(NEW)]
        for user in new:
            with s.luck():
                first = node.visit(user)
            if s.contract.affinity == "lb-cookie" and first.ok and not user.key:
                text = f"{user.name} got no cookie from the second node"
                s.expect(False, Kind.COOKIE_NOT_ISSUED, text, first)
        nodes_agree(s, node)
        for user in _shuffled(s, [*new, *users]):
            with s.luck():
                user.visit(new_connection=True)
            node.visit(user)
        if s.variant == "same-order" and _writes_down_failovers(s):
            _failed_over(s, node.visit, node.finds_down)


def _writes_down_failovers(s: Scenario) -> bool:
    """Whether the first answer from elsewhere brings a cookie that means its backend to each node."""
    written = s.contract.affinity == "lb-cookie" and must(s.contract.reaction.unhealthy, "repin")
    written = written and s.system.notices_health  # the second node meets nobody from whom it could learn otherwise
    return written and s.n > 2 and s.system.target.can("kill")


def _failed_over(s: Scenario, visit: Callable[[Client], Exchange], finds_down: Callable[[str], None]) -> None:
    """Who was moved by the first node's failover is known to the second one."""
    dead = s.rng.choice(s.names)
    users = [s.pinned(dead) for _ in range(MOVED)]
    s.system.kill(dead)
    finds_down(dead)  # else it may lawfully send home whom a node leads home as soon as it can
    s.step(f"the {MOVED} users of {dead} go on at the first node, and then at the second")
    for user in users:
        with s.luck(s.n - 1):
            user.visit(new_connection=True)
    # Who got no answer still has the old cookie.
    moved = [user for user in users if user.last and user.last.ok and user.issued(user.last)]
    for user in _shuffled(s, moved):
        visit(user)


def _shuffled(s: Scenario, users: list[Client]) -> list[Client]:
    return s.rng.sample(users, len(users))
