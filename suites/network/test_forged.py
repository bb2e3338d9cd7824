"""Packets as no host of a user's sends them: what they look like, beside addresses and ports, is nobody's key."""

from __future__ import annotations

from typing import Literal

from limpet import Contract, Inconclusive, NotCheckable, Observed, Scenario, behaviour, forge, judge_flows, judge_syns

FLOWS = 400
"""Flows of four datagrams, or of three SYNs; two of each address."""
SECONDS = 20.0
"""For sending them; what has not been sent by then is left out."""
TTLS: tuple[Literal["plain", "far", "near"], ...] = ("plain", "far", "near", "plain")
PIECES: tuple[Literal["plain", "fragments"], ...] = ("plain", "fragments", "plain", "fragments")


def _variants(contract: Contract) -> list[str]:
    return ["ttl", "fragments"] if contract.protocol == "udp" else ["syn"]


@behaviour(
    "network.forged-packets",
    layers=(4,),
    affinities=("source-ip", "flow"),
    variants=_variants,
    needs=("forging", "backend-history"),
    alone=True,
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=4 * FLOWS + 60,
    sees=0.05,
)
def test_forged_packets(s: Scenario) -> None:
    """A flow is the same one with fewer hops left, in fragments, or as a SYN that is sent again and never answered: it
    has one backend, and where the address is the key all flows of an address have. Nobody else's pin is changed."""
    users = [s.pinned(name) for name in s.names]
    if s.variant == "syn":
        _syn(s)
    else:
        _datagrams(s)
    s.step("the users of before go on")
    for user in users:
        user.visit(new_connection=True)


def _datagrams(s: Scenario) -> None:
    shapes = TTLS if s.variant == "ttl" else PIECES
    s.step(f"{FLOWS} flows from forged addresses, each with datagrams of several looks: {', '.join(shapes)}")
    flows = forge(s, FLOWS, SECONDS, shapes)
    lost = judge_flows(s, flows)
    if lost:
        s.observe(f"{lost} of {sum(len(flow.sent) for flow in flows)} datagrams reached no backend")
    for shape in sorted(set(shapes)):
        there = sum(flow.looks(turn) == shape for flow in flows for turn in flow.reached)
        if there < len(flows) // 2 and not s.violations:
            text = f"of {len(flows)} flows hardly any datagram arrived that is {shape} ({there})"
            raise Observed(text) if shape == "fragments" else Inconclusive(text)


def _syn(s: Scenario) -> None:
    s.step(
        f"{FLOWS} connections are begun from forged addresses, three times each with other hops left, and go no further"
    )
    seen = judge_syns(s, FLOWS)
    if seen is None:
        raise NotCheckable("nothing records packets here")
    if not seen:
        raise NotCheckable("this balancer answers connections itself: a SYN reaches no backend, and says nothing")
    s.observe(f"{seen} of {3 * FLOWS} SYNs were passed on to backends")
