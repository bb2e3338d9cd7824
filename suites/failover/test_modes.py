"""Ways to fail: whatever it is that a backend does, its users are answered elsewhere."""

from __future__ import annotations

from limpet import Client, Contract, Exchange, Flight, Kind, NotCheckable, Observed, Scenario, behaviour

NOT_ACCEPTED = ("refused", "blackhole")
"""What a balancer of connections can see: a backend that takes a connection is well, whatever it does with it."""

NEEDS = {"refused": "kill", "hang": "hang"}
MAYBE = ("slow", "status-502")
"""Faults after which a balancer may, but need not, take a backend for dead, unless its documentation says so."""


def ways(contract: Contract) -> list[str]:
    """The faults that make sense on this layer."""
    every = ["refused", "reset", "accept-close", "hang", "slow", "health-503", "status-502", "blackhole"]
    return [each for each in every if contract.layer == 7 or each in NOT_ACCEPTED]


@behaviour(
    "failover.modes",
    fields=("reaction.unhealthy",),
    touches="backends",
    variants=ways,
    certainty="Errors count from the moment on by which the balancer must have noticed",
    error_rate=0.0,
    budget=80,
    sees=0.4,
)
def test_modes(s: Scenario) -> None:
    """The same for every way to fail: refused, reset, closed, silent, slow, unhealthy by its own word, cut off."""
    missing = s.system.target.why_not(NEEDS.get(s.variant, "backend-faults"))
    if missing:
        raise NotCheckable(missing)
    if s.variant == "health-503" and not s.system.notices_health:
        raise NotCheckable(f"{s.system.target.name} does not look at its backends' health path")
    dead = s.rng.choice(s.names)
    jar, fresh, stale, caught = (s.pinned(dead) for _ in range(4))
    stale.freeze()
    lost: list[Exchange] = []
    with Midair(s, caught) as midair:
        break_it(s, dead, midair)
    if midair.flight is not None:
        lost.append(midair.flight.land())
        s.observe(f"a request sent before the failure was noticed: {outcome(lost[0])}")
    anew = s.contract.layer == 4  # a connection that the fault met is lost, on this layer
    s.step("everybody goes on")
    answers = [user.visit(new_connection=anew or user is fresh) for _ in range(3) for user in (jar, fresh, stale)]
    elsewhere = sum(each.backend not in ("", dead) for each in answers)
    if s.variant == "slow" and serves_elsewhere(s.contract):
        for each in answers:
            right = each.ok and each.backend != dead
            s.expect(right, Kind.NO_FAILOVER, f"{each.sent.client}, pinned to {dead}, which was slow: {outcome(each)}",
                     each)  # fmt: skip
    elif serves_elsewhere(s.contract) and s.variant not in MAYBE:
        s.decided += sum(each.ok for each in answers)  # had one failed, the oracle would have said so
    elif s.variant in MAYBE:
        good = sum(each.ok for each in answers)
        raise Observed(f"{elsewhere} of {len(answers)} requests were answered elsewhere, {good} without an error")


class Midair:
    """Sends one request when the fault is there and not noticed yet."""

    def __init__(self, s: Scenario, user: Client) -> None:
        self.flight: Flight | None = None
        self._s = s
        self._user = user

    def __call__(self) -> None:
        """Sends it, the first time."""
        if self.flight is None:
            self.flight = Flight(self._s, lambda: self._user.visit(new_connection=True), wait=False)

    def __enter__(self) -> Midair:
        return self

    def __exit__(self, *_: object) -> None:
        if self.flight is not None:
            self.flight.join()


def break_it(s: Scenario, name: str, meanwhile: Midair) -> None:
    """Does to the backend what the variant says."""
    system = s.system
    match s.variant:
        case "refused":
            system.kill(name, meanwhile=meanwhile)
        case "reset":
            system.reset(name, meanwhile=meanwhile)
        case "accept-close":
            system.accept_close(name, meanwhile=meanwhile)
        case "hang":
            system.hang(name, meanwhile=meanwhile)
        case "blackhole":
            system.blackhole(name, meanwhile=meanwhile)
        case "slow":
            # A backend that is silent for longer than the balancer needs to notice a silent one.
            system.slow(name, s.system.loaded.target.timing.down_noticed.value + 1, meanwhile=meanwhile)
        case "health-503":
            system.health(name, 503, meanwhile=meanwhile)
        case _:
            system.status(name, 502, settle=False)  # nobody need notice, so there is nothing to wait for


def serves_elsewhere(contract: Contract) -> bool:
    """Whether users of a failed backend must be answered by others."""
    stated = contract.reaction.unhealthy
    return stated is not None and stated.binding and set(stated.allowed) <= {"repin", "reroute"}


def outcome(exchange: Exchange) -> str:
    """What came of a request, in words."""
    took = f"after {exchange.received.t - exchange.sent.t:.1f} s"
    if exchange.error:
        return f"{exchange.error} {took}"
    return f"{exchange.status or 'an answer'} from {exchange.backend or 'the balancer'} {took}"
