"""Where the users of a failed backend go, all of them together."""

from __future__ import annotations

from collections import Counter

from limpet import Contract, Inconclusive, Kind, NotCheckable, Observed, Scenario, behaviour
from limpet.harness.model.contract.stated import must

USERS = 30
"""Of the backend that fails: that chance leads all of them to the same one of two others has a probability of 2e-09."""

ALPHA = 1e-6
"""The largest probability of a false accusation."""


def unless_dealt(contract: Contract) -> str:
    """Why those who lose their backend need not be dealt out by the algorithm."""
    if contract.algorithm is not None and contract.algorithm.may("hash"):
        return "a hash may hand all keys of a backend to the same other one"
    return "" if must(contract.reaction.unhealthy, "repin") else "a failover need not place anybody anew"


@behaviour(
    "failover.spread",
    fields=("reaction.unhealthy", "algorithm"),
    only_cited=True,
    needs=("kill",),
    touches="backends",
    unless=unless_dealt,
    certainty="Only a herd is rejected: that all go to the same one",
    error_rate=ALPHA,
    budget=420,
)
def test_spread(s: Scenario) -> None:
    """The users of a failed backend are not all led to the same other one, where they are placed as new users are."""
    s.need_members(3)
    if s.contract.affinity == "source-ip" and not s.system.local:
        raise NotCheckable("all clients come from one address, which is one key")
    dead = s.rng.choice(s.names)
    users = [s.pinned(dead) for _ in range(USERS)]
    s.system.kill(dead)
    s.step(f"the {USERS} users of {dead} go on, strangers between them")
    met: Counter[str] = Counter()
    for user in users:
        with s.luck(s.n - 1):
            answer = user.visit(new_connection=True)
        met[answer.backend] += answer.backend not in ("", dead)
    weights = {member.name: member.weight for member in s.system.target.members if member.name != dead}
    seen = ", ".join(f"{name} {met[name]}" for name in weights)
    text = f"of {met.total()} users of {dead}, which failed, each was placed anew: {seen}"
    algorithm = s.contract.algorithm
    if algorithm is None or not algorithm.binding:
        raise Observed(text)
    chance = sum((weight / sum(weights.values())) ** met.total() for weight in weights.values())
    if set(+met) - set(weights) or chance > ALPHA:
        raise Inconclusive(f"too few were answered by backends of known weight: {text}")
    s.observe(text)
    s.decide_together(met.total(), None)
    if len(+met) == 1:
        s.broken(Kind.NOT_BALANCED, f"{text}; chance alone gives p = {chance:.1g}, limit {ALPHA:g}")
