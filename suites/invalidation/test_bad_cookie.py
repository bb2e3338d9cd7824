"""Cookie values that lead nowhere."""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable

from limpet import (
    Client,
    Contract,
    Exchange,
    Inconclusive,
    Kind,
    NotCheckable,
    Scenario,
    Special,
    behaviour,
    further_copy,
    let_pass,
    only_clients_keep_time,
    unless_timed,
)
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import parse_cookie_headers
from limpet.harness.model.oracle.exchanges import ODD, cookie_names

EACH = 1
"""Users for each backend."""

VISITS = 3
"""Further visits of each user: with three users a balancer that gives no pin afterwards is missed with 1 in 20,000."""

_LETTERS = string.ascii_letters + string.digits


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(_LETTERS, k=count))


def _same_shape(rng: random.Random, value: str) -> str:
    """Another value of the same length, with a character of the same sort in every place."""
    return "".join(_like(rng, each, value) for each in value)


def _like(rng: random.Random, old: str, value: str) -> str:
    """A character that could stand in the place of this one."""
    hexadecimal = "0123456789abcdef"
    if len(value) >= 8 and set(value.lower()) <= set(hexadecimal):
        return rng.choice(hexadecimal.upper() if value.isupper() else hexadecimal)
    for sort in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
        if old in sort:
            return rng.choice(sort)
    return old


def _flipped(rng: random.Random, value: str) -> str:
    """The value with one character in its middle changed: at its ends an encoding may leave bits unused."""
    places = [at for at in range(len(value) // 3, max(len(value) // 3 + 1, 2 * len(value) // 3)) if value[at].isalnum()]
    if not places:
        raise NotCheckable("the value has nothing in its middle that could be changed")
    at = rng.choice(places)
    new = value[at]
    while new == value[at]:
        new = _like(rng, value[at], value)
    return value[:at] + new + value[at + 1 :]


MAKERS: dict[str, Callable[[random.Random, str], str]] = {
    "garbage": lambda rng, value: f"limpet-{_letters(rng, 17)}",
    "truncated": lambda rng, value: value[: len(value) // 2],
    "bit-flipped": _flipped,
    "empty": lambda rng, value: "",
    "oversize-4k": lambda rng, value: _letters(rng, 4096),
    "oversize-8k": lambda rng, value: _letters(rng, 8192),
    "oversize-64k": lambda rng, value: _letters(rng, 65536),
    "non-ascii": lambda rng, value: "schl\u00fcssel-\u20ac-\u96ea",
    "nul-encoded": lambda rng, value: f"{value[:4]}%00{_letters(rng, 8)}",
    "crlf-encoded": lambda rng, value: f"{value[:4]}%0d%0aSet-Cookie:%20{_letters(rng, 8)}",
    "never-existed": _same_shape,
}
"""How a bad value is made of somebody's good one."""

LIMITS = ("oversize-4k", "oversize-8k", "oversize-64k", "non-ascii")
"""What any server may refuse as a request, before it looks for cookies in it."""

TAMPERED = ("truncated", "bit-flipped", "empty", "nul-encoded", "crlf-encoded", "foreign", "never-existed")
"""What may lawfully mean something after all, unless values are promised to be opaque."""


def variants(contract: Contract) -> tuple[str, ...]:
    """The bad values that can be had under this contract."""
    ends = not unless_timed(contract) and not must(contract.duration.follows_application, True)
    ends &= not only_clients_keep_time(contract)  # then an old value is as good as any: see duration.kept-by
    return (*MAKERS, "foreign", *(("expired",) if ends else ()), "removed-backend")


@behaviour(
    "invalidation.bad-cookie",
    affinities=("lb-cookie", "app-cookie"),
    variants=variants,
    special={
        "foreign": Special(needs=("launch",)),
        "expired": Special(touches="clock", waits=True),
        "removed-backend": Special(needs=("remove",), touches="membership"),
    },
    error_rate=0.0,
    budget=100,
    sees=0.29,
)
def test_bad_cookie(s: Scenario) -> None:
    """A value that leads nowhere gets the documented reaction, never a 5xx or silence; a fresh pin afterwards holds."""
    if s.variant == "removed-backend":
        _removed(s)
    elif s.variant == "expired":
        _expired(s)
    else:
        _made_up(s)


def _made_up(s: Scenario) -> None:
    donors = [user for group in s.pinned_to_each(EACH).values() for user in group]
    if s.variant == "foreign":
        s.step("users of another deployment come with its cookies")
        with further_copy(s, s.system.loaded) as copy:
            values = [(_own(copy, user), "") for group in copy.pinned_to_each(EACH).values() for user in group]
    else:
        s.step(f"users come with values that are {s.variant}")
        known = {value for each in donors for _, value in _own(s, each)}
        values = [([(n, _make(s, v, known)) for n, v in _own(s, each)], each.backend) for each in donors]
    reactions = Reactions(s)
    for pairs, home in values:
        user = s.client()
        planted = s.variant not in LIMITS and _plant(user, pairs)
        header = None if planted else "; ".join(f"{name}={value}" for name, value in pairs)
        s.scramble()
        # Whether an oversize request succeeds is not for the oracle to say.
        exchange = user.visit(cookie=header, note=ODD if s.variant in LIMITS else "")
        reactions.add(user, exchange, pairs, home)
        refused = _judge(s, user, exchange, pairs, home)
        if refused and user.jar is not None:
            user.jar.clear()
        _goes_on(s, user, exchange, planted=planted and not refused)
        if planted and not refused and user.jar is not None and parse_cookie_headers(user.cookie_header()) == pairs:
            user.jar.clear()  # the bad value was ignored, and is still there
            _goes_on(s, user, exchange, planted=False)
    s.observe(reactions.said(f"values that are {s.variant}"))
    s.step("everybody else goes on")
    for donor in donors:
        donor.visit()


def _make(s: Scenario, value: str, known: set[str]) -> str:
    """A bad value; where values are as short as server ids, what is made of one may be another good one."""
    for _ in range(20):
        made = MAKERS[s.variant](s.rng, value)
        if made not in known:
            return made
    raise NotCheckable("the values are so short that whatever is made of one is another good one")


def _own(s: Scenario, user: Client) -> list[tuple[str, str]]:
    """The cookies that the balancer goes by, as this user sends them."""
    wanted = cookie_names(s.contract)
    if wanted is None:
        raise NotCheckable("the contract does not name the cookie")
    found = [(name, value) for name, value in parse_cookie_headers(user.cookie_header()) if wanted.fullmatch(name)]
    if not found:
        raise Inconclusive(f"{user.name} has no cookie that could be made bad")
    return found


def _plant(user: Client, pairs: list[tuple[str, str]]) -> bool:
    """Whether the user's jar took the cookies, so that it goes on sending them until it is given others."""
    if user.jar is None:
        return False
    user.jar.store(user.endpoint.base_url + "/", [f"{name}={value}; Path=/" for name, value in pairs])
    return parse_cookie_headers(user.cookie_header()) == pairs


def _words(s: Scenario) -> frozenset[str]:
    """The documented reactions; all of them where none is documented firmly."""
    stated = s.contract.reaction.bad_cookie
    if stated is None or not stated.binding:
        return frozenset({"replace", "ignore", "refuse", "accept"})
    words: set[str] = set(stated.allowed)
    if s.variant in ("expired", "empty"):
        words.add("replace")  # made once and over, or as good as none: a session like any new one
    return frozenset(words)


class Reactions:
    """What was done with values that lead nowhere, in words."""

    def __init__(self, s: Scenario) -> None:
        self._own = s.contract.cookie is not None
        self._seen: Counter[str] = Counter()

    def add(self, user: Client, exchange: Exchange, pairs: list[tuple[str, str]], home: str) -> None:
        """Counts one more answer; ``home`` is the backend that the value was made for, "" where there is none."""
        self._seen[self._reaction(user, exchange, {value for _, value in pairs}, home)] += 1

    def said(self, of: str) -> str:
        """One sentence for the report."""
        return f"{of}: " + ", ".join(f"{count} {what}" for what, count in sorted(self._seen.items()))

    def _reaction(self, user: Client, exchange: Exchange, bad: set[str], home: str) -> str:
        if exchange.error:
            return f"met an error ({exchange.error})"
        if exchange.status >= 400 and not exchange.backend:
            return f"refused with {exchange.status}"
        if self._own and any(value not in bad for value in user.issued(exchange)):
            return "replaced by a new cookie"
        same = "by the backend that the unharmed value means" if exchange.backend == home else "by another backend"
        answered = f"answered {same}" if home else "answered"
        return f"ignored, without a new cookie, and {answered}" if self._own else answered


def _judge(s: Scenario, user: Client, exchange: Exchange, pairs: list[tuple[str, str]], home: str) -> bool:
    """Judges the reaction to one bad value. Returns whether it was refused."""
    words, bad = _words(s), {value for _, value in pairs}
    what = f"{user.name}'s {s.variant} value"
    limited = s.variant in LIMITS
    if exchange.error in ("reset", "closed") and limited:
        s.decided += 1
        return True
    if exchange.error or exchange.status >= 500:
        s.broken(Kind.ERROR, f"{what} got {exchange.error or exchange.status}", exchange)
        return True
    if exchange.status >= 400 and not exchange.backend:
        right = "refuse" in words or limited
        s.expect(right, Kind.ERROR, f"{what} was refused with {exchange.status}, although {_spoken(words)}", exchange)
        return True
    replaced = any(value not in bad for value in user.issued(exchange))
    if s.contract.affinity == "app-cookie" and s.contract.cookie is None:
        s.decided += 1  # who is answered is served; the balancer has no cookie of its own to say more
        return False
    if replaced:
        kind = Kind.COOKIE_ACCEPTED if words == {"refuse"} else Kind.COOKIE_UNASKED
        right = bool(words & {"replace", "accept"})
        s.expect(right, kind, f"{what} was replaced by a new one, although {_spoken(words)}", exchange)
        return False
    lawful = s.variant in TAMPERED and not _opaque(s) and home in ("", exchange.backend)
    right = bool(words & {"ignore", "accept"}) or lawful
    kind = Kind.COOKIE_ACCEPTED if words == {"refuse"} else Kind.COOKIE_NOT_ISSUED
    s.expect(right, kind, f"{what} was answered without a new cookie, although {_spoken(words)}", exchange)
    return False


def _opaque(s: Scenario) -> bool:
    return s.contract.cookie is not None and must(s.contract.cookie.value, "opaque")


def _spoken(words: frozenset[str]) -> str:
    return f"the documentation says {' or '.join(sorted(words))}"


def _goes_on(s: Scenario, user: Client, first: Exchange, *, planted: bool) -> None:
    """The user's further visits. The oracle judges those that carry a cookie which the balancer gave out."""
    seen = {first.backend} - {""}
    s.scramble()  # once: one user's own visits, one after the other, are what no rotation can bring to one backend
    for _ in range(VISITS):
        exchange = user.visit()
        seen.add(exchange.backend)
        if exchange.error or exchange.status >= 500:
            s.broken(Kind.ERROR, f"{user.name} got {exchange.error or exchange.status} after a bad cookie", exchange)
            return
    learned = s.contract.affinity == "app-cookie" and s.contract.cookie is None and planted
    if learned and must(s.contract.reaction.bad_cookie, "replace") and s.variant != "empty":
        text = f"{user.name}'s value, unknown before, was to get a pin and met {', '.join(sorted(seen))}"
        s.expect(len(seen) == 1, Kind.NOT_REPINNED, text, user.last)


def _expired(s: Scenario) -> None:
    users = [user for group in s.pinned_to_each(EACH).values() for user in group]
    sent = [(user, user.cookie_header(), _own(s, user), user.backend) for user in users]
    s.step(f"{len(users)} users send their cookies once more after the end of the duration")
    let_pass(s, s.duration + 2 * s.resolution)
    reactions = Reactions(s)
    for user, header, pairs, home in sent:
        s.scramble()
        exchange = user.visit(cookie=header, new_connection=True)
        reactions.add(user, exchange, pairs, home)
        kept_by = s.contract.duration.kept_by
        unsaid = kept_by is None or kept_by.may("client")
        if unsaid and exchange.backend == home:
            s.decided += 1  # nobody said that the balancer ends it; no answer, or an error, would have been wrong
        else:
            _judge(s, user, exchange, pairs, home)
        _goes_on(s, user, exchange, planted=False)
    s.observe(reactions.said("values whose duration was over"))


def _removed(s: Scenario) -> None:
    victim = s.rng.choice(s.names)
    users = [s.pinned(victim) for _ in range(2 * EACH + 1)]
    s.step(f"{victim} is removed; its users still have cookies for it")
    s.system.remove(victim)
    elsewhere = renewed = 0
    for user in users:
        for _ in range(VISITS):
            s.scramble()
            exchange = user.visit(new_connection=True)
            refuses = s.contract.reaction.removed is not None and s.contract.reaction.removed.may("refuse")
            if exchange.error or (exchange.status >= 500 and not refuses):
                text = f"{user.name}, whose backend was removed, got {exchange.error or exchange.status}"
                s.broken(Kind.ERROR, text, exchange)
            elsewhere += exchange.backend not in ("", victim)
            renewed += bool(user.issued(exchange))
    s.observe(f"{elsewhere} of {VISITS * len(users)} requests with cookies for the removed backend were answered by "
              f"others, {renewed} of them with a new cookie")  # fmt: skip
