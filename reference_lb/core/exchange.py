"""One HTTP request and its response. All transitions are in `TRANSITIONS`; the rest says what each does."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from limpet.reference_lb.core.messages import (
    Abort,
    Answer,
    ClientBroken,
    ClientData,
    ClientEnd,
    ClientGone,
    CloseServer,
    Command,
    Connected,
    Deadline,
    EndServer,
    Event,
    Failure,
    Finish,
    KeepServer,
    NotConnected,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerEnd,
    ServerGone,
    Started,
    Tunnel,
    Wait,
)
from limpet.reference_lb.core.replies import own_reply
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.reactions import IDEMPOTENT
from limpet.reference_lb.parts.records import Framing, Member, Refusal, RequestHead, ResponseHead, Route

REPLAY_LIMIT = 65_536  # bytes of a request body kept for another try

_LOST = Refusal(502, "the backend closed the connection without an answer")
_DRAINED = Refusal(502, "the backend left before it had answered")
_NOT_CONNECTED = {
    Failure.REFUSED: Refusal(502, "the backend refused the connection"),
    Failure.UNREACHABLE: Refusal(502, "the backend cannot be reached"),
    Failure.TIMEOUT: Refusal(504, "the backend did not accept the connection in time"),
}
_SILENT = Refusal(504, "the backend did not answer in time")
_SLOW_CLIENT = Refusal(408, "the request did not arrive in time")

# Commands that say the same every time.
_KEEP_SERVER = KeepServer()
_GO_ON = Finish(close=False)
_NOBODY: frozenset[str] = frozenset()


class State(Enum):
    """Where an exchange stands."""

    NEW = "new"
    CONNECTING = "waiting for a connection to the member"
    WAITING = "sending the request, waiting for the response"
    ANSWERING = "passing the response on"
    TUNNEL = "passing bytes both ways"
    DONE = "done"

    __hash__ = object.__hash__  # there is one object of each; Enum's own is a function of Python, at each look-up


# An attribute of an enumeration is looked up by a function of its metaclass, at each use.
_NEW, _CONNECTING, _WAITING, _ANSWERING, _TUNNEL, _DONE = State
_NONE, _CHUNKED, _CLOSE = Framing.NONE, Framing.CHUNKED, Framing.CLOSE
_CONNECT, _RESPONSE, _IDLE = Wait


class Exchange:
    """Feed it events; do what the commands say, in order.

    Attributes:
        request_ended: the client has sent all of the request.
        wait: the timeout that is to run from now on, instead of the one before; whoever lets it run sets None.
    """

    __slots__ = (
        "_asked",
        "_body",
        "_close",
        "_framing",
        "_parts",
        "_request",
        "_reused",
        "_route",
        "_size",
        "_tried",
        "request_ended",
        "state",
        "wait",
    )

    def __init__(self, parts: Parts) -> None:
        self.state = _NEW
        self.request_ended = False
        self.wait: Wait | None = None
        self._parts = parts
        self._request: RequestHead
        self._route: Route
        self._asked: Member  # whom the request is sent to
        self._tried = _NOBODY
        self._body: list[bytes] | None = []  # what was received of it; None when too long to be sent again
        self._size = 0
        self._reused = False
        self._framing = _NONE  # of the response, towards the client
        self._close = False

    def handle(self, event: Event) -> list[Command]:
        """What is to be done about the event. Events that mean nothing in this state are ignored."""
        action = TRANSITIONS[self.state].get(type(event))
        return action(self, event) if action is not None else []

    # -- the way to a member

    def _start(self, event: Started) -> list[Command]:
        request = self._request = event.request
        request.peer = request.source
        request.source = self._parts.client_address.of(request)
        self.request_ended = event.ended
        self._close = not request.keep_alive
        return self._go(fresh=False)

    def _go(self, *, fresh: bool) -> list[Command]:
        route = self._route = self._parts.router.route(self._parts, self._request, self._tried)
        if route.member is None:
            return self._reply(route.refusal or _LOST)
        route.member.in_flight += 1
        self._asked = route.asked or route.member
        return self._open(fresh=fresh)

    def _open(self, *, fresh: bool) -> list[Command]:
        self.state = _CONNECTING
        self.wait = _CONNECT
        return [Open(self._asked, fresh)]

    def _connected(self, event: Connected) -> list[Command]:
        self._reused = event.reused
        self.state = _WAITING
        self.wait = _RESPONSE
        data = self._parts.header_policy.request_head(self._request, self._asked)
        if self._body or self._request.chunked:
            body = self._body or []
            data = b"".join((data, *(self._framed(piece) for piece in body), self._end_of_request()))
        if self._size > REPLAY_LIMIT:
            self._body = None
        return [SendServer(data)]

    def _not_connected(self, event: NotConnected) -> list[Command]:
        if event.failure is Failure.REFUSED:
            self._parts.health_view.refused(self._asked)
        return self._failed(_NOT_CONNECTED[event.failure], sent=False)

    def _connect_timed_out(self, _: Deadline) -> list[Command]:
        return [CloseServer(), *self._failed(_NOT_CONNECTED[Failure.TIMEOUT], sent=False)]

    # -- the request's body

    def _keep_body(self, event: ClientData) -> list[Command]:
        assert self._body is not None, "until the first connection nothing is thrown away"
        self._body.append(event.data)
        self._size += len(event.data)
        return []

    def _send_body(self, event: ClientData) -> list[Command]:
        self._size += len(event.data)
        if self._size > REPLAY_LIMIT:
            self._body = None
        elif self._body is not None:
            self._body.append(event.data)
        self.wait = _RESPONSE
        return [SendServer(self._framed(event.data))]

    def _note_end(self, _: ClientEnd) -> list[Command]:
        self.request_ended = True
        return []

    def _send_end(self, _: ClientEnd) -> list[Command]:
        self.request_ended = True
        self.wait = _RESPONSE
        end = self._end_of_request()
        return [SendServer(end)] if end else []

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._request.chunked else data

    def _end_of_request(self) -> bytes:
        return b"0\r\n\r\n" if self._request.chunked and self.request_ended else b""

    # -- what can go wrong before the response

    def _server_lost(self, event: ServerGone) -> list[Command]:
        if event.drained:
            return self._failed(_DRAINED, sent=True)
        if self._reused and self._request.method in IDEMPOTENT and self._body is not None:
            # The backend closed a kept connection while the request was on its way: that says nothing about it.
            return self._open(fresh=True)
        return self._failed(_LOST, sent=True)

    def _silence(self, event: Deadline) -> list[Command]:
        if not self.request_ended and not event.stalled:
            self._release()
            return [CloseServer(), *self._reply(_SLOW_CLIENT)]
        return [CloseServer(), *self._failed(_SILENT, sent=True)]

    def _failed(self, refusal: Refusal, *, sent: bool) -> list[Command]:
        """The member failed the request: try another one, if that is allowed and possible."""
        self._release()
        self._tried |= {self._asked.id}
        if self._body is not None and self._parts.reactions.retries(self._request, sent):
            return self._go(fresh=False)
        return self._reply(refusal)

    def _reply(self, refusal: Refusal) -> list[Command]:
        """Answer in the balancer's own name."""
        self.state = _DONE
        close = self._close or not self.request_ended or refusal.status in (400, 408)
        return [SendClient(own_reply(self._parts, self._request, refusal, close)), Finish(close)]

    def _broken(self, event: ClientBroken) -> list[Command]:
        self._release()
        return [CloseServer(), *self._reply(Refusal(event.status, event.text))]

    # -- the response

    def _answer(self, event: Answer) -> list[Command]:
        response, request, parts = event.head, self._request, self._parts
        if response.status < 200:
            return self._interim(response)
        cookies = parts.router.answered(parts, request, self._route, response)
        if response.framing is _CLOSE:
            response.framing = _CHUNKED
        if response.framing is _CHUNKED and request.minor == 0:
            response.framing = _CLOSE
        self._close = self._close or response.framing is _CLOSE or not self.request_ended
        self._framing = response.framing
        self.state = _ANSWERING
        self.wait = _RESPONSE
        head = parts.header_policy.response_head(request, response, cookies, parts.clock.now(), self._close)
        return [SendClient(head)]

    def _interim(self, response: ResponseHead) -> list[Command]:
        if response.status == 101:
            return self._switch(response)
        if self._request.minor == 0:
            return []
        now = self._parts.clock.now()
        self.wait = _RESPONSE
        return [SendClient(self._parts.header_policy.response_head(self._request, response, (), now, False))]

    def _switch(self, response: ResponseHead) -> list[Command]:
        if not self._request.upgrade:  # so nobody asked for it
            return [CloseServer(), *self._failed(_LOST, sent=True)]
        cookies = self._parts.router.answered(self._parts, self._request, self._route, response)
        self.state = _TUNNEL
        self.wait = _IDLE
        now = self._parts.clock.now()
        head = self._parts.header_policy.response_head(self._request, response, cookies, now, False)
        return [SendClient(head), Tunnel()]

    # -- the tunnel, until one of its ends is gone

    def _to_server(self, event: ClientData) -> list[Command]:
        self._parts.router.used(self._parts, self._request, self._route)
        self.wait = _IDLE
        return [SendServer(event.data)]

    def _to_client(self, event: ServerData) -> list[Command]:
        self._parts.router.used(self._parts, self._request, self._route)
        self.wait = _IDLE
        return [SendClient(event.data)]

    def _client_ended(self, _: ClientEnd) -> list[Command]:
        return [EndServer()]

    def _tunnel_ended(self, _: Event) -> list[Command]:
        self._release()
        self.state = _DONE
        return [CloseServer(), Finish(close=True)]

    # -- the response's body

    def _pass_data(self, event: ServerData) -> list[Command]:
        data = event.data
        if self._framing is _CHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.wait = _RESPONSE
        return [SendClient(data)]

    def _complete(self, event: ServerEnd) -> list[Command]:
        self._release()
        self.state = _DONE
        ended = self.request_ended
        commands: list[Command] = [SendClient(b"0\r\n\r\n")] if self._framing is _CHUNKED else []
        commands.append(_KEEP_SERVER if event.reusable and ended else CloseServer())
        commands.append(_GO_ON if ended and not self._close else Finish(close=True))
        return commands

    # -- ends

    def _cut(self, _: Event) -> list[Command]:
        """The response cannot be completed: the client must see that."""
        self._release()
        self.state = _DONE
        return [CloseServer(), Abort()]

    def _client_gone(self, _: ClientGone) -> list[Command]:
        self._release()
        self.state = _DONE
        return [CloseServer()]

    def _release(self) -> None:
        assert self._route.member is not None
        self._route.member.in_flight -= 1


TRANSITIONS: dict[State, dict[type, Callable[..., list[Command]]]] = {
    State.NEW: {Started: Exchange._start},
    State.CONNECTING: {
        Connected: Exchange._connected,
        NotConnected: Exchange._not_connected,
        Deadline: Exchange._connect_timed_out,
        ClientData: Exchange._keep_body,
        ClientEnd: Exchange._note_end,
        ClientBroken: Exchange._broken,
        ClientGone: Exchange._client_gone,
    },
    State.WAITING: {
        Answer: Exchange._answer,
        ServerGone: Exchange._server_lost,
        Deadline: Exchange._silence,
        ClientData: Exchange._send_body,
        ClientEnd: Exchange._send_end,
        ClientBroken: Exchange._broken,
        ClientGone: Exchange._client_gone,
    },
    State.ANSWERING: {
        ServerData: Exchange._pass_data,
        ServerEnd: Exchange._complete,
        ServerGone: Exchange._cut,
        Deadline: Exchange._cut,
        ClientData: Exchange._send_body,
        ClientEnd: Exchange._send_end,
        ClientBroken: Exchange._cut,
        ClientGone: Exchange._client_gone,
    },
    State.TUNNEL: {
        ClientData: Exchange._to_server,
        ServerData: Exchange._to_client,
        ClientEnd: Exchange._client_ended,
        ServerEnd: Exchange._tunnel_ended,
        ServerGone: Exchange._tunnel_ended,
        Deadline: Exchange._cut,
        ClientGone: Exchange._client_gone,
    },
    State.DONE: {},
}
"""What each event does in each state. Ways out: every path ends in DONE with exactly one Finish or Abort."""
