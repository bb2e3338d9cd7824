"""The failure meets a request that is under way."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from limpet import Client, Contract, Exchange, Flight, Inconclusive, Kind, NotCheckable, Observed, Scenario, behaviour
from limpet.harness.model.contract.stated import must
from limpet.harness.model.oracle import deliveries
from limpet.harness.model.oracle.exchanges import ODD

HOLD = 1.5
"""Seconds that a backend thinks about the answer: long enough for the fault, short against any balancer's patience."""

ATTEMPTS = 4
"""How often a machine that is slower than that may start again."""

BESIDE = 3
"""Users beside the first one, whose two requests at once excuse a move: each is seen to be placed anew with a chance of
one half."""

AGAIN = 2
"""Requests of each of them after that."""

BEYOND = 2.0
"""Seconds by which a silent backend outlasts the time in which the balancer finds out about silent ones."""

LONGEST = 8.0
"""Seconds of silence at the most; clients wait for three times as long, since others may be asked in turn."""


def ways(contract: Contract) -> tuple[str, ...]:
    """Silence for itself where a document says what it leads to: it is no proof that the backend failed."""
    return ("broken-off", "silent") if contract.layer == 7 and contract.reaction.silent is not None else ()


@behaviour(
    "failover.in-request",
    keyed=None,
    fields=("reaction.in_request",),
    needs=("kill", "faults", "backend-history"),
    touches="backends",
    variants=ways,
    certainty="A request whose backend answered before the fault decides nothing",
    error_rate=0.0,
    budget=190,
    sees=0.96,
)
def test_in_request(s: Scenario) -> None:
    """The request that its backend fails is tried elsewhere or fails, as documented; a POST is never sent twice. Who
    was answered elsewhere stays there, where a failover makes a pin.
    """
    if s.variant == "silent":
        _silent(s)
        return
    met: list[tuple[str, str, str, Exchange]] = []
    struck = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            s.system.revive(struck)
        met, struck = _strike(s)
        if met:
            break
    else:
        raise Inconclusive("every request was answered before its backend failed")
    sent = deliveries(s.arrived())
    for method, name, done, each in met:
        went = [one.backend for one in sent[each.id].arrived]
        if method != "GET":
            text = f"{each.sent.client}'s {method} was sent {len(went)} times: to {', then '.join(went)}"
            s.expect(len(went) == 1, Kind.SENT_TWICE, text, each)
        elif must(s.contract.reaction.in_request, "retry"):
            text = f"{each.sent.client}'s GET, under way at {name} when that failed, was not tried elsewhere"
            s.expect(each.ok and each.backend != "", Kind.NO_FAILOVER, f"{text}: {said(each)}", each)
        s.observe(f"{name} was {done} in mid-request: {method} {said(each)}, sent to {', then '.join(went)}")


def _strike(s: Scenario) -> tuple[list[tuple[str, str, str, Exchange]], str]:
    """Fails two backends in turn in the middle of requests; who is still down.

    Of each request that was not answered before: method, backend, what was done to it, and what came of it.
    """
    blows = (("killed", s.system.kill), ("reset", s.system.reset))
    # One at a time: with two down at once, a balancer that tries one other backend may lawfully meet the second.
    name = ""
    met: list[tuple[str, str, str, Exchange]] = []
    for number, wanted in enumerate(s.rng.sample(s.names, min(2, s.n - 1) or 1)):
        if number:
            s.system.revive(name)
        done, strike = blows[number]
        user = s.pinned(wanted)
        beside = [s.pinned(wanted) for _ in range(BESIDE if _makes_a_pin(s) else 0)]
        with ExitStack() as stack:
            flights: list[tuple[str, Flight]] = []
            # The first one's backend is struck; without stickiness the other may be elsewhere, so each goes first once.
            for method in (("GET", "POST"), ("POST", "GET"))[number] if s.contract.layer == 7 else ("TCP",):
                # Below layer 7 a kept connection is the user's only one; a second one for the flight.
                flight = stack.enter_context(
                    Flight(s, lambda user=user, method=method: held(user.another(), method))  # type: ignore[misc]
                )
                flights.append((method, flight))
            also = [stack.enter_context(Flight(s, partial(held, each.another(), "GET"))) for each in beside]
            name = flights[0][1].backend or wanted
            strike(name, settle=False)
            landed = [(method, flight.land()) for method, flight in flights if flight.backend == name]
            landed += [("GET", flight.land()) for flight in also if flight.backend == name]
        if beside:
            _goes_on(s, name, [user, *beside], [each for method, each in landed if method == "GET"])
        met += [(method, name, done, each) for method, each in landed if each.backend != name]
    return met, name


def _makes_a_pin(s: Scenario) -> bool:
    """Whether an answer from elsewhere is the beginning of a pin there, which holds while the first backend is down."""
    contract = s.contract
    keyed = contract.layer == 7 and contract.affinity != "none"
    # Who leads home as soon as it can may try that again until it has noticed.
    surely = s.system.notices_health or must(contract.reaction.recovered, "stay")
    said = contract.reaction
    return keyed and surely and must(said.in_request, "retry") and must(said.unhealthy, "repin")


def _goes_on(s: Scenario, dead: str, users: list[Client], answers: list[Exchange]) -> None:
    """Those who were answered elsewhere come again while their first backend is still gone; the oracle judges it.

    Where a re-pin is promised to be carried by a new cookie, that answer brings it.
    """
    s.system.see_noticed(dead)
    elsewhere = {each.sent.client: each for each in answers if each.ok and each.backend not in ("", dead)}
    told = s.contract.affinity == "lb-cookie" and s.system.loaded.promises("failover.new-cookie")
    for user in users:
        if told and user.name in elsewhere:
            answer = elsewhere[user.name]
            text = f"{user.name}, whose {dead} failed in mid-request, got no new cookie from {answer.backend}"
            s.expect(bool(user.issued(answer)), Kind.COOKIE_NOT_ISSUED, text, answer)
        for _ in range(AGAIN if user.name in elsewhere else 0):
            with s.luck(s.n - 1):
                user.visit(new_connection=True)


def _silent(s: Scenario) -> None:
    """The backend is well, but thinks about one request for longer than the balancer waits for an answer."""
    home = s.rng.choice(s.names)
    user = s.pinned(home)
    seconds = min(s.system.loaded.target.timing.down_noticed.value + BEYOND, LONGEST)
    s.step(f"{home} thinks about {user.name}'s GET and POST for {seconds:g} s")
    with ExitStack() as stack:
        flights = [
            (
                method,
                stack.enter_context(
                    # Whether it may fail is not for the oracle to say: nothing tells it that a backend is silent.
                    Flight(s, lambda method=method: held(user.another(), method, seconds, ODD))  # type: ignore[misc]
                ),
            )
            for method in ("GET", "POST")
        ]
        landed = [(method, flight.land()) for method, flight in flights if flight.backend]
    sent = deliveries(s.arrived())
    waited = 0
    for method, each in landed:
        went = [one.backend for one in sent[each.id].arrived]
        what = f"{user.name}'s {method}, which {home} left without an answer, was sent to {', then '.join(went)}"
        s.observe(f"{what}: {said(each)}")
        if set(went) == {home} and each.backend == home:
            waited += 1  # it has more patience than this test
        elif must(s.contract.reaction.silent, "504"):
            s.expect(set(went) <= {home}, Kind.MOVED, f"{what}, although it is not to be tried elsewhere", each)
            if not each.backend and each.error != "timeout":  # the client's own patience says nothing
                s.expect(each.status == 504, Kind.ERROR, f"{what}; instead of 504 it {said(each)}", each)
    if not must(s.contract.reaction.silent, "504"):
        raise Observed(f"{len(landed)} requests were left without an answer by {home}")
    if waited == len(landed):
        raise NotCheckable(f"the balancer waits for longer than the {seconds:g} s that this check can be silent")


def held(user: Client, method: str, seconds: float = HOLD, note: str = "") -> Exchange:
    """A request that its backend thinks about for a while."""
    if method == "TCP":
        return user.hold(seconds)
    headers, body = (("Limpet-Hold", f"{seconds:g}"),), b"item=lamp" * (method == "POST")
    return user.request(method, "/", headers=headers, body=body, timeout=max(10.0, 3 * seconds), note=note)


def said(exchange: Exchange) -> str:
    """What came of a request, in words."""
    if exchange.error:
        return exchange.error
    return f"got {exchange.status or 'an answer'} from {exchange.backend or 'the balancer'}"
