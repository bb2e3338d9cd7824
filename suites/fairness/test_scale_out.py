"""How long a new backend takes to its part of the load while old sessions live."""

from __future__ import annotations

import time

from limpet import Client, Exchange, Observed, Scenario, behaviour
from limpet.harness.model.contract.stated import must

SESSIONS = 24
"""Users at the same time; whoever leaves is followed by somebody new."""
LIFE = 6
"""Visits after which a user leaves for good."""
ROUNDS = 30
"""Rounds of everybody after the new backend came, at the most."""
WINDOW = 3
"""Rounds over which the share is taken."""
FAIR = 0.8
"""Of its declared part: from then on it counts as reached."""


@behaviour(
    "fairness.scale-out-lag",
    fields=("reaction.added",),
    needs=("add",),
    touches="membership",
    charted=True,
    lengthy=True,
    certainty="how long it takes is shown, not judged; that sessions stay where they are is judged as always",
    error_rate=0.0,
    budget=2000,
)
def test_scale_out_lag(s: Scenario) -> None:
    """Sessions come and go, a backend is added: how long until it has its part of the sessions and of the requests."""
    s.need_members(2)
    users = [s.pinned() for _ in range(SESSIONS)]
    visits = {user.name: s.rng.randrange(LIFE) for user in users}  # they do not all leave at once
    for _ in range(2):
        round_of(s, users, visits)
    newcomer = s.system.add()
    weights = {member.name: member.weight for member in s.system.target.members}
    part = weights[newcomer] / max(1, sum(weights.values()))
    begin = time.monotonic()
    s.step(f"{newcomer} joins; its part is {part:.0%}")
    recent: list[list[Exchange]] = []
    for number in range(1, ROUNDS + 1):
        recent = [*recent[-WINDOW + 1 :], round_of(s, users, visits)]
        answers = [answer for each in recent for answer in each if answer.backend]
        share = sum(answer.backend == newcomer for answer in answers) / max(1, len(answers))
        if number >= WINDOW and share >= FAIR * part:
            when = f"after {number} rounds ({time.monotonic() - begin:.1f} s)"
            text = f"{newcomer} had {share:.0%} of the requests, and its part is {part:.0%}, {when}"
            break
    else:
        text = f"{newcomer} had {share:.0%} of the requests after {ROUNDS} rounds, and its part is {part:.0%}"
    s.observe(f"{text}, with sessions of {LIFE} visits")
    if not must(s.contract.reaction.added, "keep"):
        raise Observed(s.observations[-1])


def round_of(s: Scenario, users: list[Client], visits: dict[str, int]) -> list[Exchange]:
    """One visit of everybody in a random order; who has had all of them is followed by somebody new."""
    answers = []
    for place in s.rng.sample(range(len(users)), len(users)):
        user = users[place]
        if visits[user.name] >= LIFE:
            user.close()
            user = users[place] = s.client()
            visits[user.name] = 0
        # Below layer 7 a connection is placed once: only a new one shows where its user belongs.
        answers.append(user.visit(new_connection=s.rng.random() < 0.5))
        visits[user.name] += 1
    return answers
