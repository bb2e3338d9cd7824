"""What a backend says on connections that stay: WebSockets and event streams."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.backends.websocket import BadFrame, FrameReader, accept
from limpet.harness.clients import Endpoint, RawConnection, WebSocket
from limpet.harness.clients.websocket import handshake_headers
from limpet.harness.model.history import Record
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

PATIENCE = 30.0


class Forgetful:
    """A recorder that keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, record: Record) -> None:
        pass

    def offset(self) -> float:
        return 0.0

    def request_id(self) -> str:
        self.count += 1
        return f"r{self.count}"


@pytest.fixture(scope="module")
def backend(keeper: Keeper, lease: LoopbackLease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Fleet(keeper, tmp_path_factory.mktemp("upgrades"), lease) as fleet:
        yield fleet.start("b1")


@pytest.fixture
def connection(backend: Backend) -> Iterator[RawConnection]:
    with RawConnection(Endpoint(backend.host, backend.port), Forgetful(), timeout=PATIENCE) as one:
        yield one


def test_the_accept_value_of_the_standards_example() -> None:
    assert accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_each_message_is_answered_with_who_it_is(backend: Backend, connection: RawConnection) -> None:
    wishes = (*handshake_headers(), ("Limpet-Set-Cookie", "S={session}; Path=/"))
    socket_ = WebSocket(connection, connection.request("ann", "GET", "/chat", wishes))
    assert socket_.agreed and socket_.opened.backend == "b1"
    assert socket_.opened.set_cookies[0].startswith("S=") and socket_.opened.header("Limpet-Request") == "r1"
    for text in ("one", "x" * 200, "y" * 60_000):
        backend_name, instance, said = socket_.ask(text, PATIENCE).split(" ")
        assert (backend_name, instance, said) == ("b1", socket_.opened.instance, text)
    socket_.close()
    assert [each.path for each in backend.arrived()][-1] == "/chat"


def test_no_handshake_no_upgrade(connection: RawConnection) -> None:
    wishes = [each for each in handshake_headers() if each[0] != "Sec-WebSocket-Key"]
    assert connection.request("ann", "GET", "/", wishes).status == 200
    assert connection.request("ann", "GET", "/").status == 200


def test_events_come_one_by_one(backend: Backend) -> None:
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as peer:
        begun = time.monotonic()
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nLimpet-Events: 3\r\nLimpet-Pause: 0.2\r\n\r\n")
        seen = b""
        while b"id: 0" not in seen:
            seen += peer.recv(65536)
        assert b"id: 2" not in seen and b"text/event-stream" in seen
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            seen += peer.recv(65536)
        assert time.monotonic() - begun >= 0.4
        assert seen.count(b"data: b1 ") == 3
        peer.sendall(b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_events_for_a_proxy_that_speaks_http_1_0_end_with_the_connection(backend: Backend) -> None:
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as peer:
        peer.sendall(b"GET / HTTP/1.0\r\nLimpet-Events: 3\r\nLimpet-Pause: 0.05\r\n\r\n")
        seen = b""
        while piece := peer.recv(65536):
            seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"text/event-stream" in head and b"Connection: close" in head and b"chunked" not in head
    assert body.startswith(b"id: 0\ndata: b1 ") and body.count(b"data: b1 ") == 3


def test_frames_in_pieces_and_bad_ones() -> None:
    frame = b"\x81\x85\x01\x02\x03\x04" + bytes(a ^ b for a, b in zip(b"hello", b"\1\2\3\4\1", strict=True))
    reader = FrameReader()
    found = [each.payload for byte in frame * 2 for each in reader.feed(bytes([byte]))]
    assert found == [b"hello", b"hello"]
    for wrong in (b"\x01\x80", b"\x81\x05", b"\x81\xff" + b"\xff" * 8):
        with pytest.raises(BadFrame):
            list(FrameReader().feed(wrong))
