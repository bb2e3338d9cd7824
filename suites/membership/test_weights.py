"""The share of a backend is changed while users are pinned to it."""

from __future__ import annotations

from limpet import Client, Contract, Scenario, behaviour
from limpet.harness.model.contract.stated import may

HEAVY = 3
"""The weight that one of three backends of weight 1 gets."""

USERS = 8
"""Who is pinned to that one: so many that not all who are placed anew come home by luck."""


def remaps(contract: Contract) -> str:
    """Why a change of weights may move anybody."""
    if may(contract.reaction.added, "remap"):
        return "a change of the membership may place everybody anew, and so may another weight"
    return ""


@behaviour(
    "membership.weight-keeps",
    fields=("reaction.added",),
    needs=("weight",),
    touches="membership",
    unless=remaps,
    certainty="A balancer that places the users of the changed backend anew, once for each change, is missed with a "
    "probability of 3e-06; one that places everybody anew with 1e-08",
    error_rate=0.0,
    budget=220,
    sees=0.23,
)
def test_weight_keeps(s: Scenario) -> None:
    """Another weight counts for new sessions only: every pin holds, when it grows and when it shrinks again."""
    s.need_members(2)
    changed = s.rng.choice(s.names)
    users = [s.pinned(changed) for _ in range(USERS)] + [s.pinned(name) for name in s.names if name != changed]
    before = next(member.weight for member in s.system.target.members if member.name == changed)
    s.system.weight(changed, HEAVY * before)
    everybody(s, users, "its share is larger", s.n - 1 + HEAVY)
    s.system.weight(changed, before)
    everybody(s, users, "its share is as before", s.n)
    s.step("everybody goes on, on kept connections")
    for user in users:
        user.visit()


def everybody(s: Scenario, users: list[Client], what: str, turns: int) -> None:
    """A request of everybody, each after a fresh draw of limpet's luck among so many turns of a rotation."""
    s.step(f"{what}; everybody goes on, strangers between them")
    s.rng.shuffle(users)
    for user in users:
        with s.luck(turns):
            user.visit(new_connection=True)
