"""Connections that stay: WebSockets, event streams, and the polling that comes before them."""

from __future__ import annotations

import re
from contextlib import closing

from limpet import Client, Kind, NotCheckable, RawConnection, Scenario, WebSocket, behaviour, handshake_headers
from limpet.harness.model.history import Header
from limpet.harness.model.oracle.exchanges import ODD

RECONNECTS = 3
MESSAGES = 3
PATIENCE = 15.0
POLLS = 3
HOLD = 0.05
"""Seconds that a long poll is held open, and within which events come."""
EVENTS = 5
CERTAINTY = "one violation is enough; no luck of a right balancer can cause one"


def _need_own_backends(s: Scenario) -> None:
    if s.system.loaded.target.backends.owner != "limpet":
        raise NotCheckable("only limpet's own backends are known to answer an upgrade or to stream events")


def _connect(user: Client, connection: RawConnection) -> WebSocket:
    """An opening handshake with the user's key, and what became of it."""
    said = user.spoken(handshake_headers())
    opened = connection.request(user.name, "GET", said.path, said.headers, note=ODD)
    return WebSocket(connection, user.heard(opened))


def _instead(socket: WebSocket) -> str:
    """What the handshake was answered with."""
    opened = socket.opened
    return f"the upgrade of {opened.sent.client} was answered with {opened.error or opened.status}, not with 101"


def _converse(s: Scenario, user: Client, socket: WebSocket, home: str) -> None:
    for number in range(MESSAGES if socket.agreed else 0):
        answer = socket.ask(f"message {number}", PATIENCE)
        if not answer:
            s.broken(Kind.ERROR, f"a message of {user.name} through its WebSocket got no answer", socket.opened)
            return
        backend, _, rest = answer.partition(" ")
        text = f"{user.name}, pinned to {home}, sent a message through its WebSocket, and {backend} answered"
        s.expect(backend == home, Kind.MOVED, text, socket.opened)
        text = f"message {number} of {user.name} came back as {rest!r}"
        s.expect(rest.endswith(f"message {number}"), Kind.WRONG_ANSWER, text, socket.opened)


@behaviour(
    "protocol.websocket", only_cited=True, layers=(7,), certainty=CERTAINTY, error_rate=0.0, budget=100, sees=0.15
)
def test_websocket(s: Scenario) -> None:
    """An upgrade to WebSocket goes to the pinned backend and stays there, and a reconnect returns to it."""
    _need_own_backends(s)
    for home in s.names:
        user = s.pinned(home)
        s.step(f"{user.name}, pinned to {home}, opens a WebSocket {RECONNECTS} times and uses HTTP besides")
        for _ in range(RECONNECTS):
            s.scramble()
            with closing(user.raw()) as connection:
                socket = _connect(user, connection)
                s.expect(socket.agreed, Kind.ERROR, _instead(socket), socket.opened)
                _converse(s, user, socket, home)
                user.visit()
                _converse(s, user, socket, home)
                socket.close()


@behaviour(
    "protocol.long-poll-and-sse",
    only_cited=True,
    layers=(7,),
    variants=("polling-then-upgrade", "event-stream"),
    certainty=CERTAINTY,
    error_rate=0.0,
    budget=110,
    sees=0.2,
)
def test_long_poll_and_sse(s: Scenario) -> None:
    """Polls that are held open, the posts beside them, the upgrade after them, and event streams: one backend."""
    _need_own_backends(s)
    for home in s.names:
        user = s.pinned(home)
        if s.variant == "event-stream":
            _events(s, user, home)
        else:
            _polls(s, user, home)


def _polls(s: Scenario, user: Client, home: str) -> None:
    """The way of Engine.IO: GETs that wait for news, POSTs that bring some, then a WebSocket in their place."""
    s.step(f"{user.name}, pinned to {home}, polls {POLLS} times, posts meanwhile, then upgrades, {RECONNECTS} times")
    with closing(user.raw()) as polling, closing(user.another()) as posting:
        for _ in range(POLLS):
            s.scramble()
            _send(user, polling, ("Limpet-Hold", f"{HOLD:g}"))
            posting.request("POST", user.spoken().path.partition("?")[0], body=b"4message")
            user.heard(polling.receive())
            if polling.spent:
                polling.renew()
    for _ in range(RECONNECTS):  # one upgrade alone might meet its backend by luck
        s.scramble()
        with closing(user.raw()) as upgrading:
            socket = _connect(user, upgrading)
            if not socket.agreed:  # then such a client goes on polling
                s.observe(_instead(socket))
            _converse(s, user, socket, home)


def _events(s: Scenario, user: Client, home: str) -> None:
    s.step(f"{user.name}, pinned to {home}, listens to {EVENTS} events, and visits meanwhile")
    wishes = (("Accept", "text/event-stream"), ("Limpet-Events", str(EVENTS)), ("Limpet-Pause", f"{HOLD / EVENTS:g}"))
    for _ in range(2):
        s.scramble()
        with closing(user.raw()) as listening:
            _send(user, listening, *wishes)
            user.visit(new_connection=True)
            heard = user.heard(listening.receive())
        senders = re.findall(r"^data: (\S+)", heard.body.decode("utf-8", "replace"), re.MULTILINE)
        others = sorted(set(senders) - {home})
        text = f"{user.name}, pinned to {home}, heard events of {', '.join(others)}"
        s.expect(not others, Kind.MOVED, text, heard)
        if heard.ok and heard.backend:
            text = f"of {EVENTS} events for {user.name}, {len(senders)} came"
            s.expect(len(senders) == EVENTS, Kind.ERROR, text, heard)


def _send(user: Client, connection: RawConnection, *headers: Header) -> None:
    said = user.spoken()
    own = {name.lower() for name, _ in headers}
    lines = [f"GET {said.path} HTTP/1.1".encode(), f"Host: {user.endpoint.authority}".encode()]
    kept = [(name, value) for name, value in said.headers if name.lower() not in own]
    lines += [f"{name}: {value}".encode() for name, value in (*kept, *headers)]
    connection.send(lines, client=user.name)
