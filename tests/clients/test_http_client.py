from __future__ import annotations

import socket
import struct
import threading
import time
from functools import partial

import pytest
from limpet_client_servers import always, answer, once

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.concurrent import together
from limpet.harness.clients.http import HttpClient
from limpet.harness.model.errors import HarnessFault, SetupFault


class FakeJar:
    def __init__(self, value=""):
        self.value = value
        self.stored = []
        self.asked = []

    def store(self, url, lines):
        self.stored.append((url, list(lines)))

    def header(self, url, *, method="GET", cross_site=False):
        self.asked.append((url, method))
        return self.value


def client(server, memory, **more):
    return HttpClient(server.endpoint, memory, name="ann", **{"timeout": 5, **more})


def test_exchange_and_history_agree_with_the_wire(serve, memory):
    server = serve(
        always(answer(b'{"cart": ["tea"]}', "X-One: 1", "Set-Cookie: a=1", "X-One: 2", "set-cookie: b=2; Path=/"))
    )
    jar = FakeJar("s=1; t=2")
    with client(
        server, memory, source="127.131.4.5", jar=jar, headers=[("User-Agent", "UA/1"), ("X-Case", "Ü")]
    ) as ann:
        got = ann.get("/cart?x=1&y=%2f")
    assert got.ok and got.status == 200 and (got.backend, got.instance) == ("b1", "i1")
    assert got.set_cookies == ("a=1", "b=2; Path=/")
    assert [v for k, v in got.received.headers if k == "X-One"] == ["1", "2"]
    assert got.json() == {"cart": ["tea"]}
    base = f"http://127.0.0.1:{server.endpoint.port}/cart?x=1&y=%2f"
    assert jar.stored == [(base, ["a=1", "b=2; Path=/"])] and jar.asked == [(base, "GET")]
    lines = server.seen[0][1]
    assert lines[0] == "GET /cart?x=1&y=%2f HTTP/1.1"
    assert lines[1:] == [f"{name}: {value}" for name, value in got.sent.headers]
    assert [name for name, _ in got.sent.headers] == [
        "Host", "User-Agent", "X-Case", "Accept-Encoding", "Cookie", "Limpet-Request",
    ]  # fmt: skip
    assert ("Limpet-Request", got.id) in got.sent.headers and ("Cookie", "s=1; t=2") in got.sent.headers
    assert server.peers[0].address == ("127.131.4.5", got.sent.port) == (got.sent.source, got.sent.port)
    assert memory.records == [got.sent, got.received]
    assert got.sent.t <= got.received.t and got.sent.offset == got.received.offset == 86400.0


def test_nothing_of_requests_own_is_sent_or_stored(serve, memory, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = serve(always(answer(b"", "Set-Cookie: a=1; Path=/", "Location: http://[bad", status="302 Found")))
    with client(server, memory) as ann:
        first, second = ann.get("/"), ann.get("/")
    assert (first.status, second.status) == (302, 302) and not first.error
    assert len(server.seen) == 2
    assert [name for name, _ in second.sent.headers] == ["Host", "Accept-Encoding", "Limpet-Request"]


def test_cookie_override(serve, memory):
    server = serve(always(answer()))
    with client(server, memory, jar=FakeJar("s=1")) as ann:
        sent = [ann.get("/", cookie=value).sent.headers for value in (None, "", "x=y; x=z")]
    assert [dict(headers).get("Cookie") for headers in sent] == ["s=1", None, "x=y; x=z"]


def test_connection_ids_follow_the_tcp_connections(serve, memory):
    def handler(peer):
        peer.request()
        peer.send(answer(b"one"))
        peer.request()
        peer.send(answer(b"two", "Connection: close"))

    server = serve(handler)
    with client(server, memory) as ann:
        ids = [ann.get("/").connection for _ in range(4)]
        fresh = ann.request("GET", "/", new_connection=True).connection
    assert ids[0] == ids[1] != ids[2] == ids[3] != fresh
    assert [number for number, _ in server.seen] == [0, 0, 1, 1, 2]
    with client(server, memory, keep=False) as ben:
        assert len({ben.get("/").connection for _ in range(3)}) == 3


def test_the_first_request_counts_as_sent_when_its_connection_was_begun(serve, memory, note_returns):
    server, opened = serve(always(answer())), note_returns("limpet.harness.clients.transport.open_stream")
    with client(server, memory) as ann:
        first, second = ann.get("/"), ann.get("/")
    assert first.sent.t < opened[0] < second.sent.t and len(opened) == 1


def test_idle_close_is_a_new_connection_not_an_error(serve, memory):
    closed = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(answer())
        peer.sock.close()
        closed.set()

    server = serve(handler)
    with client(server, memory) as ann:
        first = ann.get("/")
        assert closed.wait(5)
        limit = time.monotonic() + 5
        while ann._adapter.wire.is_connected and time.monotonic() < limit:
            time.sleep(0.001)
        second = ann.get("/")
    assert first.ok and second.ok and first.connection != second.connection


@pytest.mark.parametrize("kept", [False, True])
def test_eof_and_reset_are_errors_and_never_retried(serve, memory, kept):
    for how, expected in (("fin", "closed"), ("rst", "reset")):

        def handler(peer, how=how):
            if kept:
                peer.request()
                peer.send(answer())
            peer.request()
            if how == "rst":
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        server = serve(handler)
        with client(server, memory) as ann:
            if kept:
                assert ann.get("/").ok
            got = ann.post("/", b"x")
        assert (got.error, got.status, got.ok) == (expected, 0, False)
        assert ("kept connection" in got.received.detail) is kept
        assert len(server.seen) == 1 + kept and len(server.peers) == 1


@pytest.mark.parametrize(
    ("data", "error", "status"),
    [
        (b"garbage\r\n\r\n", "malformed", 0),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n", "malformed", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1", "closed", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "closed", 0),
        (b"HTTP/1.1 2", "closed", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", "malformed", 200),
    ],
)
def test_bad_answers(serve, memory, data, error, status):
    server = serve(once(data))
    with client(server, memory) as ann:
        got = ann.get("/")
        assert (got.error, got.status) == (error, status), got.received.detail
        assert not got.ok and got.received.detail
        server.handler = always(answer())
        assert ann.get("/").ok  # the client is as good as new


def test_interim_responses_and_bodies(serve, memory):
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    chunked = (
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: 1\r\n\r\n"
    )

    def handler(peer):
        while (got := peer.request()) is not None:
            if got[0][0].startswith("HEAD"):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            else:
                peer.send(early + chunked)

    with client(serve(handler), memory) as ann:
        got = [ann.get("/"), ann.head("/"), ann.get("/")]
    assert [(x.error, x.status, x.body) for x in got] == [("", 200, b"abc"), ("", 200, b""), ("", 200, b"abc")]
    assert got[0].received.headers == (("X-A", "b"), ("Transfer-Encoding", "chunked"))
    assert len({x.connection for x in got}) == 1


def test_what_comes_behind_a_response_belongs_to_nobody(serve, memory):
    """It must not be taken for the answer to the next request, which goes out on a new connection."""

    def handler(peer):
        peer.request()
        peer.send(answer(b"mine") + answer(b"nobody's"))
        peer.request()

    server = serve(handler)
    with client(server, memory) as ann:
        got = [ann.get("/"), ann.get("/")]
    assert [(x.error, x.body) for x in got] == [("", b"mine"), ("", b"mine")]
    assert got[0].connection != got[1].connection and len(server.seen) == 2


def test_a_body_beyond_the_limit_is_an_error(serve, memory, monkeypatch):
    monkeypatch.setattr("limpet.harness.clients.http.MAX_BODY", 10)
    with client(serve(always(answer(b"x" * 10))), memory) as ann:
        assert ann.get("/").ok
    with client(serve(always(answer(b"x" * 11))), memory) as ann:
        got = ann.get("/")
    assert (got.error, got.status) == ("malformed", 200) and "more than 10 bytes" in got.received.detail


def test_an_answer_before_the_whole_body_was_sent_is_read(serve, memory):
    def handler(peer):
        peer.request()
        peer.send(answer(b"too large", "Connection: close", status="413 Content Too Large"))

    with client(serve(handler), memory) as ann:
        got = ann.post("/", b"x" * 4_000_000)
    assert (
        got.status == 413 or got.error == "reset"
    )  # a reset may overtake the answer: the kernel drops what was unread


def test_close_delimited_body(serve, memory):
    with client(serve(once(b"HTTP/1.0 200 OK\r\n\r\nall of it")), memory) as ann:
        assert ann.get("/").body == b"all of it"


def test_request_bodies(serve, memory):
    got = []

    def handler(peer):
        while (request := peer.request()) is not None:
            if any(line.lower() == "transfer-encoding: chunked" for line in request[0]):
                while not peer.pending.endswith(b"0\r\n\r\n"):
                    peer.pending += peer.sock.recv(65536)
                got.append(peer.pending)
                peer.pending = b""
            else:
                got.append(request[1])
            peer.send(answer())

    with client(serve(handler), memory) as ann:
        exchanges = [ann.post("/", b"abcd"), ann.put("/", b"abcd", chunked=True), ann.post("/")]
    assert got == [b"abcd", b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", b""]
    assert [dict(x.sent.headers).get("Content-Length") for x in exchanges] == ["4", None, "0"]


def test_timeout_bounds_the_whole_exchange_even_when_bytes_trickle(serve, memory):
    stop = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            peer.send(b"x")

    server = serve(handler)
    begun = time.monotonic()
    with client(server, memory, timeout=0.3) as ann:
        got = ann.get("/")
    stop.set()
    assert got.error == "timeout" and got.status == 200
    assert 0.25 < time.monotonic() - begun < 4.5


def test_silent_server_times_out(serve, memory):
    release = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(answer())
        peer.request()
        release.wait(10)

    server = serve(handler)
    with client(server, memory, timeout=30) as ann:
        assert ann.get("/").ok
        begun = time.monotonic()
        assert ann.request("GET", "/", timeout=0.1).error == "timeout"
        assert time.monotonic() - begun < 9
    release.set()


def test_refused_is_sent_without_port_and_received_as_refused(memory, closed_port):
    with HttpClient(Endpoint("127.0.0.1", closed_port), memory, name="ann", source="127.131.0.9") as ann:
        got = [ann.get("/"), ann.get("/")]
    assert [x.error for x in got] == ["refused", "refused"]
    assert got[0].sent.port == 0 and got[0].sent.source == "127.131.0.9"
    assert ("Limpet-Request", got[0].id) in got[0].sent.headers
    assert got[0].connection != got[1].connection


def test_local_problems_are_setup_faults(memory, serve):
    server = serve(always(answer()))
    with client(server, memory, source="192.0.2.1") as ann, pytest.raises(SetupFault, match=r"not one of this machine"):
        ann.get("/")
    assert memory.records == []


@pytest.mark.parametrize(
    "bad", [{"headers": [("Cookie", "a"), ("Cookie", "b")]}, {"headers": [("X", "a\nb")]}, {"path": "/a b"}]
)
def test_what_needs_the_raw_client_is_refused(memory, serve, bad):
    with client(serve(always(answer())), memory) as ann, pytest.raises(HarnessFault, match="RawConnection"):
        ann.request(**{"method": "GET", "path": "/", **bad})
    assert memory.records == []


def test_together_with_another(serve, memory):
    server = serve(always(answer()))
    jar = FakeJar("s=1")
    ann = client(server, memory, jar=jar, source="127.131.0.7")
    clients = [ann, *(ann.another() for _ in range(4))]
    got = together([partial(each.get, "/") for each in clients])
    for each in clients:
        each.close()
    assert all(x.ok and x.sent.client == "ann" and x.sent.source == "127.131.0.7" for x in got)
    assert len({x.connection for x in got}) == len({x.id for x in got}) == 5


def test_together_keeps_order_and_raises_the_first_fault():
    assert together([partial(pow, n, 2) for n in range(20)]) == [n * n for n in range(20)]
    assert together([]) == []

    def fail():
        raise SetupFault("no")

    with pytest.raises(SetupFault):
        together([lambda: 1, fail])


def test_truly_at_once():
    inside = threading.Barrier(8)
    assert together([lambda: inside.wait(5) >= 0] * 8) == [True] * 8
