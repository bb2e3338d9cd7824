"""A steady state, a mixture of faults drawn from the seed, and a steady state again."""

from __future__ import annotations

from limpet import (
    STEADY,
    Exchange,
    Inconclusive,
    Kind,
    Nemesis,
    NotCheckable,
    Observed,
    Scenario,
    Traffic,
    behaviour,
    everybody_is_served,
    perform,
    printed,
    steady_plan,
)

USERS = 2
"""For each backend, who are there from the beginning."""
NEW = 40
"""Who come for the first time while things go wrong."""
ROUNDS = 5
LEFT = 3
"""Requests of everybody after all is healed."""


@behaviour(
    "chaos.steady-state",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    wired=True,
    lengthy=True,
    charted=True,
    foretells=lambda loaded, seed, _: printed(steady_plan(loaded, seed, ROUNDS, wired=False)),
    certainty="The faults are drawn from the seed: every kind that the target can have is as likely as any other",
    error_rate=1e-6,
    budget=20_000,
)
def test_steady_state(s: Scenario) -> None:
    """Several faults at once and after one another, then none: nothing beyond the contract, and all is well again."""
    s.need_members(2)
    plan = steady_plan(
        s.system.loaded, s.plan_seed, ROUNDS, wired=s.system.wired, linked=s.system.linked, names=s.names
    )
    if not plan:
        raise NotCheckable(f"{s.system.loaded.target.name} can have none of these faults: {', '.join(STEADY)}")
    users = [user for group in s.pinned_to_each(USERS).values() for user in group]
    fresh = [s.client() for _ in range(NEW)]
    steady = [user.visit(new_connection=True) for user in users]
    if not all(answer.ok for answer in steady):
        raise Inconclusive("requests fail before anything was done: there is no steady state to begin with")
    s.step(f"the plan: {'; '.join(printed(plan).splitlines())}")
    with Nemesis(s.system) as nemesis:
        with Traffic(s, users, newcomers=fresh) as traffic:
            impossible = perform(plan, nemesis, s.real_wait)
        during = list(traffic.answers)
    for text in impossible:
        s.observe(f"left out: {text}")
    s.step("all is healed: everybody goes on")
    reached = everybody_is_served(s)
    for _ in range(LEFT):
        for user in users:
            with s.luck():
                user.visit(new_connection=True)
    errors(s, during)
    unhealthy = s.contract.reaction.unhealthy
    if unhealthy is None or not unhealthy.binding:
        raise Observed(s.observations[0])
    s.decided += reached


def errors(s: Scenario, during: list[Exchange]) -> None:
    """The share of requests that failed while things were wrong; a violation where a budget of the target is exceeded.

    Which single failure was wrong the oracle says.
    """
    failed = sum(not each.ok for each in during)
    text = f"{failed} of {len(during)} requests failed while faults were in force"
    s.observe(text)
    allowed = s.system.loaded.target.budget.errors
    if allowed is not None and during:
        share = failed / len(during)
        worst = next((each for each in during if not each.ok), None)
        s.expect(share <= allowed, Kind.ERROR, f"{text}: {share:.1%}, and the budget is {allowed:.1%}", worst)
