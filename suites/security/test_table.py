"""More users than a balancer can remember."""

from __future__ import annotations

from limpet import Kind, NotCheckable, Observed, Scenario, behaviour, let_pass, place, rebalanced, small_group
from limpet.harness.model.contract.stated import must

LARGEST = 200
"""Pins in the largest table that is flooded: more would be a load test."""
FLOOD = 1.5
"""Times the table's size."""
EACH = 8
"""After so many strangers the regular user comes again."""
NEWCOMERS = 6


@behaviour(
    "security.table-flood",
    only_cited=True,
    fields=("table.size", "table.full"),
    alone=True,
    waits=True,
    affinities=("source-ip", "app-cookie", "header", "url"),
    certainty="that old pins are gone is judged over a group: luck explains it with less than one in a million",
    error_rate=1e-6,
    budget=2 * LARGEST + 180,
)
def test_table_flood(s: Scenario) -> None:
    """More users than the table holds: the pins unused for longest go, those in use stay, and everybody is served."""
    table = s.contract.table
    assert table is not None
    if table.size > LARGEST:
        raise NotCheckable(f"a table of {table.size} takes too many users to fill; give it {LARGEST} or fewer")
    if table.size < s.n * small_group(s) + 2 * EACH:
        raise NotCheckable(f"a table of {table.size} has no room for the users that it takes to see a difference")
    old = s.pinned_to_each(small_group(s))
    regular = s.pinned()
    s.step("while there is room for all, everybody is where he was")
    for user in (*(user for group in old.values() for user in group), regular):
        place(user)
    let_pass(s, s.resolution)  # else whoever counts in whole seconds may not know who was here first
    flood = round(FLOOD * table.size)
    s.step(f"{flood} strangers come, and now and then the regular user")
    strangers = []
    for number in range(flood):
        strangers.append(s.client())
        place(strangers[-1])
        if number % EACH == EACH - 1:
            place(regular)
    s.step("who came last is remembered, and so is the regular user")
    for user in (*strangers[-NEWCOMERS:], regular):
        place(user)
    if not must(table.full, "longest-unused"):
        raise Observed(f"after {flood} strangers the balancer still serves; which pins went is not promised")
    rebalanced(s, old, Kind.NEVER_EXPIRED, f"a table of {table.size} pins was used by {flood} others since")
