"""The failure meets a request that is under way."""

from __future__ import annotations

from contextlib import ExitStack

from limpet import Client, Exchange, Flight, Inconclusive, Kind, Scenario, behaviour
from limpet.harness.model.contract.stated import must
from limpet.harness.model.oracle import deliveries

HOLD = 1.5
"""Seconds that a backend thinks about the answer: long enough for the fault, short against any balancer's patience."""


@behaviour(
    "failover.in-request",
    keyed=None,
    fields=("reaction.in_request",),
    needs=("kill", "faults", "backend-history"),
    touches="backends",
    certainty="A request whose backend answered before the fault decides nothing",
    error_rate=0.0,
    budget=30,
    sees=0.78,
)
def test_in_request(s: Scenario) -> None:
    """The request that its backend fails is tried elsewhere or fails, as documented; a POST is never sent twice."""
    ways = (("killed", s.system.kill), ("reset", s.system.reset))
    # One at a time: with two down at once, a balancer that tries one other backend may lawfully meet the second.
    struck: dict[str, str] = {}
    met: list[tuple[str, str, str, Exchange]] = []
    for number, wanted in enumerate(s.rng.sample(s.names, min(2, s.n - 1) or 1)):
        if number:
            s.system.revive(*struck)
        done, strike = ways[number]
        user = s.pinned(wanted)
        with ExitStack() as stack:
            flights: list[tuple[str, Flight]] = []
            # The first one's backend is struck; without stickiness the other may be elsewhere, so each goes first once.
            for method in (("GET", "POST"), ("POST", "GET"))[number] if s.contract.layer == 7 else ("TCP",):
                # Below layer 7 a kept connection is the user's only one; a second one for the flight.
                flight = stack.enter_context(
                    Flight(s, lambda user=user, method=method: held(user.another(), method))  # type: ignore[misc]
                )
                flights.append((method, flight))
            name = flights[0][1].backend or wanted
            strike(name, settle=False)
            struck = {name: done}
            landed = [(method, flight.land()) for method, flight in flights if flight.backend == name]
        met += [(method, name, done, each) for method, each in landed if each.backend != name]
    if not met:
        raise Inconclusive("every request was answered before its backend failed")
    sent = deliveries(s.arrived())
    for method, name, done, each in met:
        went = [one.backend for one in sent[each.id].arrived]
        if method != "GET":
            text = f"{each.sent.client}'s {method} was sent {len(went)} times: to {', then '.join(went)}"
            s.expect(len(went) == 1, Kind.SENT_TWICE, text, each)
        elif must(s.contract.reaction.in_request, "retry"):
            text = (
                f"{each.sent.client}'s GET, under way at {name} when that failed, was not tried elsewhere: {said(each)}"
            )
            s.expect(each.ok and each.backend != "", Kind.NO_FAILOVER, f"{text}: {said(each)}", each)
        s.observe(f"{name} was {done} in mid-request: {method} {said(each)}, sent to {', then '.join(went)}")


def held(user: Client, method: str) -> Exchange:
    """A request that its backend thinks about for a while."""
    if method == "TCP":
        return user.hold(HOLD)
    return user.request(method, "/", headers=(("Limpet-Hold", f"{HOLD:g}"),), body=b"item=lamp" * (method == "POST"))


def said(exchange: Exchange) -> str:
    """What came of a request, in words."""
    if exchange.error:
        return exchange.error
    return f"got {exchange.status or 'an answer'} from {exchange.backend or 'the balancer'}"
