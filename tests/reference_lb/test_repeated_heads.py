"""A connection that remembers header lines reads the same requests as one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.reference_lb.core.messages import ClientBroken, Started
from limpet.reference_lb.transport.requests import HEAD_LIMIT, RequestReader

LINES = [
    b"GET / HTTP/1.1",
    b"GET /page?a=b HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"POST / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET / HTTP/2.0",
    b"GET /\x01 HTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET http://shop.example/ HTTP/1.1",
    b"GET / HTTP/1.1\r\nX: y",
    b"GET / HTTP/1.1\nX: y",
    b"\r\nGET / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
]
HOST = b"\r\nHost: lb\r\n"
BLOCKS = [
    HOST + b"\r\n",
    HOST + b"Cookie: LIMPET=a\r\n\r\n",
    HOST + b"Cookie: LIMPET=b\r\n\r\n",
    HOST + b"Content-Length: 0\r\n\r\n",
    HOST + b"Content-Length: 4\r\n\r\n",
    HOST + b"Content-Length: 4\r\n\r\n\r\n\r\n",
    HOST + b"Transfer-Encoding: chunked\r\n\r\n",
    HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HOST + b"Connection: close\r\n\r\n",
    HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    HOST + b"Expect: 100-continue\r\n\r\n",
    HOST + b"\r\n\r\n",
    HOST + b"\r\nGET /smuggled HTTP/1.1\r\nHost: lb\r\n\r\n",
    HOST + b"X: a\r\n b\r\n\r\n",
    b"\r\n\r\n",
    HOST,
    b"\r\n",
]


class Forgetful(RequestReader):
    """Parses everything."""

    def _again(self, data: bytes) -> None:
        return None


def read(reader: RequestReader, fed: list[bytes]) -> list[Any]:
    found: list[Any] = []
    for data in fed:
        found.append(reader.feed(data))
        if reader.undecided:
            found.append(reader.go_on())
    return [*found, reader.unfinished, reader.end()]


PIECES = st.one_of(
    st.tuples(st.sampled_from(LINES), st.sampled_from(BLOCKS)).map(b"".join),
    st.tuples(st.sampled_from(LINES[:3]), st.sampled_from(BLOCKS[:4])).map(b"".join),
    st.sampled_from(BLOCKS + LINES),
)


@settings(deadline=None)  # a slow machine is no fault
@given(st.lists(PIECES, max_size=8), st.booleans())
def test_repeated_header_lines_mean_what_they_meant(fed: list[bytes], secure: bool) -> None:
    one = read(RequestReader("127.0.0.1", 7, secure=secure), fed)
    assert one == read(Forgetful("127.0.0.1", 7, secure=secure), fed)


def test_they_are_recognised() -> None:
    class Counting(RequestReader):
        again = 0

        def _again(self, data: bytes) -> Any:
            found = super()._again(data)
            self.again += found is not None
            return found

    reader = Counting("127.0.0.1", 1)
    heads = []
    for target in (b"/one", b"/two", b"/two"):
        (started,) = reader.feed(b"GET " + target + b" HTTP/1.1" + BLOCKS[1])
        assert isinstance(started, Started) and started.ended
        heads.append(started.request)
    assert [head.target for head in heads] == [b"/one", b"/two", b"/two"] and reader.again == 2
    heads[1].headers.clear()  # a part may change the lines of the request it is handed, and of no other one
    assert heads[2].headers == heads[0].headers == [(b"Host", b"lb"), (b"Cookie", b"LIMPET=a")]


@pytest.mark.parametrize("last", LINES[5:])
def test_another_line_above_them_is_judged_by_the_parser(last: bytes) -> None:
    fed = [LINES[0] + BLOCKS[1], last + BLOCKS[1]]
    assert read(RequestReader("127.0.0.1", 1), fed) == read(Forgetful("127.0.0.1", 1), fed)


def test_a_target_that_is_too_long_stays_so() -> None:
    reader = RequestReader("127.0.0.1", 1)
    reader.feed(LINES[0] + BLOCKS[1])
    assert isinstance(reader.feed(b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1" + BLOCKS[1])[0], ClientBroken)
