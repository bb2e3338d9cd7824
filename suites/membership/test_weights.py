"""The share of a backend is changed while users are pinned to it."""

from __future__ import annotations

from collections import Counter

from limpet import Client, Contract, Kind, Scenario, behaviour, crowd, hands_of
from limpet.harness.model.contract.stated import may
from limpet.harness.model.statistics import spread

HEAVY = 3
"""The weight that one of three backends of weight 1 gets."""

USERS = 8
"""Who is pinned to that one: so many that not all who are placed anew come home by luck."""

NEW = 200
"""New sessions: three times the share is told from the share of before, whatever it owes for bound requests."""

ROTATORS = 4
"""Worker processes that may take turns each for itself."""

ALPHA = 1e-6
"""The largest probability of a false accusation."""


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
    error_rate=1e-6,
    budget=460,
    sees=0.23,
)
def test_weight_keeps(s: Scenario) -> None:
    """Another weight counts for new sessions only: every pin holds, when it grows and when it shrinks again. Those
    follow it, where new sessions are promised to be spread by weight.
    """
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
    if _by_weight(s):
        s.system.weight(changed, HEAVY * before)
        _new_sessions(s, changed)


def _by_weight(s: Scenario) -> bool:
    """Whether the documentation firmly says that new sessions are spread by the weights."""
    algorithm = s.contract.algorithm
    turns = algorithm is not None and algorithm.binding and set(algorithm.allowed) == {"weighted-round-robin"}
    if not turns or s.contract.layer != 7 or (s.contract.affinity == "source-ip" and not s.system.local):
        return False
    return s.system.loaded.promises("affinity.new-sessions-spread") or not s.cited


def _new_sessions(s: Scenario, changed: str) -> None:
    """Whether the weight of now decides about who comes now; a spread by the one of before is told from it."""
    s.step(f"{NEW} new users send their first request")
    counts = sum(hands_of(crowd(s, [s.client() for _ in range(NEW)], 1)).values(), Counter())
    weights = {member.name: float(member.weight) for member in s.system.target.members}
    if set(counts) - set(weights):
        return  # who is no member has no weight
    # How the others share what is left is the matter of other checks.
    two = {changed: counts[changed], "others": counts.total() - counts[changed]}
    shares = {changed: weights[changed], "others": sum(weights.values()) - weights[changed]}
    result = spread(two, shares, alpha=ALPHA, rotation=True, rotators=ROTATORS)
    what = f"new sessions after {changed} was given a weight of {weights[changed]:g} of {sum(weights.values()):g}"
    s.observe(f"{what}: {result.text}")
    s.expect(not result.worse, Kind.NOT_BALANCED, f"{what}: {result.text}")


def everybody(s: Scenario, users: list[Client], what: str, turns: int) -> None:
    """A request of everybody, each after a fresh draw of limpet's luck among so many turns of a rotation."""
    s.step(f"{what}; everybody goes on, strangers between them")
    s.rng.shuffle(users)
    for user in users:
        with s.luck(turns):
            user.visit(new_connection=True)
