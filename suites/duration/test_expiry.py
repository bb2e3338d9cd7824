"""How long a pin holds, and that it is over then."""

from __future__ import annotations

from contextlib import ExitStack

from limpet import (
    Client,
    Exchange,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    age,
    balancer_keeps_time,
    behaviour,
    can_wait,
    further_copy,
    group_size,
    let_pass,
    only_clients_keep_time,
    pass_time,
    rebalanced,
    require_passed_on,
    revisit,
    small_group,
    unless_timed,
    with_duration,
)
from limpet.harness.model.contract.stated import must

EACH = 3
"""Users for each backend. A balancer that ends all pins early keeps nine of them by luck with 1 in 20,000."""

ENOUGH = 4
"""Users that must have come back in time, by the recorded times, before the check means anything."""

ROUNDS = 4
SHORT = 2.0
"""Seconds that a pin lasts on a copy made for a check that would otherwise have to wait for hours."""


@behaviour(
    "duration.holds-until",
    unless=unless_timed,
    touches="clock",
    waits=True,
    error_rate=0.0,
    budget=130,
    sees=0.53,
)
def test_holds_until(s: Scenario) -> None:
    """Just before its duration is over, a pin still holds and its user still has the cookie."""
    early = s.duration - s.resolution
    # Where time cannot be moved, everybody has to be back in time on a machine with much else to do.
    slack = 0.002 if s.system.target.can("advance_clock") else 0.05
    margin = max(0.3, slack * s.duration)
    if margin >= early:
        raise NotCheckable(f"a clock as coarse as {s.resolution:g} s says nothing about {s.duration:g} s")
    in_time = 0
    for number in range(1, ROUNDS + 1):
        # Who was too late comes earlier the next time: not quite the end, but more than nothing.
        target = max(early - number * margin, min(early - margin, early / 2))
        users = [user for group in s.pinned_to_each(EACH).values() for user in group]
        s.step(f"{len(users)} users come back {s.duration - target:g} s before their pins are over")
        pass_time(s, target - max(age(s, user.last) for user in users if user.last), users)
        s.rng.shuffle(users)
        in_time += sum(_comes_back(s, user, early) for user in users)
        if in_time >= ENOUGH:
            return
    raise Inconclusive(
        f"{in_time} users came back in time; the machine was too slow for a duration of {s.duration:g} s"
    )


def _comes_back(s: Scenario, user: Client, early: float) -> bool:
    """Whether this visit was early enough to mean something."""
    pin = user.last
    assert pin is not None
    lost = s.contract.affinity == "lb-cookie" and not user.key
    if lost and age(s, pin, user) < early:
        s.broken(Kind.EXPIRED_EARLY, f"{user.name}'s cookie is gone {age(s, pin, user):.3f} s after it was set", pin)
    user.visit(new_connection=True)
    return age(s, pin, user) < early


@behaviour(
    "duration.expires",
    fields=("duration.after",),
    unless=unless_timed,
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=280,
    sees=0.98,
)
def test_expires(s: Scenario) -> None:
    """Just after the end a user is balanced anew; judged over a group, so that luck is excluded."""
    # Where connections count, luck means holding requests open, which takes its time.
    users = s.pinned_to_each(small_group(s) if s.counts_connections else group_size(s))
    people = [user for group in users.values() for user in group]
    if balancer_keeps_time(s.contract) and s.contract.affinity != "source-ip":
        s.step(f"{len(people)} users go on sending the cookies that they have now")
        for user in people:
            user.freeze()
    s.step("the duration passes")
    pass_time(s, s.duration + 2 * s.resolution, people)
    clock = s.contract.duration.clock
    ends = clock is None or not clock.may("none")
    if must(s.contract.duration.after, "rebalance") and ends:
        rebalanced(s, users, Kind.NEVER_EXPIRED, "the duration was over", visit=_fresh)
        return
    found = revisit(s, users, visit=_fresh)
    raise Observed(f"after the end of the duration {found.text} users were still where they had been")


@behaviour(
    "duration.kept-by",
    fields=("duration.kept_by",),
    unless=unless_timed,
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=170,
    sees=0.98,
)
def test_kept_by(s: Scenario) -> None:
    """A client that ignores expiry stays pinned if only clients keep the time, and not if the balancer does."""
    with ExitStack() as stack:
        if can_wait(s, s.duration + 2 * s.resolution):
            _ignore_expiry(s)
            return
        least = s.contract.duration.min
        short = max([SHORT, *(least.allowed if least is not None else ())])
        require_passed_on(s, short)
        s.step(f"a copy of the target is set up for a duration of {short:g} s")
        _ignore_expiry(stack.enter_context(further_copy(s, with_duration(s.system.loaded, short))))


def _ignore_expiry(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    if s.contract.affinity != "source-ip":
        for user in people:
            user.freeze()
    s.step(f"{len(people)} users, who would send their cookies for ever, come back after the duration")
    let_pass(s, s.duration + 2 * s.resolution)
    if only_clients_keep_time(s.contract):
        s.rng.shuffle(people)
        for user in people:
            s.scramble()
            _fresh(user)
    elif balancer_keeps_time(s.contract) and must(s.contract.duration.after, "rebalance"):
        rebalanced(s, users, Kind.NEVER_EXPIRED, "the duration was over, whatever is still sent", visit=_fresh)
    else:
        found = revisit(s, users, visit=_fresh)
        raise Observed(f"of users who ignore the expiry, {found.text} were still where they had been after it")


def _fresh(user: Client) -> Exchange:
    return user.visit(new_connection=True)
