"""Pins that live as long as a cookie: the browser's session, or the application's own cookie."""

from __future__ import annotations

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    behaviour,
    can_wait,
    cookies_of,
    let_pass,
    rebalanced,
    revisit,
    small_group,
    still_pinned,
)
from limpet.harness.model.contract.durations import spoken
from limpet.harness.model.contract.stated import must

WEEK = 7 * 86400.0
REQUESTS = 3


def unless_session(contract: Contract) -> str:
    """Why its cookie is none of a browser session."""
    cookie = contract.cookie
    if cookie is None:
        return "it sets no cookie"
    if must(contract.duration.clock, "session"):
        return ""
    lifetimes = (cookie.attributes.expires, cookie.attributes.max_age)
    if any(each is not None and each.binding and "absent" not in each.allowed for each in lifetimes):
        return "its cookie has a lifetime of its own"
    return ""


def _promised(contract: Contract) -> bool:
    cookie = contract.cookie
    if must(contract.duration.clock, "session"):
        return True
    return (
        cookie is not None and must(cookie.attributes.expires, "absent") and must(cookie.attributes.max_age, "absent")
    )


@behaviour(
    "duration.session-cookie",
    affinities=("lb-cookie",),
    unless=unless_session,
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=230,
    sees=0.98,
)
def test_session_cookie(s: Scenario) -> None:
    """The cookie has neither Expires nor Max-Age, lives as long as the browser session does, and ends with it."""
    promised = _promised(s.contract)
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    timed: list[Exchange] = []
    for user in people:
        assert user.last is not None
        for cookie in cookies_of(user.last, s.contract):
            lasts = cookie.expires is not None or cookie.max_age is not None
            if lasts:
                timed.append(user.last)
            if promised:
                text = f"{cookie.name} has a lifetime, although it is to end with the browser session"
                s.expect(not lasts, Kind.COOKIE_EXPIRES, text, user.last)
    if not promised:
        raise Observed(f"{len(timed)} of {len(people)} cookies had a lifetime of their own")
    if must(s.contract.duration.clock, "session") and s.system.target.can("advance_clock"):
        s.step(f"{spoken(WEEK)} pass while the browsers stay open")
        s.wait(WEEK)
        s.rng.shuffle(people)
        for user in people:
            s.scramble()
            user.visit(new_connection=True)
    s.step("the browsers are closed and opened again")
    for user in people:
        if user.jar is not None:
            user.jar.end_session()
        if user.key:
            s.broken(Kind.COOKIE_EXPIRES, f"{user.name}'s cookie outlived the browser session", user.last)
    if must(s.contract.duration.after, "rebalance"):
        rebalanced(s, users, Kind.NEVER_EXPIRED, "the browser session, and the cookie with it, was over", visit=_fresh)


@behaviour(
    "duration.follows-application-cookie",
    fields=("duration.follows_application",),
    affinities=("app-cookie",),
    variants=("lives-on", "ends"),
    needs=("sessions",),
    touches="clock",
    waits=True,
    error_rate=1e-6,
    budget=190,
    sees=0.98,
)
def test_follows_application_cookie(s: Scenario) -> None:
    """The pin lives as long as the application's cookie, whatever number is configured, and ends when that is ended."""
    if s.variant == "lives-on":
        _lives_on(s)
    else:
        _ends(s)


def _lives_on(s: Scenario) -> None:
    duration = s.contract.duration
    configured = duration.value or (max(duration.default.allowed) if duration.default else 0.0)
    seconds = max(WEEK, 3 * configured) if s.system.target.can("advance_clock") else configured + 2 * s.resolution
    if not configured and not s.system.target.can("advance_clock"):
        raise NotCheckable("no duration is configured, and the target's clock cannot be moved")
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    s.step(f"{len(people)} users with a cookie that the application does not end come back after {spoken(seconds)}")
    if not can_wait(s, seconds):
        raise NotCheckable(f"{spoken(seconds)} are too long to be waited for")
    let_pass(s, seconds)
    if must(duration.follows_application, True):
        s.rng.shuffle(people)
        for user in people:
            s.scramble()
            user.visit(new_connection=True)
        return
    found = revisit(s, users, visit=_fresh)
    saw = "outlived the configured duration" if still_pinned(s, found) else "ended with the configured duration"
    raise Observed(f"the pins {saw}: {found.text} users were still where they had been after {spoken(seconds)}")


def _ends(s: Scenario) -> None:
    application = s.contract.application
    if application is None or not application.name:
        raise NotCheckable("the application's cookie has no name in the contract")
    users = s.pinned_to_each(small_group(s))
    people = [user for group in users.values() for user in group]
    s.step(f"the application ends the cookies of {len(people)} users, who go on sending them")
    for user in people:
        user.freeze()
        user.request("GET", "/", headers=(("Limpet-Set-Cookie", f"{application.name}=; Path=/; Max-Age=0"),))
    if must(s.contract.duration.follows_application, True) and must(s.contract.duration.after, "rebalance"):
        rebalanced(s, users, Kind.NEVER_EXPIRED, "the application had ended its cookie", visit=_fresh)
        return
    found = revisit(s, users, visit=_fresh)
    raise Observed(
        f"after the application had ended its cookie, {found.text} users who still sent it met their backend"
    )


def _fresh(user: Client) -> Exchange:
    return user.visit(new_connection=True)
