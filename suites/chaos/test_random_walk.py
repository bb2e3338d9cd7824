"""Several things go wrong, in any order: what no plan thought of."""

from __future__ import annotations

from limpet import Scenario, behaviour, foretold_walks, random_walk


@behaviour(
    "chaos.random-walk",
    needs=("backend-history",),
    touches="backends",
    keyed=None,
    lengthy=True,
    foretells=foretold_walks,
    certainty="Six walks bring every kind of event upon every other one; a balancer that notices slowly gets fewer. "
    "Each request is judged by itself: what only a group of users can show is not seen. A walk that fails is played "
    "up to 80 times more, to make it small",
    error_rate=0.0,
    budget=1300,
)
def test_random_walk(s: Scenario) -> None:
    """Random users, faults, changes of the pool and of the clock: no request is answered otherwise than promised."""
    random_walk(s)
