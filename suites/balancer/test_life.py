"""What becomes of pins when the balancer itself is reloaded, changed or started again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from limpet import Client, Flight, Kind, Observed, Scenario, behaviour
from limpet.harness.model.contract.stated import must

USERS = 3
"""Of each backend."""
ROUNDS = 2
"""Each change is made so often: some damage shows only the second time."""
HELD = 1.5
"""Seconds that a request is under way, so that a reload falls into it."""


@behaviour(
    "balancer.reload",
    fields=("reaction.reload",),
    needs=("reload", "backend-history"),
    touches="settings",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=220,
    sees=0.13,
)
def test_reload(s: Scenario) -> None:
    """The unchanged configuration is loaded again: every pin holds, and requests under way are answered."""
    users = _Users(s)
    s.step("one request for each backend is under way while the configuration is loaded again")
    travellers = [s.pinned(name) for name in s.names]
    with ExitStack() as stack:
        flights = [stack.enter_context(_in_flight(s, each)) for each in travellers]
        early = [each.over for each in flights]
        s.system.reload()
        landed = [each.land() for each in flights]
    for user, exchange, over in zip(travellers, landed, early, strict=True):
        if not over and must(s.contract.reaction.reload, "keep"):
            s.expect(exchange.ok, Kind.ERROR, f"{user.name}'s request, under way during the reload, failed", exchange)
    users.come_back(travellers)
    for _ in range(ROUNDS - 1):
        s.system.reload()
        users.come_back(travellers)
    users.only_shown_unless(must(s.contract.reaction.reload, "keep"))


@behaviour(
    "balancer.unrelated-change",
    fields=("reaction.reload",),
    needs=("change",),
    touches="settings",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=160,
    sees=0.18,
)
def test_unrelated_change(s: Scenario) -> None:
    """A setting that has nothing to do with stickiness is changed: every pin holds."""
    users = _Users(s)
    users.live_through(s.system.change, "a setting elsewhere has another value now: everybody comes again")
    users.only_shown_unless(must(s.contract.reaction.reload, "keep"))


@behaviour(
    "balancer.restart",
    fields=("reaction.restart",),
    needs=("restart",),
    touches="settings",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=160,
    sees=0.16,
)
def test_restart(s: Scenario) -> None:
    """The balancer is stopped and started: pins that can outlive it hold."""
    users = _Users(s)
    users.live_through(s.system.restart, "the balancer was started again: everybody comes back")
    users.only_shown_unless(must(s.contract.reaction.restart, "keep"))


class _Users:
    """Pinned users, and where they were at home."""

    def __init__(self, s: Scenario) -> None:
        s.step(f"{USERS} users of each backend are pinned")
        self._s = s
        self.clients = [user for group in s.pinned_to_each(USERS).values() for user in group]
        self._homes = {user.name: user.backend for user in self.clients}
        self._kept = self._seen = 0

    def live_through(self, change: Callable[[], object], told: str) -> None:
        """The change is made, and everybody comes back; as often as it takes."""
        for _ in range(ROUNDS):
            change()
            self._s.step(told)
            self.come_back()

    def come_back(self, others: Iterable[Client] = ()) -> None:
        """Everybody comes twice, in any order, on a new connection and on that one."""
        order = [*self.clients, *others]
        self._s.rng.shuffle(order)
        for user in order:
            with self._s.luck():
                answer = user.visit(new_connection=True)
            if answer.backend and user.name in self._homes:
                self._seen += 1
                self._kept += answer.backend == self._homes[user.name]
            user.visit()

    def only_shown_unless(self, promised: bool) -> None:
        """Where nothing is promised, how often they were where they had been is all there is to say.

        Raises:
            Observed: nothing is promised.
        """
        if not promised:
            raise Observed(f"{self._kept} of {self._seen} visits afterwards were answered by the backend from before")


def _in_flight(s: Scenario, user: Client) -> Flight:
    return Flight(s, lambda: user.hold(HELD))
