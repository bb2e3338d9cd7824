"""PROXY headers, requests in one piece, HTTP/2."""

from __future__ import annotations

import threading
from dataclasses import replace

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from limpet_client_servers import always, answer, once

from limpet.harness.clients import HttpClient, RawConnection, run_bulk
from limpet.harness.clients.bulk_plan import BulkPlan
from limpet.harness.clients.http2 import Ask, Http2Client
from limpet.harness.clients.proxy_header import proxy_header


def test_proxy_headers_are_as_specified():
    v1 = proxy_header("v1", ("192.0.2.1", 4711), ("127.0.0.1", 80))
    assert v1 == b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n"
    v2 = proxy_header("v2", ("192.0.2.1", 4711), ("127.0.0.1", 80))
    assert v2.hex(" ") == "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11 00 0c c0 00 02 01 7f 00 00 01 12 67 00 50"
    mixed = proxy_header("v1", ("192.0.2.1", 1), ("::1", 2))
    assert mixed.startswith(b"PROXY TCP6 ::ffff:") and mixed.count(b" ") == 5
    assert len(proxy_header("v2", ("2001:db8::1", 1), ("::1", 2))) == 16 + 36


def test_every_client_begins_with_the_header(serve, memory):
    lines = []

    def handler(peer):
        while not peer.pending.endswith(b"\r\n"):
            peer.pending += peer.sock.recv(1)
        lines.append(peer.pending.decode().split(" "))
        peer.pending = b""
        always(answer())(peer)

    endpoint = replace(serve(handler).endpoint, proxy_protocol="v1")
    with HttpClient(endpoint, memory, name="ann", source="127.131.1.1", timeout=5) as ann:
        assert ann.get("/").ok
    with RawConnection(endpoint, memory, source="127.131.1.2", carried="192.0.2.1", timeout=5) as raw:
        assert raw.request("ben", "GET", "/").sent.carried == "192.0.2.1"
    assert run_bulk(endpoint, memory, [BulkPlan("c", source="127.131.1.3", requests=1)], timeout=5)[0].error == ""
    assert [line[2] for line in lines] == ["127.131.1.1", "192.0.2.1", "127.131.1.3"]


def test_requests_kept_for_later_travel_with_the_next_one(serve, memory):
    pieces = []

    def handler(peer):
        peer.pending = peer.sock.recv(65536)
        pieces.append(peer.pending.count(b"\r\n\r\n"))
        always(answer())(peer)

    with RawConnection(serve(handler).endpoint, memory, timeout=5) as raw:
        for number in range(3):
            raw.send([b"GET / HTTP/1.1", b"Host: x"], client="ann", later=number < 2)
        assert [raw.receive().ok for _ in range(3)] == [True] * 3
    assert pieces == [3]


def h2_server(answers):
    """Answers each connection's requests, all at once and last one first, by `answers(wire, stream, headers)`."""

    def handler(peer):
        wire = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        wire.initiate_connection()
        peer.send(wire.data_to_send())
        while data := peer.sock.recv(65536):
            events = [event for event in wire.receive_data(data) if isinstance(event, RequestReceived)]
            for event in reversed(events):
                answers(wire, event.stream_id, dict(event.headers))
            peer.send(wire.data_to_send())

    return handler


def test_streams_are_told_apart(serve, memory):
    def answers(wire, stream, headers):
        wire.send_headers(stream, [(":status", "200"), ("limpet-backend", headers[":path"][1:])])
        wire.send_data(stream, headers["x-who"].encode(), end_stream=True)

    endpoint = serve(h2_server(answers)).endpoint
    with Http2Client(endpoint, memory, way="prior-knowledge", timeout=5) as client:
        assert client.open() == ""
        asks = [Ask(f"user{n}", "GET", f"/b{n}", (("X-Who", f"user{n}"), ("Connection", "close"))) for n in range(4)]
        found = client.ask(asks) + client.ask(asks[:1])
    assert [each.backend for each in found] == ["b0", "b1", "b2", "b3", "b0"]
    assert [each.body.decode() for each in found] == [each.sent.client for each in found]
    assert len({each.connection for each in found}) == 1 and len({each.id for each in found}) == 5


def test_what_goes_wrong_is_recorded_for_each_stream(serve, memory):
    def answers(wire, stream, headers):
        if headers[":path"] == "/reset":
            wire.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        elif headers[":path"] == "/leave":
            wire.close_connection()
        else:
            wire.send_headers(stream, [(":status", "204")], end_stream=True)

    endpoint = serve(h2_server(answers)).endpoint
    with Http2Client(endpoint, memory, way="prior-knowledge", timeout=5) as client:
        assert client.open() == ""
        good, reset = client.ask([Ask("a", "GET", "/"), Ask("b", "GET", "/reset")])
        assert (good.status, good.error, reset.error) == (204, "", "reset")
        assert [each.error for each in client.ask([Ask("a", "GET", "/leave")])] == ["closed"]
    plain = serve(once(answer()))
    with Http2Client(plain.endpoint, memory, way="prior-knowledge", timeout=5) as client:
        assert client.open() == ""
        assert client.ask([Ask("a", "GET", "/")])[0].error in ("malformed", "closed")
    assert len(memory.sent) == len(memory.received) == 4


def test_nothing_comes_for_ever_is_a_timeout(serve, memory):
    done = threading.Event()
    silent = serve(lambda peer: done.wait(10))
    with Http2Client(silent.endpoint, memory, way="prior-knowledge", timeout=0.3) as client:
        assert client.open() == ""
        assert client.ask([Ask("a", "GET", "/")])[0].error == "timeout"
    done.set()
