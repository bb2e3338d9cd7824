"""What the cookie carries beside its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    Observed,
    Scenario,
    behaviour,
    cookies_of,
    main_cookies,
)
from limpet.harness.model.contract import Stated
from limpet.harness.model.contract.profile import Attributes
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import SetCookie, parse_fixdate

USERS = 3
ATTRIBUTES = ("path", "domain", "expires", "max_age", "secure", "http_only", "same_site", "partitioned")
WRITTEN = {"max_age": "Max-Age", "http_only": "HttpOnly", "same_site": "SameSite"}
TWIN = "twin-"
SECOND = 1.0
"""Dates and ages in cookies are whole seconds."""
LONGEST_REAL_WAIT = 4.0


def _stated(contract: Contract) -> list[str]:
    """A variant for each attribute, and for what is stated of the twins; where nothing is stated, one for all."""
    cookie = contract.cookie
    if cookie is None:
        return []
    found = list(ATTRIBUTES) if any(getattr(cookie.attributes, name) is not None for name in ATTRIBUTES) else []
    twins = [name for name in ATTRIBUTES if any(getattr(twin.attributes, name) is not None for twin in cookie.twins)]
    return found + [f"{TWIN}{name}" for name in twins]


def _nothing_stated(contract: Contract) -> str:
    """A cookie beside the application's may take all it carries from that one."""
    if contract.affinity != "app-cookie" or _stated(contract):
        return ""
    return "it sets no cookie" if contract.cookie is None else "nothing is stated of what its own cookie carries"


@behaviour(
    "cookie.attributes",
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    variants=_stated,
    unless=_nothing_stated,
    error_rate=0.0,
    budget=20,
    sees=0.4,
)
def test_attributes(s: Scenario) -> None:
    """Each attribute that is promised is there and right; each that is promised absent is absent."""
    name = s.variant.removeprefix(TWIN)
    cookie = s.contract.cookie
    unstated = not s.variant.startswith(TWIN) and cookie is not None and not getattr(cookie.attributes, name, None)
    for user, first in _first_answers(s):
        if unstated:
            written = {each.raw.partition(";")[2].strip() for each in main_cookies(first, s.contract)}
            raise Observed(f"nothing is promised of it; the cookie carries {' | '.join(sorted(written)) or 'nothing'}")
        for each, attributes in _promises(s, first):
            if (each.name in _twin_names(s.contract)) != s.variant.startswith(TWIN):
                continue
            _judge(s, name, each, attributes, first, user, Kind.COOKIE_ATTRIBUTE)


def _first_answers(s: Scenario) -> list[tuple[Client, Exchange]]:
    """First answers to new users: what each must carry does not depend on anything before."""
    s.step(f"{USERS} new users send their first request")
    users = [s.client() for _ in range(USERS)]
    firsts = [(user, user.visit()) for user in users]
    s.step("and come again")
    again = [(user, user.visit()) for user in users]
    s.step("and others with a value that leads nowhere: what replaces it is as good as a first one")
    name = s.contract.cookie.name if s.contract.cookie else None
    bad = [s.client() for _ in range(USERS if name else 0)]
    return firsts + again + [(user, user.visit(cookie=f"{name}=limpet-nowhere")) for user in bad]


def _twin_names(contract: Contract) -> set[str]:
    return {twin.name for twin in contract.cookie.twins} if contract.cookie else set()


def _promises(s: Scenario, exchange: Exchange) -> list[tuple[SetCookie, Attributes]]:
    """Every cookie of the balancer's in an answer, with what is promised of it."""
    cookie = s.contract.cookie
    if cookie is None:
        return []
    of_twins = {twin.name: twin.attributes for twin in cookie.twins}
    return [(each, of_twins.get(each.name, cookie.attributes)) for each in cookies_of(exchange, s.contract)]


def _judge(
    s: Scenario, name: str, cookie: SetCookie, attributes: Attributes, exchange: Exchange, user: Client, kind: Kind
) -> None:
    stated: Stated[object] | None = getattr(attributes, name)
    if stated is None:
        return
    right = any(CHECKS[name](s, cookie, wanted, exchange) for wanted in stated.allowed)
    written = [f"{each.name}={each.value}" if each.value else each.name for each in cookie.attributes]
    if not stated.binding:
        raise Observed(f"{cookie.name} carries {'; '.join(written) or 'no attributes'}")
    text = (
        f"{cookie.name} for {user.name} carries {'; '.join(written) or 'no attributes'}; "
        f"promised: {WRITTEN.get(name, name.capitalize())} {_spoken(stated)}"
    )
    s.expect(right, kind, text, exchange)


def _spoken(stated: Stated[object]) -> str:
    words = {True: "present", False: "absent"}
    return " or ".join(words.get(each, str(each)) if isinstance(each, bool) else str(each) for each in stated.allowed)


Check = Callable[[Scenario, SetCookie, object, Exchange], bool]


def _path(s: Scenario, cookie: SetCookie, wanted: object, _: Exchange) -> bool:
    return not cookie.count("path") if wanted == "absent" else cookie.path == wanted


def _domain(s: Scenario, cookie: SetCookie, wanted: object, _: Exchange) -> bool:
    if wanted == "absent":
        return not cookie.count("domain")
    return (cookie.domain or "").lower().lstrip(".") == str(wanted).lower().lstrip(".")


def _expires(s: Scenario, cookie: SetCookie, wanted: object, exchange: Exchange) -> bool:
    """That it is there and a date; how far away it is, is cookie.expires-value."""
    return not cookie.count("expires") if wanted == "absent" else cookie.expires is not None


def _max_age(s: Scenario, cookie: SetCookie, wanted: object, exchange: Exchange) -> bool:
    if wanted == "absent":
        return not cookie.count("max-age")
    seconds = _seconds(s, wanted)
    return cookie.max_age is not None and abs(cookie.max_age - seconds) <= max(SECOND, s.resolution)


def _flag(attribute: str, written: str) -> Check:
    def check(s: Scenario, cookie: SetCookie, wanted: object, _: Exchange) -> bool:
        return bool(getattr(cookie, attribute)) if wanted else not cookie.count(written)

    return check


def _same_site(s: Scenario, cookie: SetCookie, wanted: object, _: Exchange) -> bool:
    if wanted == "absent":
        return not cookie.count("samesite")
    return (cookie.same_site_raw or "").lower() == str(wanted).lower()


CHECKS: dict[str, Check] = {
    "path": _path,
    "domain": _domain,
    "expires": _expires,
    "max_age": _max_age,
    "secure": _flag("secure", "secure"),
    "http_only": _flag("http_only", "httponly"),
    "same_site": _same_site,
    "partitioned": _flag("partitioned", "partitioned"),
}


def _seconds(s: Scenario, wanted: object) -> float:
    return s.duration if wanted == "duration" else float(str(wanted))


# How long the browser is told to keep it.


def _lifetimes(contract: Contract) -> list[str]:
    cookie = contract.cookie
    if cookie is None:
        return []
    given = {name: getattr(cookie.attributes, name) for name in ("expires", "max_age")}
    return [name for name, stated in given.items() if stated is not None and "absent" not in stated.allowed]


@behaviour(
    "cookie.expires-value",
    layers=(7,),
    affinities=("lb-cookie",),
    touches="clock",
    waits=True,
    variants=_lifetimes,
    certainty="allowed: a second for rounding, the clock's resolution and the exchange itself",
    error_rate=0.0,
    budget=40,
    sees=0.29,
)
def test_expires_value(s: Scenario) -> None:
    """The cookie's end is a valid date at the promised distance, and moves with each re-issue of an idle clock."""
    users = _first_answers(s)
    if not s.variant:
        written = sorted({each.expires_raw or "no Expires" for _, first in users for each in _mains(s, first)})
        raise Observed(f"ends that nothing promises: {', '.join(written) or 'no cookie was set'}")
    for user, first in users:
        for cookie in _mains(s, first):
            _right_end(s, cookie, first, f"the first answer to {user.name}")
    _moves(s, users)


def _mains(s: Scenario, exchange: Exchange) -> list[SetCookie]:
    return main_cookies(exchange, s.contract)


def _promised(s: Scenario) -> list[float]:
    stated = getattr(s.contract.cookie.attributes, s.variant) if s.contract.cookie else None
    return [_seconds(s, each) for each in stated.allowed] if stated is not None else []


def _right_end(s: Scenario, cookie: SetCookie, exchange: Exchange, what: str) -> None:
    slack = max(SECOND, s.resolution) + exchange.received.t - exchange.sent.t
    left = _distance(s, cookie, exchange, what)
    if left is None:
        return
    promised = _promised(s)
    words = " or ".join(f"{each:g} s" for each in promised)
    text = f"{what}: {cookie.name} ends {left:g} s after it, promised are {words}"
    s.expect(any(abs(left - each) <= slack for each in promised), Kind.COOKIE_EXPIRES, text, exchange)


def _distance(s: Scenario, cookie: SetCookie, exchange: Exchange, what: str) -> float | None:
    """Seconds from the response to the cookie's end; None where there is none, which is told."""
    if s.variant == "max_age":
        s.expect(
            cookie.max_age is not None, Kind.COOKIE_EXPIRES, f"{what}: {cookie.name} has no valid Max-Age", exchange
        )
        return None if cookie.max_age is None else float(cookie.max_age)
    raw = cookie.expires_raw
    text = f"{what}: {cookie.name} has no Expires" if raw is None else f"{what}: Expires={raw} is no date"
    if not s.expect(cookie.expires is not None, Kind.COOKIE_EXPIRES, text, exchange) or cookie.expires is None:
        return None
    if parse_fixdate(raw or "") is None:
        # Servers SHOULD write an IMF-fixdate (RFC 6265bis section 4.1); every browser reads this one too.
        s.observe(f"{cookie.name}: {raw} is no IMF-fixdate, though browsers read it")
    date = parse_fixdate(exchange.header("Date"))
    if date is None:
        s.observe("the answers have no valid Date, so the distance of Expires cannot be told")
        return None
    return cookie.expires - date


def _moves(s: Scenario, users: Sequence[tuple[Client, Exchange]]) -> None:
    """With an idle clock each re-issue counts anew; with an absolute one the end stays where it was."""
    cookie, clock = s.contract.cookie, s.contract.duration.clock
    if cookie is None or not must(cookie.issued, "every-response") or not must(clock, "idle"):
        return
    longest = s.duration / 2
    wait = min(longest, 60.0 if s.system.target.can("advance_clock") else LONGEST_REAL_WAIT)
    if wait < 3 * max(SECOND, s.resolution):
        s.certain("too short a duration to see the end move")
        return
    s.wait(wait)
    s.step("the same users come again: the end counts from now")
    for user, _ in users:
        again = user.visit()
        for each in _mains(s, again):
            _right_end(s, each, again, f"the answer to {user.name} {wait:g} s later")


# The twin.


def _twin_variants(contract: Contract) -> list[str]:
    twins = contract.cookie.twins if contract.cookie else ()
    found = ["value"]
    if any(getattr(twin.attributes, name) is not None for twin in twins for name in ATTRIBUTES):
        found.append("attributes")
    if any(must(twin.alone_keeps, True) for twin in twins):
        found.append("alone")
    return found


@behaviour(
    "cookie.twin",
    fields=("cookie.twins",),
    layers=(7,),
    affinities=("lb-cookie",),
    variants=_twin_variants,
    error_rate=0.0,
    budget=70,
    sees=0.2,
)
def test_twin(s: Scenario) -> None:
    """The twin comes with the cookie, with the same value and its own attributes, and either alone keeps the pin."""
    if s.variant == "alone":
        _alone(s)
        return
    for user, first in _first_answers(s):
        for exchange in (first, user.visit()):
            if s.variant == "value":
                _same_value(s, exchange, user)
            else:
                _twins_attributes(s, exchange, user)


def _same_value(s: Scenario, exchange: Exchange, user: Client) -> None:
    mains = {each.value for each in _mains(s, exchange)}
    seen = {each.name: each.value for each in cookies_of(exchange, s.contract)}
    for name in sorted(_twin_names(s.contract)):
        if not mains and name not in seen:
            continue
        value = seen.get(name)
        what = f"has no twin {name}" if value is None else f"has a twin {name} with another value"
        s.expect(value in mains, Kind.COOKIE_TWIN, f"an answer to {user.name} {what}", exchange)


def _twins_attributes(s: Scenario, exchange: Exchange, user: Client) -> None:
    for cookie, attributes in _promises(s, exchange):
        if cookie.name in _twin_names(s.contract):
            for name in ATTRIBUTES:
                # Its lifetime is judged on first answers alone, by cookie.attributes.
                if name not in ("expires", "max_age"):
                    _judge(s, name, cookie, attributes, exchange, user, Kind.COOKIE_TWIN)


def _alone(s: Scenario) -> None:
    cookie = s.contract.cookie
    keepers = [twin.name for twin in cookie.twins if must(twin.alone_keeps, True)] if cookie else []
    for home in s.names:
        user = s.pinned(home)
        main = [each.name for each in _mains(s, user.last)] if user.last else []
        for name in [*keepers, *main]:
            s.step(f"{user.name}, pinned to {home}, sends {name} alone")
            for _ in range(4):
                value = user.key
                exchange = user.request("GET", s.system.loaded.target.request.path, cookie=f"{name}={value}")
                if exchange.backend:
                    text = f"{name} alone did not keep {user.name} on {home}: {exchange.backend} answered"
                    s.expect(exchange.backend == home, Kind.COOKIE_TWIN, text, exchange)
