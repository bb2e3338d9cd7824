"""A backend leaves: at once, or by draining."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

from limpet import (
    Client,
    Contract,
    Exchange,
    Flight,
    Inconclusive,
    Kind,
    NotCheckable,
    Observed,
    Scenario,
    behaviour,
    draws_to_meet,
    together,
)
from limpet.harness.model.contract.stated import Stated, must
from limpet.harness.model.history import Control
from limpet.harness.model.oracle.exchanges import ODD

STAYS = 10
"""Requests of each user after its backend left, each after a fresh draw of limpet's luck among those that stay."""

BACK = 2
"""Requests of each of its former users after a removed backend was added again."""

FRESH = 36
"""New sessions: that none reaches one of three backends that is wrongly open has a probability of 5e-07."""

HOLD = 1.0
"""Seconds that a request is under way while its backend begins to drain."""


def stated(said: object) -> bool:
    """Whether the documentation says firmly what happens."""
    return isinstance(said, Stated) and said.binding


@behaviour(
    "membership.removed-repins",
    keyed=None,
    needs=("remove",),
    touches="membership",
    certainty=f"A balancer that places every later request anew among "
    f"two is missed with a probability of {2.0 ** (-2 * STAYS):.0e}",
    error_rate=0.0,
    budget=190,
    sees=0.09,
)
def test_removed_repins(s: Scenario) -> None:
    """A removed backend gets nothing any more; its users move once and stay, nobody else moves. Nor do they go back
    when it is added again, where whoever joins takes new sessions only.
    """
    gone = s.rng.choice(s.names)
    member = next(each for each in s.system.target.members if each.name == gone)
    lost = [s.pinned(gone) for _ in range(3)]
    stale = lost[-1]
    stale.freeze()
    others = [s.pinned(name) for name in s.names if name != gone for _ in range(3)]
    during: list[Exchange] = []

    def traffic() -> None:
        for user in (*lost, *others):
            during.append(user.visit(new_connection=True))

    together([lambda: s.system.remove(gone), traffic])
    s.step("everybody goes on, strangers between them")
    after: list[Exchange] = []
    for number in range(STAYS + 1):
        for user in lost[:-1]:
            with s.luck():
                after.append(user.visit(new_connection=number % 2 == 0))
        if number % 5 == 0:
            s.scramble()
            after += [user.visit(new_connection=True) for user in (stale, *others)]
    failed = sum(not each.ok for each in during)
    s.observe(f"{failed} of {len(during)} requests failed while the backend was being removed")
    if s.contract.affinity == "none":
        never(s, gone, after, Kind.SERVED_BY_REMOVED, "had been removed")
    elif s.system.target.can("add") and must(s.contract.reaction.added, "keep"):
        _taken_back(s, gone, partial(s.system.put_back, member), lost[:-1])
    if s.contract.affinity != "none" and not stated(s.contract.reaction.removed):
        there = sum(each.backend == gone for each in after)
        raise Observed(f"{there} of {len(after)} requests were still answered by the removed backend")


def _taken_back(s: Scenario, name: str, undo: Callable[[], None], users: list[Client]) -> None:
    """The removal is undone: its former users are at home elsewhere by now."""
    undo()
    s.step(f"{name} is a member again; those who had to leave it go on")
    for _ in range(BACK):
        for user in users:
            with s.luck():
                user.visit(new_connection=True)


def never(s: Scenario, name: str, answers: list[Exchange], kind: Kind, what: str) -> None:
    """Decides that none of these answers came from a backend that is closed to everybody."""
    for each in answers:
        s.expect(each.backend != name, kind, f"{each.sent.client} was answered by {name}, which {what}", each)


@behaviour(
    "membership.drain",
    keyed=None,
    needs=("drain",),
    touches="membership",
    certainty=f"A balancer that lets new sessions in is missed with a probability of {(2 / 3) ** FRESH:.0e}; so often "
    "does luck lead no new session back to a backend that drains no more",
    error_rate=1e-6,
    budget=220,
    sees=0.08,
)
def test_drain(s: Scenario) -> None:
    """A draining backend: no new sessions, pinned users stay or go as documented, what is under way finishes. When it
    drains no more, it gets new sessions again.
    """
    leaving = s.rng.choice(s.names)
    lost = [s.pinned(leaving) for _ in range(2)]
    others = [s.pinned(name) for name in s.names if name != leaving]
    with Flight(s, lambda: lost[0].another().hold(HOLD)) as flight:
        s.system.drain(leaving)
        early = flight.over
        held = flight.land()
    under_way(s, leaving, flight.backend, held, early=early or _outlasted(s, held))
    s.step("everybody goes on")
    for _ in range(5):
        for user in (*lost, *others):
            user.visit(new_connection=True)
    s.step(f"{FRESH} new sessions")
    fresh = [s.client(keep=False).visit() for _ in range(FRESH)]
    if s.contract.affinity == "none":
        never(s, leaving, fresh, Kind.SERVED_BY_DRAINING, "was draining")
    stayed = sum(user.backend == leaving for user in lost)
    s.system.drain(leaving, draining=False)
    reached = open_again(s, leaving)
    for user in (*lost, *others):
        user.visit(new_connection=True)
    if s.contract.affinity != "none" and not stated(s.contract.reaction.draining):
        new = sum(each.backend == leaving for each in fresh)
        text = f"{stayed} of {len(lost)} pinned users stayed, {new} of {FRESH} new sessions went there"
        raise Observed(f"{text}; when it drained no more, new sessions {'reached' if reached else 'did not reach'} it")


def _outlasted(s: Scenario, held: Exchange) -> bool:
    """Whether a slow machine made it last until the drain itself may have had an end."""
    window = s.contract.reaction.drain_window
    began = s.controls[-1].t
    return window is not None and held.received.t > began + min(window.allowed) - s.resolution


def open_again(s: Scenario, name: str) -> bool:
    """Whether a new session gets to a backend that drains no more; a violation where none does."""
    s.step(f"new sessions until one reaches {name}")
    last: Exchange | None = None
    answered = 0
    fresh = draws_to_meet(s, name)
    for _ in range(fresh):
        newcomer = s.client(keep=False)
        with s.luck():
            last = newcomer.visit()
        answered += bool(last.backend)
        if last.backend == name:
            s.decided += 1
            return True
    if answered < fresh:
        raise Inconclusive(f"only {answered} of {fresh} new sessions were answered")
    algorithm = s.contract.algorithm
    # A hash may give a backend any share, however small.
    hashed = algorithm is not None and "hash" in algorithm.allowed
    if stated(s.contract.reaction.draining) and stated(algorithm) and not hashed:
        s.broken(Kind.STARVED, f"none of {fresh} new sessions reached {name}, which drains no more", last)
    return False


def under_way(s: Scenario, leaving: str, backend: str, held: Exchange, *, early: bool) -> None:
    """Decides about the request that was under way when draining began; one that was over by then says nothing."""
    if backend != leaving:
        return
    if early:
        s.observe("the request under way was over before draining had begun, or when it had ended")
        return
    what = held.error or f"status {held.status} from {held.backend or 'the balancer'}"
    text = f"a request that was under way when {leaving} began to drain was not finished: {what}"
    s.expect(held.ok and held.backend == leaving, Kind.ERROR, text, held)


EVENT = 0.2
"""Seconds between two events of a stream that is under way while its backend drains."""
SHORT = 5
"""Events of the stream that ends within the window: a second's worth."""
BEYOND = 5.0
"""Seconds for which the other one would go on after the window's end."""


def _window(contract: Contract) -> str:
    window = contract.reaction.drain_window
    if window is None or window.sole is None:
        return "nobody says how long a drain may take"
    return "" if stated(window) and stated(contract.reaction.drain_end) else "how a drain ends is not promised"


@behaviour(
    "membership.drain-timeout",
    fields=("reaction.drain_window", "reaction.drain_end"),
    needs=("drain", "faults"),
    touches="membership",
    layers=(7,),
    waits=True,
    unless=_window,
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=40,
)
def test_drain_timeout(s: Scenario) -> None:
    """What is under way when a backend begins to drain has the drain window to finish; what has not by then is cut, or
    goes on, as documented. Others notice nothing of it.
    """
    window = s.contract.reaction.drain_window
    if window is None or window.sole is None:
        raise NotCheckable("nobody says how long a drain may take")
    leaving = s.rng.choice(s.names)
    users = [s.pinned(leaving) for _ in range(2)]
    others = [s.pinned(name) for name in s.names if name != leaving]
    events = (SHORT, math.ceil((window.sole + BEYOND) / EVENT))
    lengths = " and ".join(f"{each * EVENT:g} s" for each in events)
    s.step(f"streams of {lengths} are under way; the window is {window.sole:g} s")
    with (
        Flight(s, lambda: stream(users[0], events[0])) as short,
        Flight(s, lambda: stream(users[1], events[1])) as long,
    ):
        s.system.drain(leaving)
        drained = s.controls[-1]
        s.real_wait(max(0.0, drained.done + window.sole - time.monotonic()))
        seen = [
            finished(s, flight.land(), count, drained, window.sole)
            for flight, count in ((short, events[0]), (long, events[1]))
            if flight.backend == leaving
        ]
    if len(seen) < len(events) or not all(seen):
        raise Inconclusive("the streams did not reach their backend, or ended too near to the end of the window")
    s.step("those of other backends go on")
    for user in others:
        user.visit(new_connection=True)


def stream(user: Client, events: int) -> Exchange:
    """Listens to so many events with this user's key, on a connection of its own."""
    wishes = (("Accept", "text/event-stream"), ("Limpet-Events", str(events)), ("Limpet-Pause", f"{EVENT:g}"))
    said = user.spoken()
    headers = [each for each in said.headers if each[0].lower() != "accept"]
    with closing(user.raw()) as connection:
        patience = events * EVENT + BEYOND
        found = connection.request(user.name, "GET", said.path, (*headers, *wishes), timeout=patience, note=ODD)
    return user.heard(found)


def finished(s: Scenario, ended: Exchange, count: int, drained: Control, window: float) -> bool:
    """Decides about one stream: whether it was cut before its time, or not at all although it should have been.

    False where it ended too near to the end of the window to say.
    """
    end, complete = ended.received.t, ended.ok and ended.body.count(b"data:") >= count
    name, after = ended.sent.client, ended.received.t - drained.t
    slack = s.resolution + s.system.loaded.target.timing.grace.value
    if not complete and (end < drained.t + window - slack or must(s.contract.reaction.drain_end, "finish")):
        text = f"what {name} had under way when {drained.backend} began to drain was cut after {after:.1f} s"
        return not s.expect(False, Kind.ERROR, text, ended)
    if complete and end > drained.done + window + slack:
        right = not must(s.contract.reaction.drain_end, "cut")
        text = f"{name} was still served by {drained.backend} {after:.1f} s after it began to drain, for {window:g} s"
        s.expect(right, Kind.SERVED_BY_DRAINING, text, ended)
        return True
    decisive = complete == (end < drained.t + window)
    s.decided += decisive
    return decisive
