"""The application's cookies pass as they are, and the balancer's own stays between it and the browser."""

from __future__ import annotations

from collections.abc import Iterable

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
)
from limpet.harness.model.contract import Stated
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import parse_cookie_headers
from limpet.harness.model.history import Header

SET = (
    "plain=1",
    "cart=3%2C5%20items; Path=/; HttpOnly",
    "Odd.Name-~!=a=b==&c; path=/shop; SECURE; samesite=None",
    'quoted="some text"; Max-Age=3600; Version=1',
    "dated=x; Expires=Wed, 09 Jun 2038 10:18:14 GMT; Domain=shop.example; Priority=High; Partitioned",
    "gone=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0",
)
"""Lines that an application may send; each must arrive as it is."""
NAMES = {line.partition("=")[0] for line in SET}
SENT = ("first=1", 'quoted="some text"', "cart=3%2C5%20items", "Odd.Name-~!=a=b==&c", "empty=", "last=z")
"""Cookies that a browser may send."""


def _ways(contract: Contract) -> list[str]:
    found = ["to-client", "to-backend"]
    if contract.affinity == "lb-cookie" and must(contract.reaction.unhealthy, "repin"):
        found.append("re-pinned")
    if contract.cookie is not None and contract.affinity == "lb-cookie" and must(contract.cookie.stripped, True):
        found.append("stripped")
    return found


@behaviour("cookie.application-untouched", layers=(7,), keyed=None, variants=_ways,
    special={"re-pinned": Special(needs=("kill", "backend-history"), touches="backends")},
    error_rate=0.0, budget=50, sees=0.64,
)  # fmt: skip
def test_application_untouched(s: Scenario) -> None:
    """The application's cookies pass unchanged both ways; its servers never see a cookie that is kept from them."""
    s.need("backend-history")
    users = [s.pinned(name) if s.contract.affinity != "none" else s.client() for name in s.names]
    ways = {"to-client": _to_client, "to-backend": _to_backend, "stripped": _stripped, "re-pinned": _re_pinned}
    ways[s.variant](s, users)


def _setting(lines: Iterable[str]) -> list[Header]:
    """What makes the application set these cookies."""
    return [(f"Limpet-Set-Cookie-{number}", line) for number, line in enumerate(lines)]


def _to_client(s: Scenario, users: list[Client]) -> None:
    s.step("the application sets cookies of many forms")
    for user in users:
        with user.raw() as connection:
            lines = list(SET)
            for _ in range(2):
                s.rng.shuffle(lines)
                headers = _setting(lines)
                exchange = user.over(connection, headers=headers)
                if exchange.backend:
                    came = [line for line in exchange.set_cookies if line.partition("=")[0].strip() in NAMES]
                    _same(s, lines, came, "set by the application", exchange)


def _re_pinned(s: Scenario, users: list[Client]) -> None:
    """The answer that carries a new pin carries the application's cookies too."""
    dead = s.rng.choice(s.names)
    lost = [s.pinned(dead) for _ in users]
    s.system.kill(dead)
    headers = _setting(SET)
    for user in lost:
        with user.raw() as connection:
            exchange = user.over(connection, headers=headers)
        if exchange.backend:
            came = [line for line in exchange.set_cookies if line.partition("=")[0].strip() in NAMES]
            _same(s, list(SET), came, "set by the application in the first answer after a failover", exchange)


def _to_backend(s: Scenario, users: list[Client]) -> None:
    s.step("users send many cookies of the application's beside the balancer's")
    asked: list[tuple[Exchange, list[str]]] = []
    for user in users:
        with user.raw() as connection:
            for place in range(3):
                pairs = list(SENT)
                s.rng.shuffle(pairs)
                own = [user.cookie_header()] if user.cookie_header() else []
                at = (0, len(pairs) // 2, len(pairs))[place]
                header = "; ".join([*pairs[:at], *own, *pairs[at:]])
                asked.append((user.over(connection, cookies=[header]), pairs))
    arrived = {each.id: each for each in s.arrived()}
    for exchange, pairs in asked:
        record = arrived.get(exchange.id)
        if record is None:
            continue
        sent = {name for name, _ in parse_cookie_headers(pairs)}
        came = parse_cookie_headers(value for name, value in record.headers if name.lower() == "cookie")
        theirs = [f"{name}={value}" for name, value in came if name in sent]
        _same(s, pairs, theirs, f"sent to {record.backend}", exchange)


def _same(s: Scenario, wanted: list[str], came: list[str], what: str, exchange: Exchange) -> None:
    if not must(_untouched(s), True):
        changed = [f"{line!r}" for line in came if line not in wanted] + [f"no {x!r}" for x in wanted if x not in came]
        raise Observed(f"cookies {what}: {', '.join(changed) or 'all arrive as they are'}")
    lost = [line for line in wanted if line not in came]
    other = [line for line in came if line not in wanted]
    text = f"cookies {what}: {lost or 'none'} did not arrive as they were; instead {other or came}"
    s.expect(came == wanted, Kind.COOKIE_TOUCHED, text, exchange)


def _untouched(s: Scenario) -> Stated[bool] | None:
    return s.contract.application.untouched if s.contract.application else None


def _stripped(s: Scenario, users: list[Client]) -> None:
    s.step("users with pins come again, with other cookies and without")
    exchanges = []
    for user in users:
        exchanges.append(user.visit())
        exchanges.append(user.request("POST", s.system.loaded.target.request.path, body=b"item=lamp"))
        with user.raw() as connection:
            exchanges.append(user.over(connection, cookies=[f"first=1; {user.cookie_header()}; last=2"]))
    arrived = {each.id: each for each in s.arrived()}
    names = _own_names(s)
    for exchange in exchanges:
        record = arrived.get(exchange.id)
        if record is None:
            continue
        came = parse_cookie_headers(value for name, value in record.headers if name.lower() == "cookie")
        seen = sorted({name for name, _ in came if name in names})
        text = f"{record.backend} was sent the balancer's own cookie {', '.join(seen)}"
        s.expect(not seen, Kind.COOKIE_LEAKS, text, exchange)


def _own_names(s: Scenario) -> set[str]:
    cookie = s.contract.cookie
    if cookie is None or cookie.name is None:
        raise NotCheckable("nothing says what the balancer's cookie is called")
    return {cookie.name, *(twin.name for twin in cookie.twins)}
