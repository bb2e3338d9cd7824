"""Which answers set the balancer's cookie, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    Special,
    behaviour,
    cookies_in,
    cookies_of,
    handshake_headers,
    main_cookies,
    try_to_start,
    with_application,
)
from limpet.harness.model.contract.stated import may, must
from limpet.harness.model.oracle.exchanges import ODD

EACH = 2
FOLLOWING = 5


def _later(contract: Contract) -> str:
    """A balancer's cookie beside the application's is another matter."""
    both = contract.affinity == "app-cookie" and contract.cookie is not None
    return "a cookie of the balancer beside the application's is judged by cookie.companion" if both else ""


def _issues(contract: Contract) -> list[str]:
    cookie = contract.cookie
    if cookie is None:
        return ["unasked"]
    if contract.affinity != "lb-cookie":
        return ["first"]
    found = ["first"]
    if must(cookie.issued, "every-response"):
        found.append("every")
    if not may(cookie.issued, "every-response"):
        found.append("no-more")
    return found


@behaviour(
    "cookie.issued", layers=(7,), keyed=None, variants=_issues, unless=_later, error_rate=0.0, budget=100, sees=0.26
)
def test_issued(s: Scenario) -> None:
    """The cookie is set on the answers that are promised to set it, and on no others."""
    if s.variant == "unasked":
        _unasked(s)
        return
    {"first": _first, "every": _every, "no-more": _no_more}[s.variant](s)


def _visible(s: Scenario, exchange: Exchange) -> None:
    """Where nobody says what the cookie is called, any cookie may be it; only an answer without any shows something."""
    cookie = s.contract.cookie
    if exchange.set_cookies and (cookie is None or not (cookie.name or cookie.pattern)):
        raise NotCheckable("neither the documentation nor the target says what the cookie is called")


def _first(s: Scenario) -> None:
    """Whichever backend answers a user without the cookie, the answer sets it."""
    s.step("new users, until each backend has answered some of them; then one that keeps no cookies")
    for user, first in _newcomers(s):
        _must_set(s, user, first, f"the first answer to {user.name}")
    for _ in range(s.n):
        user = s.client()
        posted = user.request("POST", s.system.loaded.target.request.path, body=b"user=ann")
        _must_set(s, user, posted, f"the answer to a POST, the first request of {user.name},")
    forgetful = s.client(cookies=False)
    for _ in range(EACH * s.n):
        _must_set(s, forgetful, forgetful.visit(), f"an answer to {forgetful.name}, who has no cookie")


def _newcomers(s: Scenario) -> Iterator[tuple[Client, Exchange]]:
    met = dict.fromkeys(s.names, 0)
    for _ in range(10 * EACH * s.n):
        user = s.client()
        first = user.visit()
        if not first.backend or first.backend not in met:
            continue
        met[first.backend] += 1
        yield user, first
        if min(met.values()) >= EACH:
            return


def _must_set(s: Scenario, user: Client, exchange: Exchange, what: str) -> None:
    if not exchange.backend or not exchange.ok:
        return  # an answer of the balancer's own, or an error: nothing is said about those
    _visible(s, exchange)
    given = [each.value for each in main_cookies(exchange, s.contract)]
    lacks = "does not set the cookie" if not given else "sets the cookie without a value, or to be deleted at once"
    s.expect(bool(user.issued(exchange)) and any(given), Kind.COOKIE_NOT_ISSUED, f"{what} {lacks}", exchange)


def _every(s: Scenario) -> None:
    """Users with a pin get the cookie again with each answer."""
    for user, _ in list(_newcomers(s))[: 2 * s.n]:
        for number in range(FOLLOWING):
            exchange = user.visit(new_connection=number == FOLLOWING - 1)
            _must_set(s, user, exchange, f"answer {number + 2} to {user.name}")
        beside = (("Limpet-Set-Cookie", "limpet-shop=open; Path=/"),)
        exchange = user.request("GET", s.system.loaded.target.request.path, headers=beside)
        _must_set(s, user, exchange, f"an answer to {user.name} in which the application sets a cookie of its own")


def _no_more(s: Scenario) -> None:
    """Users with a pin that nothing has changed are not given the cookie again."""
    lasts = s.lasts
    for user, first in list(_newcomers(s))[: 2 * s.n]:
        for number in range(FOLLOWING):
            exchange = user.visit(new_connection=number == FOLLOWING - 1)
            fresh = exchange.received.t - first.sent.t < lasts
            if not exchange.backend or exchange.backend != first.backend or not fresh:
                continue  # it moved, which is judged elsewhere, or its pin may be over
            _visible(s, exchange)
            again = cookies_of(exchange, s.contract)
            text = f"answer {number + 2} to {user.name} sets {', '.join(each.name for each in again)} again"
            s.expect(not again, Kind.COOKIE_UNASKED, f"{text}, though nothing changed", exchange)


@behaviour(
    "cookie.issued-with-status",
    fields=("cookie.issued",),
    layers=(7,),
    affinities=("lb-cookie",),
    variants=("101", "302", "404", "500"),
    certainty="That a cookie pins nobody is missed with a probability of 1e-03",
    error_rate=0.0,
    budget=80,
    sees=0.23,
)
def test_issued_with_status(s: Scenario) -> None:
    """An upgrade, a redirect, a missing page and an error of the application set the cookie as any answer does."""
    if s.system.loaded.target.backends.owner != "limpet":
        raise NotCheckable("only limpet's own backends answer with a status that is asked for")
    path = s.system.loaded.target.request.path
    wish = (("Limpet-Status", s.variant), *((("Limpet-Header", "Location: /"),) if s.variant == "302" else ()))
    every = must(s.contract.cookie.issued if s.contract.cookie else None, "every-response")
    s.step(f"new users whose first answer has the status {s.variant}, and their second visit")
    agreed = 0
    for _ in range(EACH * s.n):
        user = s.client()
        first = _upgrade(user) if s.variant == "101" else user.request("GET", path, headers=wish)
        agreed += first.status == 101
        if s.variant == "101" and first.status != 101:
            continue
        _must_set_with(s, user, first, f"the first answer to {user.name}")
        if user.key:
            with s.luck():
                user.visit(new_connection=True)
            if every:
                later = _upgrade(user) if s.variant == "101" else user.request("GET", path, headers=wish)
                _must_set_with(s, user, later, f"a later answer to {user.name}")
    if s.variant == "101" and not agreed:
        raise NotCheckable("no upgrade of a connection was agreed to")


def _upgrade(user: Client) -> Exchange:
    """An opening handshake of a WebSocket, which ends there."""
    with closing(user.raw()) as connection:
        said = user.spoken(handshake_headers())
        # Whether upgrades are passed on at all is no matter of cookies.
        return user.heard(connection.request(user.name, "GET", said.path, said.headers, note=ODD))


def _must_set_with(s: Scenario, user: Client, exchange: Exchange, what: str) -> None:
    if not exchange.backend or str(exchange.status) != s.variant:
        return  # the balancer's own answer, or none: the oracle judges whether that may be
    _visible(s, exchange)
    given = bool(user.issued(exchange)) and any(each.value for each in main_cookies(exchange, s.contract))
    text = f"{what}, a {s.variant} of {exchange.backend}, does not set the cookie"
    s.expect(given, Kind.COOKIE_NOT_ISSUED, text, exchange)


def _unasked(s: Scenario) -> None:
    """Where nothing promises a cookie of the balancer's, it sets none."""
    if s.system.loaded.target.backends.owner != "limpet":
        raise NotCheckable("whether a cookie is the balancer's or the backends' own is only known of limpet's backends")
    users = [s.client() for _ in range(s.n)]
    answers = [user.visit(new_connection=number == 1) for number in range(FOLLOWING) for user in users]
    application = s.contract.application
    own = application.name if application is not None and s.contract.affinity in ("app-cookie", "url") else None
    seen = {each.name for exchange in answers for each in cookies_in(exchange) if each.name != own}
    # That the application's cookie passes untouched does not say that there is no other; a requirement must.
    loaded = s.system.loaded
    named = loaded.catalogue.requirements(loaded.profile_name, "cookie.issued")
    if not named:
        raise Observed(f"cookies that the balancer sets: {', '.join(sorted(seen)) or 'none'}")
    for exchange in answers:
        strange = sorted({each.name for each in cookies_in(exchange)} - {own})
        text = f"the balancer sets {', '.join(strange)}, though it goes by no cookie of its own"
        s.expect(not strange, Kind.COOKIE_UNASKED, text, exchange)


def _named(contract: Contract) -> list[str]:
    if contract.affinity == "app-cookie":
        return ["reserved"]
    return ["documented"]


def _nothing_named(contract: Contract) -> str:
    if contract.affinity == "app-cookie" and not (contract.application and contract.application.reserved):
        return "the documentation reserves no names"
    return ""


@behaviour(
    "cookie.name",
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    variants=_named,
    unless=_nothing_named,
    special={"reserved": Special(needs=("launch",))},
    error_rate=0.0,
    budget=10 * EACH * 3,
    sees=0.95,
)
def test_name(s: Scenario) -> None:
    """The cookie has the documented name; a reserved name is refused for the application's cookie."""
    if s.variant == "reserved":
        _reserved(s)
        return
    cookie = s.contract.cookie
    promised = cookie is not None and bool(cookie.name or cookie.pattern)
    wanted = (cookie.name or f"the pattern {cookie.pattern}") if cookie is not None else ""
    seen: set[str] = set()
    for user, first in _newcomers(s):
        names = [each.name for each in cookies_in(first)]
        seen.update(names)
        if not promised:
            raise Observed(f"the first answer to a new user sets {', '.join(names) or 'no cookie'}")
        if main_cookies(first, s.contract):
            s.decided += 1
        elif names:
            text = f"the first answer to {user.name} sets {', '.join(names)}, but the cookie is called {wanted}"
            s.broken(Kind.COOKIE_NAME, text, first)
        else:
            s.broken(Kind.COOKIE_NOT_ISSUED, f"the first answer to {user.name} sets no cookie", first)
    s.observe(f"the first answers to new users set {', '.join(sorted(seen)) or 'no cookie'}")


def _reserved(s: Scenario) -> None:
    application = s.contract.application
    for name in application.reserved if application else ():
        s.step(f"a copy of the balancer is started with {name} as the application's cookie")
        start = try_to_start(s, with_application(s, name))
        text = f"it starts although {name} is reserved"
        s.expect(start.refused, Kind.SETTING_ACCEPTED, text)
        if start.refused:
            s.observe(
                f"{name} is refused: {start.words.strip().splitlines()[-1] if start.words.strip() else 'no word'}"
            )


@behaviour(
    "cookie.cacheable",
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    error_rate=0.0,
    budget=10 * EACH * 3,
    certainty="what is seen is shown, not judged",
)
def test_cacheable(s: Scenario) -> None:
    """What a response that sets the cookie says to shared caches: observed."""
    seen: dict[str, int] = {}
    for user, first in _newcomers(s):
        if user.issued(first):
            said = first.header("Cache-Control") or first.header("Expires") or "nothing"
            seen[said] = seen.get(said, 0) + 1
    raise Observed("answers that set the cookie say to shared caches: " + (", ".join(sorted(seen)) or "none was seen"))
