"""The failed backend comes back: once, again and again, or after everybody was gone."""

from __future__ import annotations

import itertools

from limpet import Client, Exchange, Inconclusive, Kind, Observed, Scenario, behaviour, draws_to_meet
from limpet.harness.model.contract.stated import may, must


@behaviour(
    "failover.recovery",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    certainty="As many new sessions as luck needs to reach it but for 1e-6, by its share of the weights",
    error_rate=1e-6,
    budget=140,
    sees=0.24,
)
def test_recovery(s: Scenario) -> None:
    """The old backend returns: its former users stay where they are or go home, as promised; new sessions use it."""
    dead = s.rng.choice(s.names)
    users = [s.pinned(dead) for _ in range(4)]
    users[-1].freeze()
    first = {user.name: user.last for user in users}
    s.system.kill(dead)
    for user in users:
        user.visit(new_connection=True)
        user.visit(new_connection=True)
    s.system.revive(dead)
    s.step("everybody goes on")
    back = 0
    for _ in range(4):
        for user in users:
            with s.luck():
                answer = user.visit(new_connection=True)
            back += answer.backend == dead
            comes_home(s, first[user.name], answer, dead)
    reached = new_session_reaches(s, dead)
    recovered = s.contract.reaction.recovered
    if recovered is None or not recovered.binding:
        new = "reach" if reached else "do not reach"
        raise Observed(f"{back} of {4 * len(users)} requests of its former users went back; new sessions {new} it")


def comes_home(s: Scenario, first: Exchange | None, answer: Exchange, home: str) -> None:
    """Decides that a user whose session cannot be over yet is at home again, where that is promised.

    The oracle cannot follow a session from one cookie to the next one; here it is known that only the failure was
    between them.
    """
    said = s.contract.reaction
    moves = (
        said.unhealthy is not None and said.unhealthy.binding and set(said.unhealthy.allowed) <= {"repin", "reroute"}
    )
    if not (moves and must(said.recovered, "return") and answer.backend and first is not None):
        return
    timed = s.contract.duration.clock is None or not may(s.contract.duration.clock, "none")
    if timed and answer.received.t - first.sent.t >= s.duration - s.resolution:
        return
    text = f"{answer.sent.client} did not go home to {home}, which had recovered"
    s.expect(answer.backend == home, Kind.NOT_RETURNED, text, answer)


def new_session_reaches(s: Scenario, name: str) -> bool:
    """Whether a new session gets there; a violation where none does."""
    s.step(f"new sessions until one reaches {name}")
    last: Exchange | None = None
    answered = 0
    fresh = draws_to_meet(s, name)
    for _ in range(fresh):
        newcomer = s.client()
        with s.luck():
            last = newcomer.visit()
        newcomer.close()
        answered += bool(last.backend)
        if last.backend == name:
            s.decided += 1
            return True
    if answered < fresh:
        raise Inconclusive(f"only {answered} of {fresh} new sessions were answered")
    algorithm = s.contract.algorithm
    # A hash may give a backend any share, however small.
    if algorithm is not None and algorithm.binding and "hash" not in algorithm.allowed:
        s.broken(Kind.STARVED, f"none of {fresh} new sessions reached {name}, which had recovered", last)
    return False


@behaviour(
    "failover.flapping",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    error_rate=0.0,
    budget=230,
    sees=0.09,
)
def test_flapping(s: Scenario) -> None:
    """Backends that fail and come back again and again move each user at most once for each change."""
    flapping = s.rng.choice(s.names)
    users = [s.pinned(flapping) for _ in range(2)] + [s.pinned(name) for name in s.names if name != flapping]
    seen: dict[str, list[str]] = {user.name: [user.backend] for user in users}
    readable = s.system.target.target.control.noticed_up is not None
    rounds = 3 if readable else 2  # where nobody can ask the balancer, each round costs its whole time to notice
    for number in range(rounds):
        # The second time it is whoever took the user in, so that a failover follows upon a failover.
        failing = users[0].backend if number == 1 and users[0].backend else flapping
        s.system.kill(failing)
        go_on(s, users, seen, s.n - 1)
        s.system.revive(failing)
        go_on(s, users, seen, s.n)
    s.step("everybody goes on")
    go_on(s, users, seen, s.n)
    most = max(moves(answers) for answers in seen.values())
    text = f"no user moved more than {most} times in {rounds} failures"
    if must(s.contract.reaction.unhealthy, "repin"):
        s.observe(text)
    else:
        raise Observed(text)


def go_on(s: Scenario, users: list[Client], seen: dict[str, list[str]], among: int) -> None:
    """Two requests of everybody, strangers between them."""
    for _ in range(2):
        for user in users:
            s.scramble(among)
            seen[user.name].append(user.visit(new_connection=True).backend)


def moves(seen: list[str]) -> int:
    """How often the answering backend changed."""
    return sum(one != other for one, other in itertools.pairwise([name for name in seen if name]))


@behaviour(
    "failover.all-down",
    keyed=None,
    needs=("kill",),
    touches="backends",
    certainty="No answer within the client's 10 s is a hang",
    error_rate=0.0,
    budget=80,
    sees=0.32,
)
def test_all_down(s: Scenario) -> None:
    """No backend left: a clear error and no hang; when they are back, everybody is served and pinned again."""
    users = [s.pinned(name) for name in s.names]
    s.system.kill(*s.names)
    s.step("everybody, and a stranger, on new connections and kept ones")
    answers = [user.visit(new_connection=True) for user in (*users, s.client())]
    answers += [user.visit() for user in users]
    slowest = max(each.received.t - each.sent.t for each in answers)
    kinds = sorted({each.error or str(each.status) for each in answers})
    said = f"with every backend dead: {', '.join(kinds)}, after {slowest:.2f} s at the most"
    clear = s.contract.layer == 7 and must(s.contract.reaction.all_down, "5xx")
    if clear:
        for each in answers:
            what = each.error or f"status {each.status}"
            s.expect(clear_error(each), Kind.ERROR, f"with every backend dead {each.sent.client} got {what}, "
                     "not a clear 5xx", each)  # fmt: skip
    s.system.revive(*s.names)
    s.step("all backends are back")
    for _ in range(4):
        for user in users:
            with s.luck():
                user.visit(new_connection=True)
    if clear:
        s.observe(said)
        s.decided += 1
    elif may(s.contract.reaction.all_down, "5xx"):
        raise Observed(said)


def clear_error(exchange: Exchange) -> bool:
    """A 5xx of the balancer's own; a kept connection that was closed in the same moment says nothing."""
    raced = exchange.error in ("closed", "reset") and "of a kept connection" in exchange.received.detail
    return raced or (not exchange.error and 500 <= exchange.status < 600 and not exchange.backend)
