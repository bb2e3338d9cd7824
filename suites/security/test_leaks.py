"""What answers give away, and what requests smuggle in."""

from __future__ import annotations

from urllib.parse import quote

from limpet import Client, Contract, Exchange, Kind, Scenario, behaviour, cookies_of
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import BackendFacts, find_leaks
from limpet.harness.model.oracle.exchanges import ODD

ALPHA = 1e-6
MARK = "Limpet-Injected"
USERS = 2


def _unless_hidden(contract: Contract) -> str:
    return "" if must(contract.topology, "hidden") else "backends need not be hidden"


@behaviour(
    "security.topology-leak",
    only_cited=True,
    fields=("topology",),
    needs=("kill",),
    touches="backends",
    layers=(7,),
    keyed=None,
    unless=_unless_hidden,
    certainty="an address counts where random text shows one with less than one in a million, over all texts together",
    error_rate=1e-6,
    budget=90,
    sees=0.3,
)
def test_topology_leak(s: Scenario) -> None:
    """No header, cookie or error page of the balancer's tells the address of a backend, also when backends fail."""
    facts = [BackendFacts(each.name, each.host, each.port) for each in s.system.target.members]
    answers = [user.visit(new_connection=True) for user in _everybodys(s)]
    s.step("some ask what makes no sense")
    answers += _nonsense(s)
    users = _everybodys(s)
    victim = s.rng.choice(s.names)
    s.step("a backend dies: its users meet it while nobody knows")
    s.system.kill(victim, settle=False)
    answers += [user.visit() for user in users]
    s.system.kill(victim)
    s.step("the others die too: everybody gets an error")
    s.system.kill(*(name for name in s.names if name != victim))
    answers += [user.visit(new_connection=True) for user in users]
    known = {user.source or "" for user in users} | {s.system.target.host, s.system.endpoint.authority}
    _judge(s, answers, facts, known - {""})


def _everybodys(s: Scenario) -> list[Client]:
    if s.contract.affinity == "none":
        return [s.client() for _ in range(USERS * s.n)]
    return [user for group in s.pinned_to_each(USERS).values() for user in group]


def _nonsense(s: Scenario) -> list[Exchange]:
    """Requests that a balancer answers itself."""
    found = []
    host = s.system.endpoint.authority.encode()
    for head in (
        [b"GET / HTTP/1.1"],
        [b"GET / HTTP/9.9", b"Host: " + host],
        [b"GET / HTTP/1.1", b"Host: " + host, b"Content-Length: many"],
        [b"GET / HTTP/1.1", b"Host: " + host, b"X-Long: " + b"x" * 70_000],
    ):
        user = s.client()
        connection = user.raw()
        try:
            connection.send(head, client=user.name, note=ODD)
            found.append(connection.receive())
        finally:
            connection.close()
    return found


def _judge(s: Scenario, answers: list[Exchange], facts: list[BackendFacts], known: set[str]) -> None:
    texts = [(text, where, each) for each in answers for text, where in _told(each, s.contract)]
    distinct = {text for text, _, _ in texts}
    seen: dict[str, str] = {}
    for text in distinct:
        for leak in find_leaks(text, facts, known=known):
            if "address" in leak.what and leak.chance * len(distinct) <= ALPHA:
                seen[text] = leak.text
                break
    wrong = 0
    for text, where, answer in texts:
        if text in seen:
            wrong += 1
            s.broken(Kind.TOPOLOGY_LEAKED, f"{where} tells the {seen[text]}", answer)
    s.decided += len({answer.id for answer in answers if answer.status}) - wrong
    own = sum(not answer.backend and bool(answer.status) for answer in answers)
    s.observe(f"{len(answers)} answers were read, {own} of them the balancer's own")


def _told(answer: Exchange, contract: Contract) -> list[tuple[str, str]]:
    """Everything in an answer that is the balancer's to say, each with where it stands."""
    found = [(each.value, f"the cookie {each.name}") for each in cookies_of(answer, contract)]
    for name, value in answer.received.headers:
        if name.lower() != "set-cookie" and not name.lower().startswith("limpet-"):
            found.append((value, f"the header {name}"))
    if not answer.backend and answer.body:
        text = answer.body.decode("utf-8", "replace")
        found += [(word, f"the page of its {answer.status}") for word in text.split()]
    return [(text, where) for text, where in found if text]


FORMS = {
    "percent": "%0d%0a{mark}:%20yes%0d%0aSet-Cookie:%20limpet_injected=1",
    "percent-lf": "%0a{mark}:%20yes",
    "double-percent": "%250d%250a{mark}:%20yes",
    "octal-quoted": '"x\\015\\012{mark}: yes"',
    "backslash": "\\r\\n{mark}:\\x20yes",
    "wide": "\u560d\u560a{mark}:\u560ayes",
}


@behaviour(
    "security.header-injection",
    only_cited=True,
    layers=(7,),
    affinities=("lb-cookie", "app-cookie", "header", "url"),
    needs=("backend-history",),
    variants=tuple(FORMS),
    error_rate=0.0,
    budget=60,
    sees=0.4,
    certainty="a header of that name has no other origin",
)
def test_header_injection(s: Scenario) -> None:
    """A line break that is written in a cookie's value, in whatever code, never ends a header of answer or request."""
    payload = FORMS[s.variant].format(mark=MARK)
    user = s.pinned()
    s.step("the value is sent in the place of the key, behind a right one, and in somebody else's cookie")
    answers = []
    for value in ("x" + payload, user.key + payload):
        for visitor in (s.client(), s.client()):
            answers.append(_with_key(s.contract, visitor, value))
            answers.append(visitor.visit())
    for _ in range(2):
        header = "; ".join(filter(None, [f"theme=x{payload}", user.cookie_header()]))
        answers.append(user.visit(cookie=header, note=ODD))
    arrived = {each.id: each for each in s.arrived()}
    for answer in answers:
        names = {name.lower() for name, _ in answer.received.headers}
        injected = MARK.lower() in names or any(each[:17] == "limpet_injected=1" for each in answer.set_cookies)
        s.expect(not injected, Kind.HEADER_INJECTED, "a line break from a request became one of the answer", answer)
        there = arrived.get(answer.id)
        if there is not None and MARK.lower() in {name.lower() for name, _ in there.headers}:
            s.broken(Kind.HEADER_INJECTED, f"a line break from a request became one before {there.backend}", answer)


def _with_key(contract: Contract, visitor: Client, value: str) -> Exchange:
    if contract.affinity in ("lb-cookie", "app-cookie"):
        cookie = contract.cookie if contract.affinity == "lb-cookie" else None
        name = cookie.name if cookie else contract.application.name if contract.application else None
        return visitor.visit(cookie=f"{name or 'session'}={value}", note=ODD)
    written = quote(value, safe="%") if contract.affinity == "url" else value
    if contract.affinity == "header" and not written.isascii():
        written = quote(written, safe="%")
    return visitor.visit(key=written, note=ODD)
