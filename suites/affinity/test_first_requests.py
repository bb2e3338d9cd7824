"""A new user's first requests come all at once."""

from __future__ import annotations

from limpet import Kind, Scenario, behaviour, together
from limpet.harness.model.contract.stated import must

RACES = 4
AT_ONCE = 6
AFTER = 5


@behaviour(
    "affinity.first-requests-race", certainty="the race itself is only observed", error_rate=0.0, budget=150, sees=0.2
)
def test_first_requests_race(s: Scenario) -> None:
    """One new user, several first requests at once: how many pins that makes is observed; after it there is one."""
    made: list[int] = []
    for _ in range(RACES):
        user = s.client()
        hands = [user, *(user.another() for _ in range(AT_ONCE - 1))]
        first = together([hand.visit for hand in hands])
        homes = {each.backend for each in first if each.backend}
        made.append(len(homes))
        s.step(f"{user.name}: {AT_ONCE} first requests at once met {', '.join(sorted(homes)) or 'nobody'}")
        if s.contract.affinity == "source-ip" and must(s.contract.algorithm, "hash"):
            text = f"a hash of one address led {AT_ONCE} requests to {' and '.join(sorted(homes))}"
            s.expect(len(homes) <= 1, Kind.MOVED, text, first[-1])
        for number in range(AFTER):
            s.scramble()
            hands[number % AT_ONCE].visit(new_connection=True)
        for hand in hands:
            hand.close()
    s.observe(f"{AT_ONCE} first requests of one user at once met {_listed(made)} backends")


def _listed(counts: list[int]) -> str:
    return ", ".join(str(each) for each in counts)
