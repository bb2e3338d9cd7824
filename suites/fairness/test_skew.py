"""How even stickiness leaves the load."""

from __future__ import annotations

from collections import Counter

from limpet import Kind, Observed, Scenario, behaviour, spread_as_declared

SESSIONS = 48
HEAVIEST = 24
"""Requests of the heaviest user; the next one sends half as many, the third a third, and so on."""


@behaviour(
    "fairness.skew",
    fields=("algorithm",),
    alone=True,
    charted=True,
    certainty="shares of sessions are rejected only where the declared weights do not explain them; requests are shown",
    error_rate=1e-6,
    budget=300,
    sees=0.6,
)
def test_skew(s: Scenario) -> None:
    """Few users send most requests: the share of sessions and of requests that each backend gets, as numbers."""
    s.need_members(2)
    s.step(f"{SESSIONS} users come for the first time")
    users = []
    sessions: Counter[str] = Counter()
    for _ in range(SESSIONS):
        user = s.client()
        with s.luck():
            answer = user.visit()
        sessions[answer.backend] += bool(answer.backend)
        users.append(user)
    s.step("and come again, a few of them much more often than the others")
    requests = Counter(sessions)
    for rank, user in enumerate(users, 1):
        for _ in range(HEAVIEST // rank):
            answer = user.visit()
            requests[answer.backend] += bool(answer.backend)
    weights = {each.name: float(each.weight) for each in s.system.target.members}
    text = f"sessions: {_shares(sessions, weights)}; requests: {_shares(requests, weights)}"
    s.observe(text)
    algorithm = s.contract.algorithm
    if algorithm is None or not algorithm.binding or "hash" in algorithm.allowed:
        raise Observed(text)
    counts = {name: sessions[name] for name in weights}
    spread_as_declared(s, counts, weights, Kind.STARVED, "first requests of new users", rotators=1)


def _shares(counts: Counter[str], weights: dict[str, float]) -> str:
    """``b1 33 %, b2 40 %, b3 27 %, the most loaded 1.2 of its part``."""
    total = sum(counts[name] for name in weights) or 1
    parts = [f"{name} {counts[name] / total:.0%}" for name in sorted(weights)]
    whole = sum(weights.values())
    most = max(counts[name] / total / (weight / whole) for name, weight in weights.items() if weight)
    return f"{', '.join(parts)}, the most loaded {most:.2f} times its part"
