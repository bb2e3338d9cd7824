"""What has no pin goes where the algorithm says."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

from limpet import (
    Client,
    Contract,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    behaviour,
    crowd,
    hands_of,
    recognises_nobody,
    spread_as_declared,
)
from limpet.harness.model.statistics import dealing

SESSIONS = {"equal": 216, "weighted": 300}
"""Weights that are ignored show later than a backend that is left out."""
HELD = 150
"""The same where requests are held open all at once: such a balancer is even to within one, so fewer tell as much."""
STRANGERS = 6
KEEPERS = 4
KEPT = 15
KEPT_OF_TWO = 26
"""The same where there are two backends only: meeting one of them all the time is less of a surprise."""
BLOCK = 6
ALPHA = 1e-6
WEIGHTS = {"weighted": (1, 2, 3)}
CERTAINTY = "only a spread worse than chance by the declared weights is rejected"


def _weightings(contract: Contract) -> list[str]:
    """Weights are only promised where every algorithm in question looks at them."""
    algorithm = contract.algorithm
    weighted = algorithm is not None and all(each.startswith("weighted") for each in algorithm.allowed)
    return ["equal", "weighted"] if weighted else ["equal"]


@behaviour(
    "affinity.no-key-is-balanced",
    fields=("algorithm",),
    alone=True,
    layers=(7,),
    keyed=None,
    affinities=("lb-cookie", "app-cookie", "header", "url", "none"),
    variants=_weightings,
    weights=WEIGHTS,
    certainty=CERTAINTY,
    error_rate=1e-6,
    budget=540,
    sees=0.3,
)
def test_no_key_is_balanced(s: Scenario) -> None:
    """Requests without the key are spread by the declared algorithm, and no user is recognised by anything else."""
    strangers = [s.client(cookies=False) for _ in range(STRANGERS)]
    each = (HELD if s.counts_connections else SESSIONS[s.variant]) // STRANGERS
    s.step(f"{STRANGERS} users without cookies send {each} requests each, in a random order, on new connections")
    hands = hands_of(crowd(s, strangers, each))
    _as_declared(s, sum(hands.values(), Counter()), "requests without a key")
    recognises_nobody(s, hands, "users without a key, by their addresses", ALPHA / 4)
    if s.variant == "weighted":
        return  # once is enough; and with weights a few open requests do not make luck uniform
    _kept(s, strangers[:KEEPERS], KEPT if s.n > 2 else KEPT_OF_TWO)


def _kept(s: Scenario, users: list[Client], each: int) -> None:
    """Whether a connection is a key. Nobody is accused of that: to keep a backend for each connection is no pin."""
    s.step(f"{len(users)} of them send {each} requests each in a random order over kept connections")
    hands: dict[str, Counter[str]] = {user.name: Counter() for user in users}
    turns = users * each
    s.rng.shuffle(turns)
    # The shuffle is luck enough; open requests only see to it that not one idle backend gets everything.
    for begin in range(0, len(turns), BLOCK):
        with s.luck() if s.counts_connections else nullcontext():
            for user in turns[begin : begin + BLOCK]:
                exchange = user.visit()
                if exchange.backend:
                    hands[user.name][exchange.backend] += 1
    result = dealing(hands, alpha=ALPHA)
    if result.recognised:
        s.observe(f"users without a key were known by their kept connections: {result.text}")


@behaviour(
    "affinity.new-sessions-spread",
    fields=("algorithm",),
    alone=True,
    keyed=None,
    variants=_weightings,
    weights=WEIGHTS,
    certainty=CERTAINTY,
    error_rate=1e-6,
    budget=450,
    sees=0.3,
)
def test_new_sessions_spread(s: Scenario) -> None:
    """First requests of many users follow the declared algorithm and weights."""
    if s.contract.affinity == "source-ip" and not s.system.local:
        raise NotCheckable("all clients come from one address, which is one key")
    count = HELD if s.counts_connections else SESSIONS[s.variant]
    s.step(f"{count} new users send their first request")
    if s.contract.layer == 4:
        counts = _connections(s, HELD)
    else:
        counts = sum(hands_of(crowd(s, [s.client() for _ in range(count)], 1)).values(), Counter())
    _as_declared(s, counts, "new sessions")


def _connections(s: Scenario, count: int) -> Counter[str]:
    """First connections of many users; they stay open, because open connections may be what the balancer counts."""
    counts: Counter[str] = Counter()
    users = [s.client() for _ in range(count)]
    for user in users:
        user.visit()
        counts[user.backend] += bool(user.backend)
    for user in users:
        user.close()
    return counts


def _as_declared(s: Scenario, counts: Counter[str], what: str) -> None:
    weights = {member.name: float(member.weight) for member in s.system.target.members}
    if s.variant == "weighted" and len(set(weights.values())) == 1:
        raise NotCheckable("this target gives all of its backends the same weight")
    seen = ", ".join(f"{name} {counts[name]}" for name in s.names)
    algorithm = s.contract.algorithm
    if algorithm is None or not algorithm.binding or "hash" in algorithm.allowed:
        # How evenly a hash deals its keys out is a matter of its own, and documented nowhere.
        raise Observed(f"{what} by backend: {seen}")
    unknown = set(counts) - set(weights)
    if unknown:
        raise Inconclusive(f"backends that the target does not list answered: {', '.join(sorted(unknown))}")
    starved = [name for name, weight in weights.items() if weight and not counts[name]]
    kind = Kind.STARVED if starved else Kind.NOT_BALANCED
    spread_as_declared(s, counts, weights, kind, what, alpha=ALPHA / 2)
    if algorithm.status == "conflict" and not s.violations:
        readings = " from ".join(algorithm.allowed)
        s.observe(f"{what} by backend: {seen}; by weight either way, so this traffic cannot tell {readings}")
