"""The application's cookie says whose session it is: what the client gets of it, and what the application."""

from __future__ import annotations

from limpet import Client, Contract, Exchange, Inconclusive, Kind, NotCheckable, Scenario, Special, behaviour
from limpet.harness.model.contract.marks import Mark
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import parse_cookie_headers

VISITS = 3
"""Requests of each user whose cookie the application reads."""


def _ways(contract: Contract) -> list[str]:
    found = ["to-client", "to-backend"]
    if must(contract.reaction.unhealthy, "repin"):
        found.append("re-pinned")
    return found


@behaviour(
    "cookie.application-marked",
    fields=("application.mark",),
    layers=(7,),
    affinities=("app-cookie",),
    variants=_ways,
    special={"re-pinned": Special(needs=("kill", "backend-history"), touches="backends")},
    error_rate=0.0,
    budget=60,
    sees=0.4,
)
def test_application_marked(s: Scenario) -> None:
    """The application's cookie is marked with a server's name as promised, and the application gets back its own."""
    s.need("backend-history")
    mark, name = _mark(s.contract)
    if s.variant == "to-client":
        _to_client(s, mark, name)
    elif s.variant == "to-backend":
        _to_backend(s, mark, name, [_with_a_cookie(s, name, number) for number in range(2 * s.n)])
    else:
        dead = s.rng.choice(s.names)
        users = [_with_a_cookie(s, name, number) for number in range(4 * s.n)]
        lost = [(user, value) for user, value in users if user.backend == dead]
        if not lost:
            raise Inconclusive(f"none of {len(users)} users was placed on {dead}")
        s.system.kill(dead)
        for user, _ in lost:
            user.visit(new_connection=True)
        _to_backend(s, mark, name, lost)


def _mark(contract: Contract) -> tuple[Mark, str]:
    application = contract.application
    if application is None or application.mark is None or not application.name:
        raise NotCheckable("the contract does not say what the application's cookie is called and how it is marked")
    return application.mark, application.name


def _value(s: Scenario, mark: Mark, number: int) -> str:
    """A value of the application's, with its route where the application writes one."""
    own = f"v{number}-{s.rng.randrange(1 << 40):010x}"
    return f"{own}{mark.separator}{{backend}}" if must(mark.form, "route") else own


def _set(s: Scenario, user: Client, line: str) -> tuple[Exchange, str]:
    """The answer in which the application sets this cookie, and the line that came of it."""
    name = line.partition("=")[0]
    exchange = user.request("GET", s.system.loaded.target.request.path, headers=[("Limpet-Set-Cookie", line)])
    came = [each for each in exchange.set_cookies if each.partition("=")[0].strip() == name]
    if exchange.backend:
        text = f"the application set {name} once, and {len(came)} lines of that name came"
        s.expect(len(came) == 1, Kind.COOKIE_TOUCHED, text, exchange)
    return exchange, came[0] if len(came) == 1 else ""


def _with_a_cookie(s: Scenario, name: str, number: int) -> tuple[Client, str]:
    """A user to whom the application gave a value; that value as the application knows it."""
    user = s.client()
    value = _value(s, _mark(s.contract)[0], number)
    exchange, _ = _set(s, user, f"{name}={value}; Path=/; HttpOnly")
    return user, value.replace("{backend}", exchange.backend)


def _to_client(s: Scenario, mark: Mark, name: str) -> None:
    s.step("the application sets its cookie for new users")
    names: dict[str, str] = {}
    for number in range(4 * s.n):
        attributes = ("; Path=/; HttpOnly", "; path=/; Max-Age=3600; SameSite=lax", "")[number % 3]
        value = _value(s, mark, number)
        exchange, line = _set(s, s.client(), f"{name}={value}{attributes}")
        if not line:
            continue
        own = value.replace("{backend}", exchange.backend)
        came = line.partition("=")[2].partition(";")[0].strip()
        label, found, rest = came.partition(mark.separator)
        if must(mark.form, "route"):
            right = came == own
        elif must(mark.form, "prefix"):
            right = bool(label and found) and rest == own
        else:
            label, right = came, bool(came) and own not in came
        kept = f";{line.partition(';')[2]}" if ";" in line else ""
        text = f"the application set {name}={own}{attributes}, and {line!r} came"
        s.expect(right and kept == attributes, Kind.COOKIE_TOUCHED, text, exchange)
        if right and not must(mark.form, "route"):
            known = names.setdefault(exchange.backend, label)
            same = sorted(who for who, other in names.items() if other == label)
            text = f"{exchange.backend} is called {label} in the cookie, as {' and '.join(same)} or before {known}"
            s.expect(known == label and same == [exchange.backend], Kind.COOKIE_TOUCHED, text, exchange)


def _to_backend(s: Scenario, mark: Mark, name: str, users: list[tuple[Client, str]]) -> None:
    s.step("the users come again, with other cookies and without")
    asked: list[tuple[Exchange, str, str]] = []
    for user, value in users:
        for number in range(VISITS):
            held = user.cookie_header()
            header = f"first=1~2; {held}; last=a.b" if number % 2 else held
            given = dict(parse_cookie_headers(held)).get(name, "")
            with user.raw() as connection:
                asked.append((user.over(connection, cookies=[header]), value, given))
    arrived = {each.id: each for each in s.arrived()}
    for exchange, value, given in asked:
        record = arrived.get(exchange.id)
        if record is None:
            continue
        lines = [line for header, line in record.headers if header.lower() == "cookie"]
        came = [content for each, content in parse_cookie_headers(lines) if each == name]
        wanted = given if must(mark.form, "rewrite") else value
        text = f"the application set {name}={value}, the client sent {given}, and {record.backend} got {came}"
        s.expect(came == [wanted], Kind.COOKIE_TOUCHED, text, exchange)
