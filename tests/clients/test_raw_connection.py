from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limpet_client_servers import always, answer

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.raw import RawConnection
from limpet.harness.clients.wire import Malformed, ResponseParser
from limpet.harness.model.errors import HarnessFault


def test_exact_bytes(serve, memory):
    server = serve(always(answer()))
    with RawConnection(server.endpoint, memory, source="127.131.0.3", timeout=5) as raw:
        got = raw.request("ann", "GET", "/a", [("cookie", "a=1"), (b"Cookie", b"b=\xff\x01"), ("COOKIE", "a=1")])
    assert got.ok and got.backend == "b1" and server.peers[0].address[0] == "127.131.0.3"
    assert server.seen[0][1] == [
        "GET /a HTTP/1.1", f"Host: {server.endpoint.authority}", "cookie: a=1", "Cookie: b=\xff\x01", "COOKIE: a=1",
        f"Limpet-Request: {got.id}",
    ]  # fmt: skip
    assert [f"{k}: {v}" for k, v in got.sent.headers] == server.seen[0][1][1:]
    assert (got.sent.method, got.sent.path, got.sent.source) == ("GET", "/a", "127.131.0.3")


def test_the_first_request_counts_as_sent_when_its_connection_was_begun(serve, memory, note_returns):
    server, opened = serve(always(answer())), note_returns("limpet.harness.clients.raw.open_stream")
    with RawConnection(server.endpoint, memory, timeout=5) as raw:
        first, second = raw.request("ann", "GET", "/"), raw.request("ann", "GET", "/")
    assert first.sent.t < opened[0] < second.sent.t and len(opened) == 1


def test_two_clients_on_one_connection_and_pipelining(serve, memory):
    counter = iter(range(100))

    def handler(peer):
        while peer.request() is not None:
            n = next(counter)
            peer.send(answer(b"x" * n, backend=f"b{n}"))

    server = serve(handler)
    with RawConnection(server.endpoint, memory, timeout=5) as raw:
        one, two = raw.request("ann", "GET", "/"), raw.request("ben", "GET", "/")
        ids = [raw.send([b"GET /%d HTTP/1.1" % n, b"Host: x"], client="ann") for n in range(5)]
        piped = [raw.receive() for _ in ids]
        with pytest.raises(HarnessFault):
            raw.receive()
    assert [one.sent.client, two.sent.client] == ["ann", "ben"] and one.connection == two.connection
    assert [x.id for x in piped] == ids and [x.backend for x in piped] == [f"b{n}" for n in range(2, 7)]
    assert [x.body for x in piped] == [b"x" * n for n in range(2, 7)]
    assert len(server.peers) == 1


def test_head_http10_and_body(serve, memory):
    def handler(peer):
        while (got := peer.request()) is not None:
            if got[0][0].startswith("HEAD"):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            elif "HTTP/1.0" in got[0][0]:
                peer.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
                return
            else:
                peer.send(answer(got[1]))

    with RawConnection(serve(handler).endpoint, memory, timeout=5) as raw:
        head = raw.request("ann", "HEAD", "/")
        post = raw.request("ann", "POST", "/", body=b"data")
        old = raw.request("ann", "GET", "/", version="HTTP/1.0", bare=True)
    assert (head.status, head.body, post.body, old.body) == (200, b"", b"data", b"until the end")
    assert [name for name, _ in old.sent.headers] == ["Limpet-Request"]


def politely(data):
    """Sends, closes with FIN and reads on: unread requests would turn the close into a reset."""

    def handler(peer):
        peer.request()
        peer.send(data)
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65536):
            pass

    return handler


def test_errors(serve, memory, closed_port):
    def resetting(peer):
        peer.request()
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    hold = threading.Event()
    cases = {
        "closed": serve(politely(b"")).endpoint,
        "malformed": serve(politely(b"SSH-2.0-OpenSSH\r\n")).endpoint,
        "reset": serve(resetting).endpoint,
        "refused": Endpoint("127.0.0.1", closed_port),
        "timeout": serve(lambda peer: (peer.request(), hold.wait(10))[0]).endpoint,
    }
    for expected, endpoint in cases.items():
        with RawConnection(endpoint, memory, timeout=0.3 if expected == "timeout" else 5) as raw:
            raw.send([b"GET / HTTP/1.1", b"Host: x"], client="ann")
            raw.send([b"GET / HTTP/1.1", b"Host: x"], client="ann")
            first, second = raw.receive(), raw.receive()
        assert first.error == expected and first.received.detail
        assert second.error  # never taken for the answer of another
        assert (first.sent.port == 0) is (expected == "refused")
    hold.set()


def test_a_late_answer_is_not_taken_for_the_next_ones(serve, memory):
    late = threading.Event()

    def handler(peer):
        peer.request()
        late.wait(10)
        always(answer(backend="late"))(peer)

    with RawConnection(serve(handler).endpoint, memory, timeout=5) as raw:
        for _ in range(2):
            raw.send([b"GET / HTTP/1.1", b"Host: x"], client="ann")
        assert raw.receive(0.05).error == "timeout"
        late.set()
        second = raw.receive()
    assert second.error == "timeout" and second.backend == ""


def test_closing_is_under_control(serve, memory):
    ends = []
    done = threading.Semaphore(0)

    def handler(peer):
        peer.request()
        try:
            ends.append(peer.sock.recv(1))
        except ConnectionResetError:
            ends.append("reset")
        if len(ends) == 1:
            peer.send(answer(b"after the half close"))
        done.release()

    server = serve(handler)
    with RawConnection(server.endpoint, memory, timeout=5) as raw:
        raw.send([b"GET / HTTP/1.1"], client="ann")
        assert raw.wait_closed(0.01) == "open"
        raw.half_close()
        assert raw.wait_closed(5) == "closed"
        assert raw.receive().body == b"after the half close"
    for how in ("close", "reset"):
        raw = RawConnection(server.endpoint, memory, timeout=5)
        raw.send([b"GET / HTTP/1.1"], client="ann")
        getattr(raw, how)()
    for _ in range(3):
        assert done.acquire(timeout=5)
    assert ends[0] == b"" and sorted(map(str, ends[1:])) == ["b''", "reset"]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CORPUS = [
    (answer(b"hello", "Set-Cookie: a=1", "Set-Cookie: b=2"), b"hello"),
    (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + CHUNKED + b"3\r\nabc\r\n0\r\nT: x\r\n\r\n", b"abc"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 200\r\nContent-Length: 2, 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
]


@given(st.sampled_from(CORPUS), st.lists(st.integers(1, 40), min_size=1))
def test_parser_does_not_care_how_bytes_are_cut(case, cuts):
    data, body = case
    parser, at = ResponseParser(), 0
    wire = data + b"HTTP/1.1 next"
    for size in [*cuts, len(wire)]:
        if parser.done:
            break
        parser.feed(wire[at : at + size])
        at += size
    assert parser.done and parser.body == body and parser.status in (200, 204)
    assert parser.rest + wire[at:] == b"HTTP/1.1 next"
    assert parser.keep_alive


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED]))
def test_parser_meets_any_bytes_with_its_own_errors_only(data, start):
    parser = ResponseParser()
    try:
        parser.feed(start + data)
        parser.eof()
    except (Malformed, EOFError):
        return
    assert parser.done


@pytest.mark.parametrize(
    "lines",
    [b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: -1", b"Content-Length: x", b"Bad Name: 1", b": 1"],
)
def test_parser_refuses(lines):
    with pytest.raises(Malformed):
        ResponseParser().feed(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n")
