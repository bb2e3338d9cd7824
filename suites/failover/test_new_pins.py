"""How long a pin lives that a failover made."""

from __future__ import annotations

from limpet import (
    Contract,
    Exchange,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    age,
    behaviour,
    let_pass,
    require_wait,
    unless_timed,
)
from limpet.harness.model.contract.stated import must

USERS = 8
"""One whose new pin ends early meets its new backend again by luck in one of two cases."""

SHARE = 0.6
"""How much of its duration the old pin has behind it when the failover ends it."""

PATIENCE = 5
"""How often a slow machine may start again."""


def unless_new(contract: Contract) -> str:
    """Why a failover makes no pin that could end by time."""
    if not must(contract.reaction.unhealthy, "repin"):
        return "a failover need not make a new pin"
    return unless_timed(contract)


@behaviour(
    "failover.new-pin-lasts",
    fields=("reaction.unhealthy", "duration.clock"),
    needs=("kill",),
    touches="backends",
    waits=True,
    unless=unless_new,
    certainty=f"A balancer whose new pins end with the old ones' time is missed with a probability of {0.5**USERS:.0e}",
    error_rate=0.0,
    budget=300,
    sees=0.45,
)
def test_new_pin_lasts(s: Scenario) -> None:
    """A user whose backend fails late in its session is pinned anew for a whole duration, not for what was left."""
    s.need_members(3)
    length, surely = s.duration, s.duration - s.resolution
    if surely <= 0:
        raise NotCheckable(f"a clock as coarse as {s.resolution:g} s says nothing about {s.duration:g} s")
    require_wait(s, PATIENCE * 2 * length)
    # The last visit has to come after the old pin's end and before the new one's, a clock's step apart.
    failover = s.resolution + SHARE * surely
    last_visit = (length - failover + surely) / 2
    for _ in range(PATIENCE):
        dead = s.rng.choice(s.names)
        seen = _aged(s, dead, failover, last_visit)
        if seen:
            _judge(s, seen)
            return
        s.system.revive(dead)
    raise Inconclusive(f"the machine was too slow for a duration of {length:g} s")


def _aged(s: Scenario, dead: str, failover: float, last_visit: float) -> list[tuple[Exchange, Exchange | None]]:
    """The re-pin of each user with its next request, None where it had lost its cookie; only those that say something.

    Args:
        s: the scenario.
        dead: who fails.
        failover: seconds after the first visit at which the second one finds it dead.
        last_visit: seconds after that at which the third one comes.
    """
    users = [s.pinned(dead) for _ in range(USERS)]
    first = {user.name: user.last for user in users if user.last}
    s.system.kill(dead)
    let_pass(s, failover - max(age(s, each) for each in first.values()))
    s.step("everybody comes back late in the old session")
    again: dict[str, Exchange] = {}
    for user in users:
        answer = user.visit(new_connection=True)
        if answer.backend and answer.backend != dead and age(s, first[user.name]) < s.duration:
            again[user.name] = answer
    if not again:
        return []
    s.step("everybody comes back after the old session, but early in the new one")
    let_pass(s, last_visit - max(age(s, each) for each in again.values()))
    found: list[tuple[Exchange, Exchange | None]] = []
    for user in users:
        pin = again.get(user.name)
        with s.luck(s.n - 1):
            if pin is None or age(s, first[user.name]) <= s.duration:
                continue
            lost = s.contract.affinity == "lb-cookie" and not user.key
            answer = user.visit(new_connection=True)
        if age(s, pin) < s.duration - s.resolution and (lost or answer.backend):
            found.append((pin, None if lost else answer))
    return found


def _judge(s: Scenario, seen: list[tuple[Exchange, Exchange | None]]) -> None:
    short = [pin for pin, answer in seen if answer is None or answer.backend != pin.backend]
    s.observe(f"{len(seen) - len(short)} of {len(seen)} pins that a failover made outlived the time of the old ones")
    loaded = s.system.loaded
    named = loaded.catalogue.requirements(loaded.profile_name, "failover.new-pin-lasts")
    # An idle clock began again with the request that was moved; of other clocks only a requirement can say so.
    if not must(s.contract.duration.clock, "idle") and not named:
        raise Observed(s.observations[-1])
    for pin, answer in seen:
        who = f"{pin.sent.client}, whom a failover had pinned anew to {pin.backend},"
        if answer is None:
            text = f"{who} was given a cookie for less than a duration"
        else:
            text = f"{who} was answered by {answer.backend} before the new pin's duration was over"
        right = answer is not None and answer.backend == pin.backend
        s.expect(right, Kind.EXPIRED_EARLY, text, answer or pin)
