"""One TCP connection through the balancer. All transitions are in `TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from limpet.reference_lb.core.messages import (
    Abort,
    ClientData,
    ClientEnd,
    ClientGone,
    CloseServer,
    Command,
    Connected,
    Deadline,
    EndClient,
    EndServer,
    Event,
    Failure,
    Finish,
    NotConnected,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerEnd,
    ServerGone,
    SetDeadline,
    Started,
    Wait,
)
from limpet.reference_lb.core.tls_hello import Hello, HelloReader, Side
from limpet.reference_lb.parts.carried_keys import TLS_SESSION
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.records import RequestHead, ResponseHead, Route

_SESSION = TLS_SESSION.encode()


class State(Enum):
    """Which directions are open."""

    NEW = "new"
    HELLO = "waiting for what the client says first"
    CONNECTING = "waiting for a connection to the member"
    BOTH = "both directions are open"
    TO_CLIENT = "the client sends no more"
    TO_SERVER = "the backend sends no more"
    DONE = "done"


class Stream:
    """Feed it events; do what the commands say, in order. Bytes sent while connecting are kept.

    Args:
        hello: the client speaks first, in TLS, and no member is chosen before its hello is there; what the member says
            to it is looked at too.
    """

    def __init__(self, parts: Parts, *, hello: bool = False) -> None:
        self.state = State.NEW
        self._asks = HelloReader(Side.CLIENT) if hello else None
        self._answers = HelloReader(Side.SERVER) if hello else None
        self._parts = parts
        self._request: RequestHead
        self._route: Route
        self._tried: frozenset[str] = frozenset()
        self._early: list[bytes] = []
        self._client_ended = False

    def handle(self, event: Event) -> list[Command]:
        """What is to be done about the event. Events that mean nothing in this state are ignored."""
        action = TRANSITIONS[self.state].get(type(event))
        return action(self, event) if action is not None else []

    def _start(self, event: Started) -> list[Command]:
        self._request = event.request
        if self._asks is None:
            return self._go()
        self.state = State.HELLO
        return [SetDeadline(Wait.IDLE)]

    def _hear(self, event: ClientData) -> list[Command]:
        self._early.append(event.data)
        assert self._asks is not None, "only who waits for a hello is in this state"
        hello = self._asks.feed(event.data)
        return [] if hello is None else self._heard(hello)

    def _heard(self, hello: Hello) -> list[Command]:
        if hello.session:
            self._request.headers.append((_SESSION, hello.session.encode()))
        return self._go()

    def _unheard(self, _: Event) -> list[Command]:
        """It said too little, or nothing: there is nobody to speak to."""
        self.state = State.DONE
        return [Abort()]

    def _go(self) -> list[Command]:
        route = self._route = self._parts.router.route(self._parts, self._request, self._tried)
        if route.member is None:
            self.state = State.DONE
            return [Abort()]
        route.member.in_flight += 1
        self.state = State.CONNECTING
        return [SetDeadline(Wait.CONNECT), Open(route.member, fresh=True)]

    def _connected(self, _: Connected) -> list[Command]:
        early: list[Command] = [SendServer(b"".join(self._early))] if self._early else []
        if self._client_ended:
            self.state = State.TO_CLIENT
            return [*early, EndServer()]
        self.state = State.BOTH
        return early

    def _not_connected(self, event: NotConnected) -> list[Command]:
        assert self._route.member is not None
        if event.failure is Failure.REFUSED:
            self._parts.health_view.refused(self._route.member)
        return self._elsewhere()

    def _timed_out(self, _: Deadline) -> list[Command]:
        return [CloseServer(), *self._elsewhere()]

    def _elsewhere(self) -> list[Command]:
        """Nothing reached a member yet, so another one may be tried."""
        assert self._route.member is not None
        self._release()
        self._tried |= {self._route.member.id}
        if self._parts.reactions.retries(self._request, False):
            return self._go()
        self.state = State.DONE
        return [Abort()]

    def _keep(self, event: ClientData) -> list[Command]:
        self._early.append(event.data)
        return []

    def _note_end(self, _: ClientEnd) -> list[Command]:
        self._client_ended = True
        return []

    def _to_server(self, event: ClientData) -> list[Command]:
        self._parts.router.used(self._parts, self._request, self._route)
        return [SendServer(event.data)]

    def _to_client(self, event: ServerData) -> list[Command]:
        if self._answers is not None and self._answers.found is None:
            hello = self._answers.feed(event.data)
            if hello is not None and hello.session:
                said = ResponseHead(0, b"", [(_SESSION, hello.session.encode())])
                self._parts.router.answered(self._parts, self._request, self._route, said)
        self._parts.router.used(self._parts, self._request, self._route)
        return [SendClient(event.data)]

    def _client_end(self, _: ClientEnd) -> list[Command]:
        self.state = State.TO_CLIENT
        return [EndServer()]

    def _server_end(self, _: ServerEnd) -> list[Command]:
        self.state = State.TO_SERVER
        return [EndClient()]

    def _both_ended(self, _: Event) -> list[Command]:
        return self._over([CloseServer(), Finish(close=True)])

    def _server_gone(self, _: ServerGone) -> list[Command]:
        return self._over([CloseServer(), Abort()])

    def _client_gone(self, _: ClientGone) -> list[Command]:
        return self._over([CloseServer()])

    def _over(self, commands: list[Command]) -> list[Command]:
        self._release()
        self.state = State.DONE
        return commands

    def _release(self) -> None:
        assert self._route.member is not None
        self._route.member.in_flight -= 1


_LOST: dict[type, Callable[..., list[Command]]] = {
    ServerGone: Stream._server_gone,
    ClientGone: Stream._client_gone,
}
TRANSITIONS: dict[State, dict[type, Callable[..., list[Command]]]] = {
    State.NEW: {Started: Stream._start},
    State.HELLO: {
        ClientData: Stream._hear,
        ClientEnd: Stream._unheard,
        ClientGone: Stream._unheard,
        Deadline: Stream._unheard,
    },
    State.CONNECTING: {
        Connected: Stream._connected,
        NotConnected: Stream._not_connected,
        Deadline: Stream._timed_out,
        ClientData: Stream._keep,
        ClientEnd: Stream._note_end,
        ClientGone: Stream._client_gone,
    },
    State.BOTH: {
        ClientData: Stream._to_server,
        ServerData: Stream._to_client,
        ClientEnd: Stream._client_end,
        ServerEnd: Stream._server_end,
        **_LOST,
    },
    State.TO_CLIENT: {ServerData: Stream._to_client, ServerEnd: Stream._both_ended, **_LOST},
    State.TO_SERVER: {
        ClientData: Stream._to_server,
        ClientEnd: Stream._both_ended,
        **_LOST,
        ServerGone: Stream._both_ended,  # it had said all it had to say, and the client must get it
    },
    State.DONE: {},
}
"""What each event does in each state."""
