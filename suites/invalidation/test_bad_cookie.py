"""Cookie values that lead nowhere."""

from __future__ import annotations

import random
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
    largest_share,
    let_pass,
    only_clients_keep_time,
    revisit,
    unless_timed,
)
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import altered, parse_cookie_headers
from limpet.harness.model.cookies.altered import letters
from limpet.harness.model.oracle.exchanges import ODD, cookie_names
from limpet.harness.model.statistics import never_leaves, runs_needed

ALPHA = 1e-6
"""The largest probability that a balancer which places changed values anew is accused of keeping their pins."""

MOST = 45
"""Users at the most of whom each sends a changed value."""

EACH = 1
"""Users for each backend."""

VISITS = 3
"""Further visits of each user: with three users a balancer that gives no pin afterwards is missed with 1 in 20,000."""


def _flipped(rng: random.Random, value: str) -> str:
    found = altered.flipped(rng, value)
    if found is None:
        raise NotCheckable("the value has nothing in its middle that could be changed")
    return found


MAKERS: dict[str, Callable[[random.Random, str], str]] = {
    "garbage": lambda rng, value: f"limpet-{letters(rng, 17)}",
    "truncated": lambda rng, value: value[: len(value) // 2],
    "bit-flipped": _flipped,
    "empty": lambda rng, value: "",
    "oversize-4k": lambda rng, value: letters(rng, 4096),
    "oversize-8k": lambda rng, value: letters(rng, 8192),
    "oversize-64k": lambda rng, value: letters(rng, 65536),
    "non-ascii": lambda rng, value: "schl\u00fcssel-\u20ac-\u96ea",
    "nul-encoded": lambda rng, value: f"{value[:4]}%00{letters(rng, 8)}",
    "crlf-encoded": lambda rng, value: f"{value[:4]}%0d%0aSet-Cookie:%20{letters(rng, 8)}",
    "never-existed": altered.same_shape,
    "url-encoded": lambda rng, value: altered.encoded(value),
}
"""How a bad value is made of somebody's good one."""

LIMITS = ("oversize-4k", "oversize-8k", "oversize-64k", "non-ascii")
"""What any server may refuse as a request, before it looks for cookies in it."""

TAMPERED = (
    "truncated",
    "bit-flipped",
    "empty",
    "nul-encoded",
    "crlf-encoded",
    "foreign",
    "never-existed",
    "url-encoded",
)
"""What may lawfully mean something after all, unless values are promised to be opaque."""


CHANGED = ("truncated", "bit-flipped", "url-encoded")
"""Made of a live value so that it is nearly that: what a careless balancer takes for it."""


def variants(contract: Contract) -> tuple[str, ...]:
    """The bad values that can be had under this contract."""
    ends = not unless_timed(contract) and not must(contract.duration.follows_application, True)
    ends &= not only_clients_keep_time(contract)  # then an old value is as good as any: see duration.kept-by
    made = [each for each in MAKERS if each != "url-encoded" or contract.reaction.url_encoded is not None]
    return (*made, "foreign", *(("expired",) if ends else ()), "removed-backend")


@behaviour(
    "invalidation.bad-cookie",
    affinities=("lb-cookie", "app-cookie"),
    variants=variants,
    special={
        "foreign": Special(needs=("launch",)),
        "expired": Special(touches="clock", waits=True),
        "removed-backend": Special(needs=("remove",), touches="membership"),
    },
    error_rate=ALPHA,
    budget=160,
    sees=0.999,
    certainty="That changed values keep their pins is judged by all of them together",
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
    each = max(EACH, _group(s))
    donors = s.pinned_to_each(each)
    first = [user for group in donors.values() for user in group[:EACH]]
    bad: dict[str, list[tuple[str, str]]] = {}
    groups: dict[str, list[Client]] = {}
    if s.variant == "foreign":
        s.step("users of another deployment come with its cookies")
        with further_copy(s, s.system.loaded) as copy:
            strangers = [_own(copy, user) for group in copy.pinned_to_each(EACH).values() for user in group]
        groups[""] = [s.client() for _ in strangers]
        bad = {user.name: pairs for user, pairs in zip(groups[""], strangers, strict=True)}
    else:
        s.step(f"users come with values that are {s.variant}")
        owned = {home: [_own(s, donor) for donor in group] for home, group in donors.items()}
        known = {value for group in owned.values() for pairs in group for _, value in pairs}
        for home, group in owned.items():
            groups[home] = [s.client() for _ in group]
            for user, pairs in zip(groups[home], group, strict=True):
                bad[user.name] = [(name, _make(s, value, known)) for name, value in pairs]
    reactions = Reactions(s)
    going_on: list[tuple[Client, Exchange, bool, list[tuple[str, str]]]] = []
    homes = {user.name: home for home, group in groups.items() for user in group}
    further = {user.name for group in groups.values() for user in group[: EACH if each > EACH else None]}

    def come(user: Client) -> Exchange:
        pairs, home, beside = bad[user.name], homes[user.name], _beside(s)
        planted = s.variant not in LIMITS and _plant(user, pairs, beside)
        header = None if planted else "; ".join(f"{name}={value}" for name, value in [*beside, *pairs])
        # Whether an oversize request succeeds is not for the oracle to say.
        exchange = user.visit(cookie=header, note=ODD if s.variant in LIMITS else "")
        reactions.add(user, exchange, pairs, home)
        refused = _judge(s, user, exchange, pairs, home)
        if refused and user.jar is not None:
            user.jar.clear()
        if user.name in further:
            going_on.append((user, exchange, planted and not refused, [*beside, *pairs]))
        return exchange

    found = revisit(s, groups, visit=come)
    for user, exchange, planted, sent in going_on:
        _goes_on(s, user, exchange, planted=planted)
        if planted and user.jar is not None and parse_cookie_headers(user.cookie_header()) == sent:
            user.jar.clear()  # the bad value was ignored, and is still there
            _goes_on(s, user, exchange, planted=False)
    s.observe(reactions.said(f"values that are {s.variant}"))
    if each > EACH:
        _placed_anew(s, sum(found.stayed.values()), sum(found.answered.values()), found.example)
    s.step("everybody else goes on")
    for donor in first:
        donor.visit()


def _group(s: Scenario) -> int:
    """Users for each backend so that changed values which keep their pins cannot be luck; 0 where they may, or must.

    Not where all of them are to be refused, which each value shows for itself; nor where the algorithm goes home.
    """
    share, reaction, placed = largest_share(s), s.contract.reaction, s.contract.algorithm
    stated = reaction.url_encoded if s.variant == "url-encoded" else reaction.altered
    named = reaction.bad_cookie
    # What tells nobody anything cannot be guessed either: changed, it leads nowhere, as its documentation says of such.
    binding = named is not None and named.binding and "accept" not in named.allowed and _opaque(s)
    void = must(stated, "rebalance") or (stated is None and s.variant != "url-encoded" and binding)
    after = s.contract.duration.after
    goes_home = (placed is not None and "hash" in placed.allowed) or (after is not None and after.sole == "may-return")
    if s.variant not in CHANGED or not void or goes_home or share >= 1 or _words(s) == {"refuse"}:
        return 0
    users = -(-(runs_needed(share, ALPHA) + 2) // s.n)
    if users * s.n > MOST:
        raise Inconclusive(f"one backend gets {share:.0%} of the new sessions: {MOST} users could meet it by luck")
    return users


def _placed_anew(s: Scenario, stayed: int, answered: int, example: dict[str, Exchange]) -> None:
    """Judges all changed values together: too many that met the backend of the unharmed ones still pin."""
    result = never_leaves(stayed, answered, largest_share(s), ALPHA)
    if result.rejected:
        text = f"values that are {s.variant} still lead to the backend that the unharmed ones mean: {result.text}"
        s.broken(Kind.COOKIE_ACCEPTED, text, next(iter(example.values())))
        return
    s.certain(result.text)
    if result.able:
        s.decide_together(answered, result.visible)
    elif "refuse" not in _words(s):
        raise Inconclusive(f"only {answered} of the changed values were answered, too few to exclude luck")


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
    carried = parse_cookie_headers(s.keyed(user).cookie_header())
    found = [(name, value) for name, value in carried if wanted.fullmatch(name)]
    if not found:
        raise Inconclusive(f"{user.name} has no cookie that could be made bad")
    return found


def _beside(s: Scenario) -> list[tuple[str, str]]:
    """The application's cookie, without which the balancer's own counts for nothing where it goes by both."""
    application = s.contract.application
    both = s.contract.affinity == "app-cookie" and s.contract.cookie is not None
    return [(application.name, letters(s.rng, 32))] if both and application is not None and application.name else []


def _plant(user: Client, pairs: list[tuple[str, str]], beside: list[tuple[str, str]]) -> bool:
    """Whether the user's jar took the cookies, so that it goes on sending them until it is given others."""
    if user.jar is None:
        return False
    wanted = [*beside, *pairs]
    user.jar.store(user.endpoint.base_url + "/", [f"{name}={value}; Path=/" for name, value in wanted])
    return parse_cookie_headers(user.cookie_header()) == wanted


def _words(s: Scenario) -> frozenset[str]:
    """The documented reactions; all of them where none is documented firmly."""
    stated = s.contract.reaction.bad_cookie
    if stated is None or not stated.binding:
        return frozenset({"replace", "ignore", "refuse", "accept"})
    words: set[str] = set(stated.allowed)
    if s.variant in ("expired", "empty"):
        words.add("replace")  # made once and over, or as good as none: a session like any new one
    if s.variant == "expired" and not s.cited:
        words.add("ignore")  # who keeps a table may bind the value anew that its user has
    if s.variant == "foreign" and not s.cited:
        words |= {"ignore", "accept"}  # a copy of the deployment may share its key material
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
    sent = [(s.keyed(user), user.cookie_header(), _own(s, user), user.backend) for user in users]
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
            elif not refuses:
                s.decided += 1  # an error or silence would have been wrong
            elsewhere += exchange.backend not in ("", victim)
            renewed += bool(user.issued(exchange))
    s.observe(f"{elsewhere} of {VISITS * len(users)} requests with cookies for the removed backend were answered by "
              f"others, {renewed} of them with a new cookie")  # fmt: skip
