"""Without stickiness nobody is recognised."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

from limpet import Contract, Scenario, behaviour, recognises_nobody

USERS = 6
REQUESTS = 20
OF_TWO = 28
"""Requests of a user where there are two backends only: meeting one of them all the time is less of a surprise."""
BLOCK = 8


def _connections(contract: Contract) -> tuple[str, ...]:
    """Below layer 7 a connection is placed once, so only fresh ones tell anything."""
    return ("fresh-connections", "kept-connections") if contract.layer == 7 else ("fresh-connections",)


@behaviour(
    "affinity.off",
    keyed=False,
    alone=True,
    variants=_connections,
    certainty="exact by limpet's own shuffle; one user in six who never leaves shows",
    error_rate=1e-6,
    budget=240,
)
def test_off(s: Scenario) -> None:
    """A deployment without stickiness shows none: who asks, with cookies and all, makes no difference."""
    kept = s.variant == "kept-connections"
    users = [s.client(keep=kept) for _ in range(USERS)]
    hands: dict[str, Counter[str]] = {user.name: Counter() for user in users}
    # The order is the only luck there is: whatever sequence the balancer deals in, who gets what is limpet's shuffle.
    each = REQUESTS if s.n > 2 else OF_TWO
    turns = users * each
    s.rng.shuffle(turns)
    s.step(f"{USERS} users with cookie jars send {each} requests each in a random order, {s.variant}")
    for begin in range(0, len(turns), BLOCK):
        with s.luck() if s.counts_connections else nullcontext():
            for user in turns[begin : begin + BLOCK]:
                exchange = user.visit(new_connection=not kept)
                if exchange.backend:
                    hands[user.name][exchange.backend] += 1
    recognises_nobody(s, hands, f"users with cookies, {s.variant}", 1e-6)
