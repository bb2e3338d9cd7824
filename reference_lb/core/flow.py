"""One UDP flow: all datagrams of one client address and port. All transitions are in `TRANSITIONS`.

Each datagram is routed for itself, like a request: so pins end, move and return in the middle of a flow as they do
between requests. What has no key stays with its member as long as the flow is open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from limpet.reference_lb.core.messages import (
    ClientGone,
    CloseServer,
    Connected,
    Failure,
    NotConnected,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerGone,
)
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.records import Member, RequestHead, Route

KEPT = 16
"""Datagrams that may wait for a socket to the member; further ones are lost, as datagrams may be."""


@dataclass(slots=True)
class Datagram:
    """The client sent one."""

    data: bytes


FlowEvent = Datagram | Connected | NotConnected | ServerData | ServerGone | ClientGone
FlowCommand = Open | SendServer | SendClient | CloseServer


class State(Enum):
    """Whether there is a way to the member."""

    IDLE = "no member"
    OPENING = "waiting for a socket to the member"
    OPEN = "datagrams pass both ways"
    DONE = "done"


class Flow:
    """Feed it events; do what the commands say, in order.

    `Open` for another member retires the socket to the one before, whose answers may still come.

    Args:
        parts: those in force now; a reload changes them.
        request: the client.
    """

    def __init__(self, parts: Callable[[], Parts], request: RequestHead) -> None:
        self.state = State.IDLE
        self._parts = parts
        self._request = request
        self._route: Route | None = None
        self._member: Member | None = None
        self._waiting: list[bytes] = []
        self._last = b""
        self._tried: frozenset[str] = frozenset()

    def handle(self, event: FlowEvent) -> list[FlowCommand]:
        """What is to be done about the event. Events that mean nothing in this state are ignored."""
        action = TRANSITIONS[self.state].get(type(event))
        return action(self, event) if action is not None else []

    def _datagram(self, event: Datagram) -> list[FlowCommand]:
        self._last, self._tried = event.data, frozenset()
        return self._go(event.data)

    def _go(self, data: bytes) -> list[FlowCommand]:
        parts = self._parts()
        if not self._stays(parts):
            self._route = parts.router.route(parts, self._request, self._tried)
            member = self._route.member
            if member is None:
                return self._drop()
            if member is not self._member:
                self._release()
                member.in_flight += 1
                self._member, self._waiting = member, [data]
                self.state = State.OPENING
                return [Open(member, fresh=True)]
        if self.state is State.OPEN:
            return [SendServer(data)]
        if len(self._waiting) < KEPT:
            self._waiting.append(data)
        return []

    def _stays(self, parts: Parts) -> bool:
        """Whether it has a member and no key that could say another one."""
        member = self._member
        if member is None or member.id in self._tried or parts.pool.find(member.id) is not member:
            return False
        keyed = parts.switch.enabled and bool(parts.key_reader.read(self._request))
        return not keyed and parts.health_view.usable(member, pinned=True)

    def _opened(self, _: Connected) -> list[FlowCommand]:
        self.state = State.OPEN
        waiting, self._waiting = self._waiting, []
        return [SendServer(data) for data in waiting]

    def _not_opened(self, event: NotConnected) -> list[FlowCommand]:
        return self._refused() if event.failure is Failure.REFUSED else self._elsewhere()

    def _answer(self, event: ServerData) -> list[FlowCommand]:
        parts = self._parts()
        if self._route is not None:
            parts.router.used(parts, self._request, self._route)
        self._last = b""
        return [SendClient(event.data)]

    def _refused(self, _: object = None) -> list[FlowCommand]:
        """Nobody listens there: the datagram reached nobody."""
        if self._member is not None:
            self._parts().health_view.refused(self._member)
        return self._elsewhere()

    def _elsewhere(self) -> list[FlowCommand]:
        assert self._member is not None
        self._tried |= {self._member.id}
        commands = self._drop()
        if self._last and self._parts().reactions.retries(self._request, False):
            commands += self._go(self._last)
        return commands

    def _drop(self) -> list[FlowCommand]:
        self._release()
        self._waiting = []
        self.state = State.IDLE
        return [CloseServer()]

    def _over(self, _: ClientGone) -> list[FlowCommand]:
        commands = self._drop()
        self.state = State.DONE
        return commands

    def _release(self) -> None:
        if self._member is not None:
            self._member.in_flight -= 1
            self._member = None


_ALWAYS: dict[type, Callable[..., list[FlowCommand]]] = {Datagram: Flow._datagram, ClientGone: Flow._over}
TRANSITIONS: dict[State, dict[type, Callable[..., list[FlowCommand]]]] = {
    # The answers of a retired socket count too: whoever asked is still there.
    State.IDLE: {**_ALWAYS},
    State.OPENING: {**_ALWAYS, Connected: Flow._opened, NotConnected: Flow._not_opened, ServerData: Flow._answer},
    State.OPEN: {**_ALWAYS, ServerData: Flow._answer, ServerGone: Flow._refused},
    State.DONE: {},
}
"""What each event does in each state."""
