"""Very many addresses: thousands of clients at once, and flows of datagrams from addresses that nobody has."""

from __future__ import annotations

from limpet import (
    Contract,
    Inconclusive,
    NotCheckable,
    Scenario,
    Special,
    behaviour,
    distinguishes,
    forge,
    judge_flows,
    neighbours,
    swarm,
)

CLIENTS = {"loopback": 500, "namespace": 10_000}
"""Addresses with a connection each. On loopback fewer: the number is what a lab is for, and every run pays for it."""

FLOWS = 100_000
SECONDS = 50.0
"""For sending them; what has not been sent by then is left out."""


def _variants(contract: Contract) -> list[str]:
    return ["udp"] if contract.protocol == "udp" else ["tcp"]


@behaviour(
    "network.spoofed-sources",
    affinities=("source-ip", "flow"),
    variants=_variants,
    special={"udp": Special(needs=("forging", "backend-history"))},
    alone=True,
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=1e-6,
    budget=2 * FLOWS,
    sees=0.007,
)
def test_spoofed_sources(s: Scenario) -> None:
    """Of thousands of addresses each has a pin of its own, with all of their connections open; each flow of datagrams
    from very many forged addresses stays with one backend."""
    {"tcp": _tcp, "udp": _udp}[s.variant](s)


def _tcp(s: Scenario) -> None:
    count = CLIENTS[s.network.name]
    if s.contract.table is not None:
        # Half of what the table holds: pins are forgotten when it is full, which is another row's business.
        count = min(count, s.contract.table.size // 2)
    if count < s.n:
        raise NotCheckable(f"the table of this balancer has room for {count} clients only")
    crowd = neighbours(s, count)
    by_address = s.contract.affinity == "source-ip"
    homes = swarm(s, crowd, again=by_address)
    if by_address:
        distinguishes(s, crowd, homes)


def _udp(s: Scenario) -> None:
    s.step(f"{FLOWS} flows of two datagrams each come from forged addresses, in waves")
    flows = forge(s, FLOWS, SECONDS)
    lost = judge_flows(s, flows)
    complete = sum(len(flow.reached) == 2 for flow in flows)
    s.observe(f"{len(flows)} flows from forged addresses, {complete} of them seen whole by the backends")
    if lost:
        s.observe(f"{lost} of {2 * len(flows)} datagrams reached no backend")
    if complete < len(flows) // 2:
        raise Inconclusive(f"only {complete} of {len(flows)} flows reached the backends whole")
