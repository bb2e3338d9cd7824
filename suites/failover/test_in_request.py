"""The failure meets a request that is under way."""

from __future__ import annotations

from contextlib import ExitStack

from limpet import Client, Exchange, Flight, Inconclusive, Kind, Scenario, behaviour
from limpet.harness.model.contract.stated import must
from limpet.harness.model.oracle import deliveries

HOLD = 0.8
"""Seconds that a backend thinks about the answer: long enough for the fault, short against any balancer's patience."""


@behaviour(
    "failover.in-request",
    keyed=None,
    fields=("reaction.in_request",),
    needs=("kill", "faults", "backend-history"),
    touches="backends",
    certainty="one violation is enough; no luck can break it. A request whose backend answered before the fault "
    "decides nothing",
)
def test_in_request(s: Scenario) -> None:
    """The request that its backend fails is tried elsewhere or fails, as documented; a POST is never sent twice."""
    broken = s.rng.sample(s.names, 2) if s.n > 2 else [s.rng.choice(s.names)]
    users = [s.pinned(name) for name in broken]
    with ExitStack() as stack:
        flights: list[tuple[str, str, Flight]] = []
        for user in users:
            for method in ("GET", "POST") if s.contract.layer == 7 else ("TCP",):
                # Below layer 7 a kept connection is the user's only one; a second one for the flight.
                flight = stack.enter_context(Flight(s, lambda user=user, method=method: held(user.another(), method)))  # type: ignore[misc]
                flights.append((method, flight.backend, flight))
        struck = strike(s, [name for _, name, _ in flights if name])
        landed = [(method, name, flight.land()) for method, name, flight in flights if name in struck]
    met = [(method, name, each) for method, name, each in landed if each.backend != name]
    if not met:
        raise Inconclusive("every request was answered before its backend failed")
    sent = deliveries(s.arrived())
    for method, name, each in met:
        went = [one.backend for one in sent[each.id].arrived]
        if method != "GET":
            text = f"{each.sent.client}'s {method} was sent {len(went)} times: to {', then '.join(went)}"
            s.expect(len(went) == 1, Kind.SENT_TWICE, text, each)
        elif must(s.contract.reaction.in_request, "retry"):
            text = (
                f"{each.sent.client}'s GET, under way at {name} when that failed, was not tried elsewhere: {said(each)}"
            )
            s.expect(each.ok and each.backend != "", Kind.NO_FAILOVER, f"{text}: {said(each)}", each)
        s.observe(f"{struck[name]} in mid-request: {method} {said(each)}, sent to {', then '.join(went)}")


def held(user: Client, method: str) -> Exchange:
    """A request that its backend thinks about for a while."""
    if method == "TCP":
        return user.hold(HOLD)
    return user.request(method, "/", headers=(("Limpet-Hold", f"{HOLD:g}"),), body=b"item=lamp" * (method == "POST"))


def strike(s: Scenario, names: list[str]) -> dict[str, str]:
    """Kills the first of these backends and resets the connections of the second; what was done to whom."""
    first, *others = dict.fromkeys(names)
    s.system.kill(first, settle=False)
    done = {first: "killed"}
    if others:
        s.system.reset(others[0], settle=False)
        done[others[0]] = "reset"
    return done


def said(exchange: Exchange) -> str:
    """What came of a request, in words."""
    if exchange.error:
        return exchange.error
    return f"got {exchange.status or 'an answer'} from {exchange.backend or 'the balancer'}"
