"""The key is the id of a TLS session, which a backend hands out and the balancer reads on the way past."""

from __future__ import annotations

from collections import Counter

from limpet import Client, Exchange, Kind, Observed, Scenario, behaviour, rebalanced, small_group

EACH = 2
ROUNDS = 4
USERS = 6
AGAIN = 4


@behaviour(
    "protocol.tls-session-id",
    only_cited=True,
    layers=(4,),
    affinities=("tls-session-id",),
    variants=("resumed", "nothing-offered", "newer-tls"),
    error_rate=1e-6,
    budget=200,
    sees=0.98,
    certainty="of resumed sessions one that went elsewhere is enough",
)
def test_tls_session_id(s: Scenario) -> None:
    """Who offers a session (TLS 1.2, no tickets) meets the backend that knows it, from whatever address; nobody else.

    Whether a backend goes on with the session is its own affair and only told. TLS 1.3 has no such ids: what becomes of
    its clients is observed.
    """
    {"resumed": _resumed, "nothing-offered": _nothing_offered, "newer-tls": _newer}[s.variant](s)


def _resumed(s: Scenario) -> None:
    people = [user for group in s.pinned_to_each(EACH).values() for user in group]
    s.step(f"{len(people)} users come again {ROUNDS} times, half of them from other addresses, and offer their session")
    resumed: Counter[str] = Counter()
    for number in range(ROUNDS):
        s.rng.shuffle(people)
        for place, user in enumerate(people):
            s.scramble()
            moves = s.system.local and (place + number) % 2 == 0
            found = _from_elsewhere(s, user) if moves else user.visit(new_connection=True)
            resumed[found.header("Tls-Resumed") or "unknown"] += 1
    s.observe(f"{resumed['yes']} of {sum(resumed.values())} handshakes went on with the session that was offered")


def _from_elsewhere(s: Scenario, user: Client) -> Exchange:
    twin = user.another(source=s.sources.draw())
    try:
        return twin.visit()
    finally:
        twin.close()


def _nothing_offered(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    s.step("from every user's address somebody comes who offers no session")
    what = "no session was offered"
    rebalanced(s, users, Kind.STICKY_UNASKED, what, visit=lambda user: _stranger(s, user))


def _stranger(s: Scenario, user: Client) -> Exchange:
    stranger = s.client(cookies=False, keep=False, source=user.source)
    return stranger.visit()


def _newer(s: Scenario) -> None:
    stayed = answered = 0
    for _ in range(USERS):
        user = s.client().another(tls_version="TLSv1.3")
        homes = []
        for _ in range(AGAIN):
            s.scramble()
            homes.append(user.visit(new_connection=True).backend)
        user.close()
        met = [each for each in homes if each]
        answered += max(0, len(met) - 1)
        stayed += sum(each == met[0] for each in met[1:])
    raise Observed(f"with TLS 1.3 {stayed} of {answered} connections met their client's first backend")
