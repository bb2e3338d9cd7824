"""The balancer's cookie beside the application's: it comes with that one, and both together are the key."""

from __future__ import annotations

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    Scenario,
    behaviour,
    cookies_of,
    main_cookies,
    rebalanced,
    small_group,
)
from limpet.harness.model.contract.companion import Companion
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import SetCookie, parse_cookie_headers, parse_fixdate

SET = "Limpet-Set-Cookie"
OTHER = (SET, "limpet-shop=open; Path=/")
"""A cookie of the application's that is not the one by which the balancer goes."""
EACH = 2
VISITS = 3
SLACK = 5.0
"""Seconds that two lifetimes may differ: dates are whole seconds, and a machine may be busy between two clocks."""


def _companion(contract: Contract) -> Companion:
    cookie = contract.cookie
    return (cookie.companion if cookie is not None else None) or Companion()


def _variants(contract: Contract) -> list[str]:
    companion, cookie = _companion(contract), contract.cookie
    found = ["issued"]
    if must(companion.both_needed, True):
        found += ["both-needed", "gone"]
    if must(companion.any_value, True):
        found.append("any-value")
    if companion.mirrors:
        found.append("mirrored")
    elif cookie is not None and (cookie.attributes.expires or cookie.attributes.max_age):
        found.append("own-attributes")
    if cookie is not None and cookie.twins:
        found.append("twin")
    return found


@behaviour(
    "cookie.companion",
    fields=("cookie.companion", "application.name"),
    layers=(7,),
    affinities=("app-cookie",),
    needs=("sessions",),
    variants=_variants,
    error_rate=1e-6,
    budget=190,
)
def test_companion(s: Scenario) -> None:
    """The balancer's cookie comes with the application's and follows it as documented; neither alone keeps the pin."""
    {
        "issued": _issued,
        "both-needed": _both_needed,
        "gone": _gone,
        "any-value": _any_value,
        "mirrored": _mirrored,
        "own-attributes": _own_attributes,
        "twin": _twin,
    }[s.variant](s)


def _name(s: Scenario) -> str:
    application = s.contract.application
    return (application.name if application is not None else None) or ""


def _set(s: Scenario, attributes: str = "Path=/") -> tuple[str, str]:
    """The request header by which a backend is told to set the application's cookie."""
    return SET, f"{_name(s)}={{session}}; {attributes}"


def _ask(s: Scenario, user: Client, *headers: tuple[str, str]) -> Exchange:
    return user.request("GET", s.system.loaded.target.request.path, headers=headers)


def _issued(s: Scenario) -> None:
    issued = _companion(s.contract).issued
    users = [s.client() for _ in range(EACH * s.n)]
    s.step(f"{len(users)} new users get an answer in which the application sets some other cookie")
    for user in users:
        early = _ask(s, user, OTHER)
        if early.ok and early.backend:
            text = f"{user.name} has no cookie of the application's, and the answer sets none, but the balancer's"
            s.expect(not user.issued(early), Kind.COOKIE_UNASKED, text, early)
    s.step("then the application sets the cookie that the balancer goes by")
    for user in users:
        answer = _ask(s, user, _set(s))
        if not answer.ok or not answer.backend:
            continue
        text = f"the answer that gives {user.name} the application's cookie does not set the balancer's"
        s.expect(bool(user.issued(answer)), Kind.COOKIE_NOT_ISSUED, text, answer)
        for _ in range(VISITS):
            again = user.visit()
            if again.backend != answer.backend or not again.ok:
                continue  # it moved, which the oracle judges
            if must(issued, "with-application"):
                text = f"the balancer's cookie is set again for {user.name}, without a new one of the application's"
                s.expect(not user.issued(again), Kind.COOKIE_UNASKED, text, again)
            elif must(issued, "every-response"):
                text = f"an answer in the session of {user.name} does not renew the balancer's cookie"
                s.expect(bool(user.issued(again)), Kind.COOKIE_NOT_ISSUED, text, again)
    s.step("and a new one of the application's brings a new one of the balancer's")
    for user in users:
        answer = _ask(s, user, _set(s))
        if answer.ok and answer.backend:
            text = f"a new cookie of the application's for {user.name} came without one of the balancer's"
            s.expect(bool(user.issued(answer)), Kind.COOKIE_NOT_ISSUED, text, answer)


def _parts(s: Scenario, user: Client) -> tuple[str, str]:
    """The application's cookie as the user sends it, and what else it sends: the balancer's."""
    pairs = [f"{name}={value}" for name, value in parse_cookie_headers(user.cookie_header())]
    own = [pair for pair in pairs if pair.partition("=")[0] == _name(s)]
    return "; ".join(own), "; ".join(pair for pair in pairs if pair not in own)


def _both_needed(s: Scenario) -> None:
    pinned = s.pinned_to_each(small_group(s))
    halves = {user.name: _parts(s, user) for group in pinned.values() for user in group}
    for number, what in enumerate(("the application's cookie without the balancer's", "the balancer's alone")):
        s.step(f"each of them sends {what}")

        def half(user: Client, which: int = number) -> Exchange:
            return user.visit(cookie=halves[user.name][which], new_connection=True)

        rebalanced(s, pinned, Kind.COOKIE_COMPANION, f"only {what} was sent", visit=half)


def _gone(s: Scenario) -> None:
    pinned = s.pinned_to_each(small_group(s))
    people = [user for group in pinned.values() for user in group]
    s.step(f"the application ends the cookies of {len(people)} users, whose browsers forget them")
    for user in people:
        _ask(s, user, (SET, f"{_name(s)}=; Path=/; Max-Age=0"))
    rebalanced(s, pinned, Kind.COOKIE_COMPANION, "the application's cookie was gone", visit=_plainly)


def _plainly(user: Client) -> Exchange:
    return user.visit(new_connection=True)


def _any_value(s: Scenario) -> None:
    users = [user for group in s.pinned_to_each(EACH).values() for user in group]
    s.step("users send other values of the application's cookie; the oracle judges where they go")
    for user in users:
        for number in range(VISITS):
            _, balancers = _parts(s, user)
            s.scramble()
            user.visit(cookie=f"{_name(s)}=other{number}{s.rng.randrange(10**9)}; {balancers}")


def _lifetime(cookie: SetCookie, exchange: Exchange) -> float | None:
    """Seconds from the response's date; None for a session cookie."""
    if cookie.max_age is not None:
        return float(cookie.max_age)
    if cookie.expires is None:
        return None
    date = parse_fixdate(exchange.header("Date") or "")
    return cookie.expires - date if date is not None else None


def _mirrored(s: Scenario) -> None:
    mirrors = _companion(s.contract).mirrors
    asked: tuple[tuple[str, float | None], ...] = (
        ("Path=/", None),
        ("Path=/; Max-Age=3600", 3600.0),
        ("Path=/; HttpOnly", None),
        ("Path=/; Secure; HttpOnly; Max-Age=600", 600.0),
    )
    for attributes, seconds in asked:
        s.step(f"the application sets its cookie with {attributes}")
        for user in [s.client() for _ in range(s.n)]:
            answer = _ask(s, user, _set(s, attributes))
            for cookie in main_cookies(answer, s.contract):
                what = f"the application's cookie for {user.name} has {attributes}; the balancer's: {cookie.raw}"
                if "lifetime" in mirrors:
                    own = _lifetime(cookie, answer)
                    same = own is None if seconds is None else own is not None and abs(own - seconds) <= SLACK
                    s.expect(same, Kind.COOKIE_COMPANION, what, answer)
                if "http_only" in mirrors and "HttpOnly" in attributes:
                    s.expect(cookie.http_only, Kind.COOKIE_COMPANION, what, answer)
                if "secure" in mirrors and "Secure" in attributes:
                    s.expect(cookie.secure, Kind.COOKIE_COMPANION, what, answer)


def _own_attributes(s: Scenario) -> None:
    attributes = s.contract.cookie.attributes if s.contract.cookie is not None else None
    assert attributes is not None
    s.step("the application gives its cookie a lifetime of its own")
    for user in [s.client() for _ in range(EACH * s.n)]:
        for answer in (_ask(s, user, _set(s, "Path=/; HttpOnly; Max-Age=77")), user.visit()):
            for cookie in main_cookies(answer, s.contract):
                what = f"the balancer's cookie for {user.name}: {cookie.raw[-90:]}"
                if must(attributes.max_age, "absent"):
                    text = f"{what}; promised: no Max-Age"
                    s.expect(not cookie.count("max-age"), Kind.COOKIE_ATTRIBUTE, text, answer)
                wanted = attributes.expires.sole if attributes.expires is not None else None
                if isinstance(wanted, int | float):
                    own = _lifetime(cookie, answer)
                    right = own is not None and abs(own - wanted) <= SLACK
                    s.expect(right, Kind.COOKIE_EXPIRES, f"{what}; promised: {wanted:g} s", answer)


def _twin(s: Scenario) -> None:
    twins = s.contract.cookie.twins if s.contract.cookie is not None else ()
    for user in [s.client() for _ in range(EACH * s.n)]:
        answer = _ask(s, user, _set(s))
        mains = {each.value for each in main_cookies(answer, s.contract)}
        seen = {each.name: each for each in cookies_of(answer, s.contract)}
        for twin in twins if mains else ():
            own = seen.get(twin.name)
            text = f"the balancer's cookie for {user.name} comes without a twin {twin.name} of the same value"
            s.expect(own is not None and own.value in mains, Kind.COOKIE_TWIN, text, answer)
            if own is None:
                continue
            if must(twin.attributes.secure, True):
                s.expect(own.secure, Kind.COOKIE_TWIN, f"{twin.name} for {user.name} lacks Secure", answer)
            if must(twin.attributes.same_site, "None"):
                none = str(own.same_site).lower() == "none"
                s.expect(none, Kind.COOKIE_TWIN, f"{twin.name} for {user.name} lacks SameSite=None", answer)
