"""The key is a session id in the URL: a path parameter such as ``;jsessionid=``, or a parameter of the query."""

from __future__ import annotations

from collections.abc import Callable

from limpet import (
    Client,
    Contract,
    Exchange,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    behaviour,
    rebalanced,
    require_others,
    small_group,
)
from limpet.harness.model.contract.keys import UrlKey
from limpet.harness.model.contract.stated import must
from limpet.harness.model.oracle.exchanges import ODD
from limpet.harness.model.statistics import never_leaves

VISITS = 6
STRANGERS = 18
"""Requests with an empty id: all at one backend by luck is out of the question (3 of them: 2e-8)."""
ALPHA = 1e-6


def _variants(contract: Contract) -> list[str]:
    key = contract.url
    if key is None:
        return []
    found = ["path-parameter"] if key.path_parameter else []
    found += ["query"] if key.query else []
    found += ["either-place"] if key.path_parameter and key.query else []
    found += ["inner-segment"] if key.path_parameter and must(key.segments, "any") else []
    found += ["escaped"] if must(key.escapes, "undone") else []
    return [*found, "absent", "other-name", "empty", "invented"]


@behaviour(
    "protocol.url",
    only_cited=True,
    layers=(7,),
    affinities=("url",),
    variants=_variants,
    error_rate=1e-6,
    budget=180,
    sees=0.98,
)
def test_url(s: Scenario) -> None:
    """The session id in the URL pins, wherever the documentation lets it stand; without one, requests are balanced."""
    key = s.contract.url
    assert key is not None, "the contract of this affinity has it"
    if s.variant == "absent":
        _not_pinned(s, "no id was in the URL any more", lambda user: user.visit(key=""))
    elif s.variant == "other-name":
        if not _named(s):
            raise NotCheckable("no sentence says that names are compared whole; some products search the text")
        _not_pinned(s, "the id stood under another name", lambda user: _at(s, user, _misnamed(key, user)))
    elif s.variant == "empty":
        _empty(s, key)
    elif s.variant == "invented":
        _invented(s)
    else:
        _pinned(s, key)


def _at(s: Scenario, user: Client, behind: str, *, before: str = "", note: str = "") -> Exchange:
    """A request with the id just where the test wants it."""
    path = s.system.loaded.target.request.path
    start, _, query = path.partition("?")
    end, _, more = behind.partition("?")
    parameters = "&".join(each for each in (query, more) if each)
    target = f"{before}{start}{end}{'?' if parameters else ''}{parameters}"
    return user.request("GET", target, key="", note=note)


def _pinned(s: Scenario, key: UrlKey) -> None:
    for home in s.names:
        user = s.pinned(home)
        s.step(f"{user.name} is pinned to {home}; the id now stands elsewhere in the URL")
        for number in range(VISITS):
            s.scramble()
            # What else may stand beside the id is only judged where a sentence is about it.
            before, behind = _spelled(s.variant, key, user.key, number, alone=not _named(s))
            _at(s, user, behind, before=before, note=ODD)  # whether such a path is served at all is no matter here


def _spelled(variant: str, key: UrlKey, id: str, number: int, *, alone: bool) -> tuple[str, str]:
    """What stands before and behind the path; ``number`` chooses among neighbours of the id, if it is not ``alone``."""
    place, query = key.path_parameter, key.query
    if variant == "either-place":
        variant = "path-parameter" if number % 2 else "query"
    if variant == "escaped":
        at = 1 + number % max(1, len(id) - 1)
        id = f"{id[:at]}%{ord(id[at]):02{'x' if number % 2 else 'X'}}{id[at + 1 :]}" if len(id) > 1 else id
        variant = "path-parameter" if place and (number % 2 or not query) else "query"
    if variant == "inner-segment":
        return f"/shop;{place}={id}", ("" if number % 2 else "?x=1")
    which = 0 if alone else number % 4
    if variant == "path-parameter":
        return "", (f";{place}={id}", f";v=1;{place}={id}", f";{place}={id};v=1", f";{place}={id}?x=1&y")[which]
    return "", (f"?{query}={id}", f"?x=1&{query}={id}", f"?{query}={id}&x=1", f"?x&{query}={id}&y=/;z=1")[which]


def _misnamed(key: UrlKey, user: Client) -> str:
    """A parameter whose name only ends like the right one, in the first place that the contract knows."""
    return f";x{key.path_parameter}={user.key}" if key.path_parameter else f"?x{key.query}={user.key}"


def _not_pinned(s: Scenario, what: str, visit: Callable[[Client], Exchange]) -> None:
    users = s.pinned_to_each(small_group(s))
    for group in users.values():
        for user in group:
            user.visit()
    s.step(f"{what}; every user comes once more, on the connection from before where it is still open")
    rebalanced(s, users, Kind.STICKY_UNASKED, what, visit=visit)


def _empty(s: Scenario, key: UrlKey) -> None:
    """An empty id is nobody's: else everybody who sends one would share one backend."""
    forms = [f";{key.path_parameter}=", f";{key.path_parameter}"] if key.path_parameter else []
    forms += [f"?{key.query}=", f"?{key.query}"] if key.query else []
    form = forms[0]
    s.step(f"{STRANGERS} users send {form}")
    seen: list[Exchange] = []
    for _ in range(STRANGERS):
        user = s.client()
        with s.luck():
            exchange = _at(s, user, form, note=ODD)
        if exchange.backend:
            seen.append(exchange)
    weights = [member.weight for member in s.system.target.members]
    again = sum(each.backend == seen[0].backend for each in seen[1:])
    result = never_leaves(again, max(0, len(seen) - 1), max(weights) / sum(weights), ALPHA)
    if not _named(s):
        raise Observed(f"{again + 1} of {len(seen)} requests with an empty id met one backend")
    s.certain(result.text)
    if result.rejected:
        require_others(s, seen[0].backend, STRANGERS)
        s.broken(Kind.STICKY_UNASKED, f"an empty id led to {seen[0].backend} again and again: {result.text}", seen[-1])
    elif not result.able:
        raise Inconclusive(f"only {len(seen)} requests were answered, too few to exclude luck")
    else:
        s.decide_together(len(seen), result.visible)


def _named(s: Scenario) -> bool:
    """Whether a sentence of the documentation is about this very variant."""
    loaded = s.system.loaded
    name = f"protocol.url[{s.variant}]"
    return any(name in each.behaviours for each in loaded.catalogue.requirements(loaded.profile_name, name))


def _invented(s: Scenario) -> None:
    """An id that nobody handed out: pinned from its first use on, or left alone."""
    said = s.contract.reaction.bad_cookie
    pins = must(said, "accept") or must(said, "replace")
    ids = [f"limpet{s.rng.getrandbits(64):016x}" for _ in range(s.n if pins else 1)]
    s.step(f"{len(ids)} ids are sent again and again that nobody handed out")
    for id in ids:
        user = s.client()
        seen: list[Exchange] = []
        for _ in range(VISITS if pins else STRANGERS):
            with s.luck():
                exchange = user.visit(key=id, new_connection=True)
            if exchange.backend:
                seen.append(exchange)
        met = sorted({each.backend for each in seen})
        if pins and seen:
            text = f"an invented id, a key from its first use on, met {', '.join(met)}"
            s.expect(len(met) == 1, Kind.NOT_REPINNED, text, seen[-1])
        elif not must(said, "ignore"):
            s.observe(f"{len(seen)} requests with one invented id met {', '.join(met)}")
        elif seen:
            weights = [member.weight for member in s.system.target.members]
            again = sum(each.backend == seen[0].backend for each in seen[1:])
            result = never_leaves(again, len(seen) - 1, max(weights) / sum(weights), ALPHA)
            s.certain(result.text)
            if result.rejected:
                require_others(s, seen[0].backend, STRANGERS)
                s.broken(Kind.STICKY_UNASKED, f"an invented id was pinned: {result.text}", seen[-1])
            elif result.able:
                s.decide_together(len(seen), result.visible)
            else:
                raise Inconclusive(f"only {len(seen)} requests were answered, too few to exclude luck")
    if s.observations and not s.decided:
        raise Observed(s.observations.pop())
