"""What a backend's connection has served before changes nothing about how its next response is read."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.reference_lb.core.messages import Answer, ServerData, ServerEnd
from limpet.reference_lb.parts import Member
from limpet.reference_lb.transport.http_server import BackendConnection

MEMBER = Member("b1", "b1", "127.0.0.1", 1)
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 2\r\n\r\nok"
RESPONSES = [
    (False, PLAIN),
    (False, PLAIN + b"\r\n"),
    (False, PLAIN + b"H"),
    (False, PLAIN + b"nonsense"),
    (False, PLAIN + OK),
    (False, PLAIN + PLAIN),
    (True, OK + b"Content-Length: 2\r\n\r\n"),
    (True, OK + b"Content-Length: 0\r\n\r\n"),
    (True, OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    (False, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    (False, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n"),
    (False, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"),
    (False, b"HTTP/1.1 204 No Content\r\n\r\n"),
    (False, b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN),
    (False, OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"),
    (False, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (False, OK + b"\r\nuntil it closes"),
    (False, OK + b"Content-Length: 2\r\n\r\nko"),
    (False, OK + b"Content-Length: 3\r\n\r\nok"),
    (False, OK + b"Content-Length: 02\r\n\r\nok"),
    (False, OK + b"Content-Length: 0\r\n\r\n"),
    (False, OK + b"Content-Length: 6\r\n\r\n\r\n\r\nok"),
    (False, b"\r\n" + PLAIN),
    (False, b"\r\n\r\n" + PLAIN),
    (False, b"HTTP/1.1 404 OK\r\nContent-Length: 2\r\n\r\nok"),
    (False, b"HTTP/1.1 200 OK\nContent-Length: 6\n\nok\r\n\r\n"),
    (False, OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    (False, b"HTTP/9.9 what\r\n\r\n"),
]


class Nobody:
    """Takes the place of a transport and of the kept connections."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: False


class Owner(Nobody):
    def __init__(self, link: BackendConnection) -> None:
        self.link = link
        self.events: list[Any] = []

    def from_server(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, ServerEnd) and event.reusable:
            self.link.release()


def connection() -> BackendConnection:
    link = BackendConnection(MEMBER, Nobody())  # type: ignore[arg-type]
    link.connection_made(Nobody())  # type: ignore[arg-type]
    return link


def events(link: BackendConnection, head_only: bool, pieces: list[bytes]) -> list[Any]:
    owner = Owner(link)
    link.serve(owner, head_only)
    for piece in pieces:
        link.data_received(piece)
    return owner.events


def cut(data: bytes, at: int) -> list[bytes]:
    return [piece for piece in (data[:at], data[at:]) if piece]


@settings(deadline=None)  # a slow machine is no fault
@given(st.lists(st.tuples(st.sampled_from(RESPONSES), st.integers(0, 90)), min_size=2, max_size=6))
def test_each_response_is_read_as_on_a_new_connection(told: list[tuple[tuple[bool, bytes], int]]) -> None:
    kept = connection()
    for (head_only, data), at in told:
        got = events(kept, head_only, cut(data, at))
        assert got == events(connection(), head_only, cut(data, at))
        if not got or got[-1] != ServerEnd(reusable=True):
            kept = connection()  # the exchange closes such a one


def test_one_after_the_other() -> None:
    kept = connection()
    for _ in range(3):
        answer, data, end = events(kept, False, [PLAIN])
        assert isinstance(answer, Answer) and answer.head.status == 200
        assert data == ServerData(b"ok") and end == ServerEnd(reusable=True)


def test_a_head_that_was_read_before_is_not_read_again() -> None:
    """And what a part does to its lines is not done to the next one."""
    kept = connection()
    seen = []
    for body in (b"ok", b"ko", b"ok"):
        answer, data, _ = events(kept, False, [PLAIN[:-2] + body])
        assert data == ServerData(body) and answer.head.headers == [(b"Content-Length", b"2")]
        seen.append(answer.head)
        answer.head.headers.clear()
        kept._parser = None  # whoever asks the parser from here on fails
    assert [head.status for head in seen] == [200, 200, 200]
