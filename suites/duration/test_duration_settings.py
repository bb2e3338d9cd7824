"""The duration as a setting: its default and its bounds, on further copies of the target."""

from __future__ import annotations

from limpet import (
    Client,
    Contract,
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
    pass_time,
    rebalanced,
    require_passed_on,
    revisit,
    small_group,
    still_pinned,
    try_to_start,
    unless_timed,
    with_duration,
)
from limpet.harness.model.contract.durations import spoken
from limpet.harness.model.contract.stated import must

EACH = 3
"""Users for each backend. A rotation that ends all pins early brings nine of them home by luck with 1 in 1,680."""

ENOUGH = 4


@behaviour(
    "duration.default",
    fields=("duration.default",),
    unless=unless_timed,
    needs=("launch",),
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=330,
    sees=0.98,
)
def test_default(s: Scenario) -> None:
    """Where no duration is set, the documented default applies: no shorter, and (over a group of users) no longer."""
    default = s.contract.duration.default
    assert default is not None
    readings = sorted(set(default.allowed))
    if not can_wait(s, readings[-1] + 2 * s.resolution):
        raise NotCheckable(f"a default of {spoken(readings[-1])} is too long to be waited for")
    require_passed_on(s, None)
    s.step("a copy of the target is set up without a duration")
    with further_copy(s, with_duration(s.system.loaded, None)) as copy:
        _holds_until(copy, readings[0])
        for reading in readings:
            if _over_after(copy, reading, last=reading == readings[-1]):
                if len(readings) > 1:
                    s.observe(f"of the documented defaults, {spoken(reading)} was seen")
                return


def _holds_until(s: Scenario, seconds: float) -> None:
    """The oracle judges these visits: they come before the shortest documented default is over."""
    early = seconds - s.resolution
    users = [user for group in s.pinned_to_each(EACH).values() for user in group]
    s.step(f"{len(users)} users come back just before {spoken(seconds)} are over")
    target = early - max(2.0, 0.002 * seconds)
    pass_time(s, target - max(age(s, user.last) for user in users if user.last), users)
    s.rng.shuffle(users)
    in_time = 0
    for user in users:
        pin = user.last
        assert pin is not None
        if s.contract.affinity == "lb-cookie" and not user.key and age(s, pin, user) < early:
            s.broken(Kind.EXPIRED_EARLY, f"{user.name}'s cookie is gone before {spoken(seconds)} are over", pin)
        user.visit(new_connection=True)
        in_time += age(s, pin, user) < early
    if in_time < ENOUGH:
        raise Inconclusive(f"only {in_time} users came back in time")


def _over_after(s: Scenario, seconds: float, *, last: bool) -> bool:
    """Whether pins were over after so long; where that is the last lawful reading, it is judged."""
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    if balancer_keeps_time(s.contract) and s.contract.affinity != "source-ip":
        for user in people:
            user.freeze()
    s.step(f"{len(people)} users come back after {spoken(seconds)}")
    pass_time(s, seconds + 2 * s.resolution, people)
    clock = s.contract.duration.clock
    ends = clock is None or not clock.may("none")
    if last and must(s.contract.duration.after, "rebalance") and ends:
        what = f"no duration was set, and the default of {spoken(seconds)} was over"
        rebalanced(s, users, Kind.NEVER_EXPIRED, what, visit=_fresh)
        return True
    found = revisit(s, users, visit=_fresh)
    over = not still_pinned(s, found)
    if last and not over:
        raise Observed(
            f"after {spoken(seconds)} without a set duration {found.text} users were still where they had been"
        )
    return over


def _fresh(user: Client) -> Exchange:
    return user.visit(new_connection=True)


def bounds(contract: Contract) -> list[str]:
    """The documented bounds."""
    duration = contract.duration
    return [name for name, stated in (("below", duration.min), ("above", duration.max)) if stated is not None]


def unless_bounded(contract: Contract) -> str:
    """Why any duration is allowed."""
    return "" if bounds(contract) else "the documentation states no bounds of the duration"


@behaviour(
    "duration.bounds",
    variants=bounds,
    unless=unless_bounded,
    needs=("launch",),
    certainty="half of the minimum and twice the maximum: no rounding makes them lawful",
    error_rate=0.0,
    budget=0,
)
def test_bounds(s: Scenario) -> None:
    """A balancer that is set up for half of the minimum, or twice the maximum, refuses that instead of starting."""
    duration = s.contract.duration
    if s.variant == "below":
        assert duration.min is not None
        bound, seconds = min(duration.min.allowed), min(duration.min.allowed) / 2
    else:
        assert duration.max is not None
        bound, seconds = max(duration.max.allowed), 2 * max(duration.max.allowed)
    if seconds == bound:
        raise NotCheckable("a bound of 0 s has nothing beyond it")
    require_passed_on(s, seconds)
    s.step(f"a copy of the target is started with a duration of {spoken(seconds)}; the bound is {spoken(bound)}")
    start = try_to_start(s, with_duration(s.system.loaded, seconds))
    if start.refused:
        s.decided += 1
        words = [line.strip() for line in start.words.splitlines() if line.strip()]
        s.observe(f"refused with exit code {start.exit_code}: {' / '.join(words[-3:]) or 'without a word'}")
        return
    s.broken(
        Kind.SETTING_ACCEPTED,
        f"it started with a duration of {spoken(seconds)}, although {spoken(bound)} is the "
        f"{'least' if s.variant == 'below' else 'most'} that is allowed",
    )
