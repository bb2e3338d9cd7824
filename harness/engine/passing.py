"""Letting the time of pins pass, and knowing from recorded times how old a pin is."""

from __future__ import annotations

import time
from collections.abc import Iterable

from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import may, must

LONGEST_WAIT = 600.0
"""Real seconds that a scenario waits at the most for pins to age: longer durations need a clock that can be moved."""


def unless_timed(contract: Contract) -> str:
    """Why no pin ends by time under this contract; "" where one may."""
    clock = contract.duration.clock
    if clock is None or may(clock, "idle") or may(clock, "absolute"):
        return ""
    return f"its clock is {clock}: no pin ends by time"


def only_clients_keep_time(contract: Contract) -> bool:
    """Whether the end of a pin is the business of the client's cookie jar alone."""
    return must(contract.duration.kept_by, "client")


def balancer_keeps_time(contract: Contract) -> bool:
    """Whether the balancer must end pins, whatever a client still sends."""
    kept_by = contract.duration.kept_by
    return kept_by is not None and kept_by.binding and "client" not in kept_by.allowed


def movable(scenario: Scenario) -> bool:
    """Whether the target's clock can be moved."""
    return scenario.system.target.can("advance_clock")


def can_wait(scenario: Scenario, seconds: float) -> bool:
    """Whether so much time can pass at the balancer."""
    return movable(scenario) or seconds <= LONGEST_WAIT


def require_wait(scenario: Scenario, seconds: float) -> None:
    """See that so much time can pass at the balancer, all waits of a check together.

    Raises:
        NotCheckable: it would take too long.
    """
    if not can_wait(scenario, seconds):
        raise NotCheckable(
            f"it takes {seconds:.0f} s, and the target's clock cannot be moved; "
            "choose a shorter duration in its [contract]"
        )


def pass_time(scenario: Scenario, seconds: float, users: Iterable[Client] = ()) -> None:
    """Lets so much time pass for pins: at once where the clock can be moved, by these users' clocks alone where only
    clients keep the time, by waiting else.

    Raises:
        NotCheckable: it would take too long.
    """
    if not movable(scenario) and only_clients_keep_time(scenario.contract) and users:
        for user in users:
            user.skew += max(0.0, seconds)
        return
    let_pass(scenario, seconds)


def let_pass(scenario: Scenario, seconds: float) -> None:
    """Lets so much time pass at the balancer, not only for clients.

    Raises:
        NotCheckable: it would take too long.
    """
    require_wait(scenario, seconds)
    scenario.wait(seconds)


def age(scenario: Scenario, exchange: Exchange, user: Client | None = None) -> float:
    """Seconds of the pins' time since this request was sent; by the user's own clock where one is given."""
    moved = scenario.system.offset + (user.skew if user is not None else 0.0)
    return time.monotonic() + moved - (exchange.sent.t + exchange.sent.offset)


def settled_age(scenario: Scenario, exchange: Exchange) -> float:
    """Seconds of the pins' time since the whole answer to this request was there."""
    received = exchange.received
    return time.monotonic() + scenario.system.offset - (received.t + received.offset)
