"""Connections and flows below layer 7: what is pinned, by which part of the 5-tuple, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from limpet import (
    Client,
    Contract,
    Exchange,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    SetupFault,
    age,
    behaviour,
    let_pass,
    rebalanced,
    require_wait,
    small_group,
    unless_timed,
)
from limpet.harness.model.contract.stated import must

LINES = 4
"""Connections or flows of one user."""
TURNS = 5
"""Requests on each of them."""
PORTS = 8
"""Ports that one user comes from."""
DRAWS = 20
"""Ports that may be taken already, before limpet gives up."""
ROUNDS = 4
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"


def _unless(protocol: Literal["tcp", "udp"]) -> Callable[[Contract], str]:
    """Why a contract is not about this protocol."""

    def why(contract: Contract) -> str:
        other = contract.protocol
        return "" if other == protocol else f"is about {protocol.upper()}; this profile speaks {other.upper()}"

    return why


def _lines(s: Scenario) -> list[Client]:
    """For a user of each backend several connections or flows, as they are opened by and by."""
    return [line for name in s.names for user in [s.pinned(name)] for line in _of(user)]


def _of(user: Client) -> list[Client]:
    return [user, *(user.another() for _ in range(LINES - 1))]


def _in_turn(s: Scenario, lines: list[Client]) -> None:
    """Everybody's lines at once, one request on each in a random order, again and again; they stay where they are."""
    first: dict[int, Exchange] = {}
    for _ in range(TURNS):
        order = list(enumerate(lines))
        s.rng.shuffle(order)
        for number, line in order:
            found = line.visit()
            before = first.setdefault(number, found)
            if found.error or before.error or found.connection != before.connection:
                continue  # a failure is the oracle's to judge
            text = (
                f"{line.name}'s {s.contract.protocol.upper()} flow from port {found.sent.port} was at {before.backend}"
            )
            right = (found.backend, found.instance) == (before.backend, before.instance)
            s.expect(right, Kind.MOVED, f"{text} and went on at {found.backend}", found)
    for line in lines:
        line.close()


@behaviour(
    "network.tcp",
    layers=(4,),
    unless=_unless("tcp"),
    keyed=None,
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=180,
    sees=0.07,
)
def test_tcp(s: Scenario) -> None:
    """Several open connections of one user each go where its key says, and stay there for their whole life."""
    lines = [line for _ in s.names for line in _of(s.client())] if s.contract.affinity == "none" else _lines(s)
    s.step(f"{len(s.names)} users have {LINES} connections each; all of them take turns, {TURNS} times")
    _in_turn(s, lines)


@behaviour(
    "network.udp",
    layers=(4,),
    unless=_unless("udp"),
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=180,
    sees=0.07,
)
def test_udp(s: Scenario) -> None:
    """Several flows of one user each go where its key says, are answered, and stay there."""
    lines = _lines(s)
    s.step(f"{len(s.names)} users have {LINES} flows each; all of them take turns, {TURNS} times")
    _in_turn(s, lines)


# The port.


@behaviour(
    "network.source-port",
    layers=(4,),
    affinities=("source-ip", "flow"),
    certainty="where the address alone is the key, one violation is enough; else a group tells",
    error_rate=1e-6,
    budget=200,
)
def test_source_port(s: Scenario) -> None:
    """From whatever port a user comes, the backend is the same where the address alone is the key; where the port is
    part of it, every port is placed for itself (judged over a group)."""
    if s.contract.affinity == "flow":
        _each_port_for_itself(s)
        return
    users = [s.pinned(name) for name in s.names]
    s.step(f"users of {', '.join(s.names)} come from {PORTS} ports each, all of them from the same ones")
    for _ in range(PORTS):
        port = s.rng.randrange(1024, 65536)
        s.rng.shuffle(users)
        for user in users:
            _from(s, user, port)


def _from(s: Scenario, user: Client, port: int) -> Exchange:
    """A request of this user from that port, or another one where it is taken.

    Raises:
        NotCheckable: no port at all can be had.
    """
    for _ in range(DRAWS):
        hand = user.another(port=port)
        try:
            return hand.visit()
        except SetupFault:
            port = s.rng.randrange(1024, 65536)
        finally:
            hand.close()
    raise NotCheckable(f"no port of {user.source} is free")


def _each_port_for_itself(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    s.step("every user comes from another port of the same address")

    def elsewhere(user: Client) -> Exchange:
        hand = user.another()
        try:
            return hand.visit()
        finally:
            hand.close()

    rebalanced(s, users, Kind.KEY_IGNORED, "the port, which is part of the key, was another one", visit=elsewhere)


# The end of a flow.


def _idle_variants(contract: Contract) -> list[str]:
    return ["restarts", "over"] if contract.affinity == "flow" else ["pin-stays"]


def _unless_idle(contract: Contract) -> str:
    why = _unless("udp")(contract)
    if why:
        return why
    if contract.affinity == "flow":
        if not must(contract.duration.clock, "idle"):
            return "the documentation does not state that a flow ends when it is idle"
        return unless_timed(contract)
    return "" if contract.udp_idle is not None else "the documentation does not state udp_idle"


@behaviour(
    "network.udp-idle",
    layers=(4,),
    affinities=("source-ip", "flow"),
    unless=_unless_idle,
    variants=_idle_variants,
    touches="clock",
    waits=True,
    certainty="what goes on is judged request by request, what is over by a group",
    error_rate=1e-6,
    budget=200,
)
def test_udp_idle(s: Scenario) -> None:
    """A flow goes on as long as its pauses are shorter than the idle timeout, and is a new one after a longer pause;
    a pin by address does not care."""
    {"restarts": _restarts, "over": _over, "pin-stays": _pin_stays}[s.variant](s)


def _restarts(s: Scenario) -> None:
    pause = 0.7 * (s.duration - s.resolution)
    if pause <= 0:
        raise NotCheckable(f"a clock as coarse as {s.resolution:g} s says nothing about {s.duration:g} s")
    require_wait(s, ROUNDS * pause)
    people = [user for name in s.names for user in (s.pinned(name), s.pinned(name))]
    s.step(f"{len(people)} flows have a datagram every {pause:g} s, {ROUNDS} times")
    for _ in range(ROUNDS):
        let_pass(s, pause - min(age(s, user.last) for user in people if user.last))
        s.rng.shuffle(people)
        for user in people:
            user.visit()


def _over(s: Scenario) -> None:
    require_wait(s, s.duration + 2 * s.resolution)
    users = s.pinned_to_each(small_group(s))
    s.step("nobody sends anything for longer than the idle timeout")
    let_pass(s, s.duration + 2 * s.resolution)
    if must(s.contract.duration.after, "rebalance"):
        rebalanced(s, users, Kind.NEVER_EXPIRED, "the flow was idle for too long", visit=lambda user: user.visit())
        return
    people = [user for group in users.values() for user in group]
    homes = {user.name: user.backend for user in people}
    s.rng.shuffle(people)
    same = sum(user.visit().backend == homes[user.name] for user in people)
    raise Observed(f"after the idle timeout {same} of {len(people)} flows went on at their backend")


def _pin_stays(s: Scenario) -> None:
    idle = s.contract.udp_idle
    assert idle is not None, "the behaviour asks for it"
    pause = max(idle.allowed) + 2 * s.resolution
    clock = s.contract.duration.clock
    timed = clock is None or not clock.may("none")
    if timed and pause * ROUNDS >= s.duration:
        raise NotCheckable(f"pins of {s.duration:g} s do not outlast {ROUNDS} idle flows of {max(idle.allowed):g} s")
    require_wait(s, ROUNDS * pause)
    users = [s.pinned(name) for name in s.names]
    for _ in range(ROUNDS):
        s.step(f"no flow has a datagram for {pause:g} s; then each user comes from its old port, and from others")
        let_pass(s, pause)
        hands = [hand for user in users for hand in (user, user.another())]
        s.rng.shuffle(hands)
        for hand in hands:
            s.scramble()
            hand.visit()
