"""The key is in a header of the request: made up by the client, or handed out by a backend."""

from __future__ import annotations

from limpet import Client, Contract, Kind, Observed, Scenario, behaviour, rebalanced, small_group
from limpet.harness.model.contract.stated import must

VISITS = 6
"""Requests of each user besides the first; no luck of limpet's is needed where the oracle judges each of them."""
MINTED = 3
"""Users of each backend: a balancer that learns an id from its first use, not from the response that hands it out, is
right by luck for one user in three."""
ALPHA = 1e-6


def _variants(contract: Contract) -> list[str]:
    return ["any-case", "absent", *(["invented"] if contract.reaction.bad_cookie is not None else [])]


@behaviour(
    "protocol.header",
    only_cited=True,
    layers=(7,),
    affinities=("header",),
    variants=_variants,
    error_rate=1e-6,
    budget=180,
    sees=0.98,
)
def test_header(s: Scenario) -> None:
    """The header is found whatever the case of its name; without it nobody is pinned; invented ones are as said."""
    {"any-case": _any_case, "absent": _absent, "invented": _invented}[s.variant](s)


def _name(s: Scenario) -> str:
    assert s.contract.header is not None, "the contract of this affinity has it"
    return s.contract.header.name


def _any_case(s: Scenario) -> None:
    """Names of headers are the same in any case (RFC 9110, 5.1); the oracle reads them so, and judges."""
    path = s.system.loaded.target.request.path
    name = _name(s)
    spelled = (name.lower(), name.upper(), name.swapcase(), name.title())
    for home in s.names:
        user = s.pinned(home)
        s.step(f"{user.name} is pinned to {home} and spells the header {', '.join(dict.fromkeys(spelled))}")
        for each in spelled:
            s.scramble()
            user.request("GET", path, headers=((each, user.key),), key="", new_connection=True)


def _absent(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    for group in users.values():
        for user in group:
            user.visit()
    s.step("every user leaves the header out; the connections are still open, and knew it")
    what = "the header was not sent any more"
    rebalanced(s, users, Kind.STICKY_UNASKED, what, visit=lambda user: user.visit(key=""))


def _invented(s: Scenario) -> None:
    """A value that no backend handed out: from its first use on it is a key, or it never is one."""
    users = [s.client() for _ in range(s.n)]
    s.step(f"{len(users)} users send values that nobody handed out")
    said = s.contract.reaction.bad_cookie
    pins = must(said, "accept") or must(said, "replace")
    met = []
    for number, user in enumerate(users):
        key = f"limpet-{s.rng.getrandbits(64):016x}-{number}"
        seen = set()
        for _ in range(VISITS):
            s.scramble()
            seen.add(user.visit(key=key, new_connection=True).backend)
        seen.discard("")
        met.append(len(seen))
        if pins and seen:
            text = f"{user.name}'s value, a key from its first use on, met {', '.join(sorted(seen))}"
            s.expect(len(seen) == 1, Kind.NOT_REPINNED, text, user.last)
    observed = f"{VISITS} requests with one invented value met {', '.join(map(str, met))} backends"
    if not pins:
        raise Observed(observed)
    s.observe(observed)


@behaviour(
    "protocol.header-minted-by-backend",
    only_cited=True,
    layers=(7,),
    affinities=("header",),
    fields=("header.minted",),
    unless=lambda contract: "" if contract.header and must(contract.header.minted, True) else "clients make the key up",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=120,
    sees=0.17,
)
def test_header_minted_by_backend(s: Scenario) -> None:
    """Requests with the session id that a backend handed out in a header of its response reach that backend."""
    users = [user for group in s.pinned_to_each(MINTED).values() for user in group]
    s.step(
        f"{len(users)} users got an id each, from {', '.join(s.names)}; they use it on other connections, in any order"
    )
    turns: list[Client] = [user for user in users for _ in range(-(-VISITS // MINTED))]
    s.rng.shuffle(turns)
    for user in turns:
        user.visit(new_connection=s.rng.random() < 0.5)
    if s.system.loaded.target.backends.owner == "limpet":  # which never hand out one id twice
        ids = len({user.key for user in users})
        text = f"{len(users)} users got {ids} different ids: an answer reached somebody else"
        s.expect(ids == len(users), Kind.KEY_NOT_ISSUED, text)
