"""What the cookie's value tells, and how long it is understood."""

from __future__ import annotations

from limpet import Client, Contract, Inconclusive, Kind, Observed, Scenario, Special, behaviour, cookies_of
from limpet.harness.model.contract import Stated
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import BackendFacts, judge_leaks

USERS = 3
"""Of each backend. What must be beyond luck is the texts of all backends together, not the number of values."""
REISSUES = 3
ROTATIONS = 2
"""A ring that keeps one older key only shows at the second one."""


def _no_cookie(contract: Contract) -> str:
    return "" if contract.cookie is not None or contract.affinity == "lb-cookie" else "it sets no cookie"


@behaviour(
    "cookie.opaque",
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    unless=_no_cookie,
    certainty="the chance that random values show what these do is bounded for all of them together",
    error_rate=1e-6,
    budget=60,
)
def test_opaque(s: Scenario) -> None:
    """The values tell nothing about the backends: no name, address or port, plain or encoded."""
    s.step(f"{USERS} new users of each backend")
    samples: list[tuple[str, str]] = []
    sources: set[str] = set()
    for home, users in s.pinned_to_each(USERS).items():
        for user in users:
            again = user.visit()
            sources.add(user.source or "")
            samples += [(each.value, home) for each in cookies_of(again, s.contract) if again.backend == home]
            samples.append((user.key, home))
    samples = [sample for sample in samples if sample[0]]
    if not samples:
        raise Inconclusive("no cookie value was seen")
    facts = [BackendFacts(each.name, each.host, each.port) for each in s.system.target.members]
    known = {*sources, s.system.target.host, s.system.endpoint.authority} - {""}
    result = judge_leaks(samples, facts, known=known)
    values = len({value for value, _ in samples})
    seen = f"{result.text}; {values} different values in {len(samples)} answers"
    stated = s.contract.cookie.value if s.contract.cookie else None
    if not must(stated, "opaque"):
        raise Observed(seen)
    s.certain(seen)
    s.decided += values
    if result.leaks:
        s.broken(Kind.COOKIE_LEAKS, f"a value that should be opaque tells about its backend: {result.text}")


def _rotations(contract: Contract) -> tuple[str, ...]:
    return ("unlinkable", "rotation") if must(_unlinkable(contract), True) else ("unlinkable",)


def _unlinkable(contract: Contract) -> Stated[bool] | None:
    return contract.cookie.unlinkable if contract.cookie else None


@behaviour(
    "cookie.unlinkable-key-rotation",
    fields=("cookie.unlinkable",),
    layers=(7,),
    affinities=("lb-cookie",),
    variants=_rotations,
    special={"rotation": Special(needs=("rotate-keys",), touches="settings")},
    certainty="one repeated value is enough: two that are made at random are never the same",
    error_rate=1e-6,
    budget=110,
    sees=0.32,
)
def test_unlinkable_key_rotation(s: Scenario) -> None:
    """Each issue has a value of its own, and values under an older key stay valid after a new one is in use."""
    if s.variant == "unlinkable":
        _unlinkable_values(s)
    else:
        _rotation(s)


def _unlinkable_values(s: Scenario) -> None:
    s.step(f"{REISSUES} users of each backend come again {REISSUES} times")
    for home, users in s.pinned_to_each(REISSUES).items():
        values = [value for user in users for value in _issues_to(user, REISSUES)]
        if not must(_unlinkable(s.contract), True):
            raise Observed(f"{len(set(values))} different values in {len(values)} issues by {home}")
        twice = sorted({each for each in values if values.count(each) > 1})
        text = f"{len(values)} issues for {home} have {len(set(values))} values; more than once: {', '.join(twice[:2])}"
        s.expect(not twice, Kind.COOKIE_LINKABLE, text)


def _issues_to(user: Client, visits: int) -> list[str]:
    """The value that it was given at first, and those of so many further answers."""
    values = [user.key]
    for _ in range(visits):
        values += user.issued(user.visit())
    return [each for each in values if each]


def _rotation(s: Scenario) -> None:
    users = [s.pinned(name) for name in s.names]
    frozen = [s.pinned(name) for name in s.names]
    for user in frozen:
        user.freeze()
    before = {user.name: user.key for user in users}
    for _ in range(ROTATIONS):
        s.system.rotate_keys()
        s.step("a new key is in use: everybody comes again with values under the old one")
        for user in (*users, *frozen):
            s.scramble()
            user.visit(new_connection=True)
    changed = sum(user.key != before[user.name] for user in users)
    s.observe(f"{changed} of {len(users)} users were given a new value after the rotation")
    s.step("and new users get values under the new one")
    fresh = [s.pinned(name) for name in s.names]
    for user in (*fresh, *users):
        user.visit(new_connection=True)
