"""What starts the duration again, and whose clock counts."""

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
    behaviour,
    can_wait,
    let_pass,
    pass_time,
    rebalanced,
    require_wait,
    revisit,
    settled_age,
    small_group,
    still_pinned,
    unless_timed,
)
from limpet.harness.model.contract.stated import must

EACH = 3
"""Users for each backend."""

ENOUGH = 4
"""Users whose regular visits must have kept the pin for longer than one duration, by the recorded times."""

PATIENCE = 8
"""How often a slow machine may start again."""

SOON = 0.2
"""Of the duration: the first of two visits after which the pin has to last for a whole one again."""

HOURS = 6
"""How wrong the clocks of some clients are."""


def unless_idle(contract: Contract) -> str:
    """Why nothing could restart the duration."""
    if must(contract.duration.clock, "absolute"):
        return "its clock is absolute: traffic does not restart it"
    return unless_timed(contract)


def unless_absolute(contract: Contract) -> str:
    """Why traffic may prolong a pin."""
    if must(contract.duration.clock, "idle"):
        return "its clock is idle: traffic restarts it"
    return unless_timed(contract)


@behaviour(
    "duration.idle-restarts",
    fields=("duration.clock",),
    unless=unless_idle,
    touches="clock",
    waits=True,
    error_rate=0.0,
    budget=800,
    sees=0.23,
)
def test_idle_restarts(s: Scenario) -> None:
    """Users who come back before their duration is over keep their pins for longer than one duration."""
    if not must(s.contract.duration.clock, "idle"):
        _see_what_traffic_does(s)
    require_wait(s, 1.5 * s.duration + 2 * s.resolution)
    early = s.duration - s.resolution
    pause = min(0.6 * s.duration, (0.7 if s.system.target.can("advance_clock") else 0.5) * early)
    if pause <= 0:
        raise NotCheckable(f"a clock as coarse as {s.resolution:g} s says nothing about {s.duration:g} s")
    people = [user for group in s.pinned_to_each(EACH).values() for user in group]
    _soon_and_late(s, people, early)
    since = {user.name: user.last for user in people}
    enough = int((s.duration + s.resolution) / pause) + 1
    s.step(f"{len(people)} users come back every {pause:g} s, at least {enough} times")
    for number in range(PATIENCE * enough):
        let_pass(s, pause)
        s.rng.shuffle(people)
        beyond = 0
        for user in people:
            if not _comes_back(s, user, early):
                since[user.name] = user.last  # too late to mean anything: it may be a new pin
            pin = since[user.name]
            beyond += pin is not None and age(s, pin) > s.duration + s.resolution
        if number + 1 >= enough and beyond >= ENOUGH:
            return
    raise Inconclusive(
        f"too few users came back regularly; the machine was too slow for a duration of {s.duration:g} s"
    )


def _soon_and_late(s: Scenario, people: list[Client], early: float) -> None:
    """A visit soon after the pin was made counts as any other: a pause that is longer than the duration, counted from
    the pin, and shorter, counted from that visit, ends nothing. Who is too late for that shows nothing.
    """
    soon = SOON * s.duration
    pause = (s.duration - soon + early) / 2
    if pause >= early or not can_wait(s, soon + pause):
        return
    s.step(f"{len(people)} users come back after {soon:g} s, and {pause:g} s after that")
    s.rng.shuffle(people)  # once: so each of them pauses for about as long
    let_pass(s, soon)
    for user in people:
        _comes_back(s, user, early)
    let_pass(s, pause - max(age(s, user.last) for user in people if user.last))
    for user in people:
        _comes_back(s, user, early)


def _see_what_traffic_does(s: Scenario) -> None:
    """Visits in the middle of the duration, and what is left of the pins after it.

    Raises:
        Observed: always.
    """
    require_wait(s, 1.2 * s.duration)
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    s.step(f"{len(people)} users come back in the middle of the duration, and after it")
    let_pass(s, 0.6 * s.duration)
    s.rng.shuffle(people)
    for user in people:
        user.visit(new_connection=True)
    let_pass(s, 0.6 * s.duration)
    found = revisit(s, users, visit=_fresh)
    does = "prolonged the pins" if still_pinned(s, found) else "did not prolong the pins"
    raise Observed(f"traffic {does}: {found.text} users kept their backend for longer than one duration")


def _comes_back(s: Scenario, user: Client, early: float) -> bool:
    """Whether this visit came before the pin may lawfully have been over."""
    before = user.last
    assert before is not None
    lost = s.contract.affinity == "lb-cookie" and not user.key
    if lost and age(s, before) < early:
        text = f"{user.name}'s cookie is gone {age(s, before):.3f} s after the last visit, which should have renewed it"
        s.broken(Kind.EXPIRED_EARLY, text, before)
    target = s.system.loaded.target
    if s.contract.layer == 7 and target.backends.owner == "limpet" and s.rng.random() < 0.5:
        user.request("POST", target.request.path, body=b"item=lamp", new_connection=True)  # any use is a use
    else:
        user.visit(new_connection=True)
    return age(s, before) < early


@behaviour(
    "duration.absolute-does-not-restart",
    fields=("duration.clock", "duration.after"),
    unless=unless_absolute,
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=230,
    sees=0.98,
)
def test_absolute_does_not_restart(s: Scenario) -> None:
    """A visit in the middle of the duration does not prolong the pin, nor does a reload that keeps it; judged over a
    group, so that luck is excluded.
    """
    if not must(s.contract.duration.clock, "absolute") or not must(s.contract.duration.after, "rebalance"):
        _see_what_traffic_does(s)
    require_wait(s, s.duration + 2 * s.resolution)
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    born = [user.last for user in people if user.last]
    s.step(f"{len(people)} users come back in the middle of the duration")
    let_pass(s, 0.5 * s.duration - max(age(s, pin) for pin in born))
    s.rng.shuffle(people)
    for user in people:
        user.visit(new_connection=True)
    if s.system.target.can("reload") and must(s.contract.reaction.reload, "keep"):
        s.step("the unchanged configuration is loaded again, which makes no pin younger")
        s.system.reload()
    s.step("the rest of the duration passes")
    let_pass(s, s.duration + 2 * s.resolution - min(settled_age(s, pin) for pin in born))
    what = "the duration since the first visit was over, whatever came in between"
    rebalanced(s, users, Kind.PROLONGED, what, visit=_fresh)


@behaviour(
    "duration.clock-skew",
    affinities=("lb-cookie", "app-cookie"),
    unless=unless_timed,
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=180,
    sees=0.98,
)
def test_clock_skew(s: Scenario) -> None:
    """Where the balancer keeps the time, users whose clocks are hours off are pinned as long as everybody else."""
    kept = must(s.contract.duration.kept_by, "balancer")
    count = small_group(s) * s.n
    fast = [_user_off_by(s, HOURS * 3600.0) for _ in range(2 * s.n)]
    slow = [_user_off_by(s, -HOURS * 3600.0) for _ in range(count)]
    s.step(f"{len(fast)} users are {HOURS} hours ahead, {len(slow)} are behind; all come back at once")
    everybody = [*fast, *slow]
    s.rng.shuffle(everybody)
    moved = 0
    for user in everybody:
        before = user.last
        if kept and s.contract.affinity == "lb-cookie" and not user.key:
            s.broken(Kind.EXPIRED_EARLY, f"{user.name}, whose clock is wrong, has lost the cookie at once", before)
        home = user.backend
        moved += user.visit(new_connection=True).backend != home
    if not kept:
        raise Observed(f"of {len(everybody)} users with wrong clocks {moved} were not recognised at the second visit")
    s.step("those who are behind come back after the duration")
    let_pass(s, s.duration + 2 * s.resolution)
    if must(s.contract.duration.after, "rebalance"):
        groups: dict[str, list[Client]] = {name: [] for name in s.names}
        for user in slow:
            groups.setdefault(user.backend, []).append(user)
        groups.pop("", None)
        rebalanced(
            s, groups, Kind.NEVER_EXPIRED, "the duration was over, whatever the client's clock says", visit=_fresh
        )


def _user_off_by(s: Scenario, seconds: float) -> Client:
    user = s.client()
    user.skew = seconds
    user.visit()
    return user


@behaviour(
    "duration.connection-outlives",
    unless=unless_timed,
    touches="clock",
    waits=True,
    error_rate=0.0,
    budget=210,
    certainty="what is seen is shown, not judged; but the oracle judges every request",
)
def test_connection_outlives(s: Scenario) -> None:
    """What becomes of a connection that is older than the duration: whether it stays open, and who answers on it."""
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    before = {user.name: user.last.connection for user in people if user.last}
    s.step(f"{len(people)} users keep their connections for longer than the duration")
    pass_time(s, s.duration + 2 * s.resolution, people)
    found = revisit(s, users, visit=lambda user: user.visit())
    same = sum(user.last.connection == before[user.name] for user in people if user.last and not user.last.error)
    raise Observed(
        f"of {len(people)} kept connections {same} were still usable after the duration; "
        f"{found.text} requests on them met the backend from before"
    )


def _fresh(user: Client) -> Exchange:
    return user.visit(new_connection=True)
