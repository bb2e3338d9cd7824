from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.udp import UdpClient
from limpet.harness.model.errors import SetupFault

Answer = Callable[[bytes, tuple[str, int]], list[bytes]]


class Server:
    """Answers datagrams in a thread."""

    def __init__(self, answer: Answer) -> None:
        self.seen: list[tuple[bytes, tuple[str, int]]] = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(0.05)
        self.endpoint = Endpoint("127.0.0.1", self.sock.getsockname()[1], "udp")
        self._answer, self._over = answer, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                data, peer = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            self.seen.append((data, peer))
            for each in self._answer(data, peer):
                self.sock.sendto(each, peer)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.sock.close()


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def make(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def echo(data: bytes, peer: tuple[str, int]) -> list[bytes]:
    return [f"LIMPET {data.decode().split()[1]} b1 i1 {peer[0]}:{peer[1]}\n".encode()]


def test_kept_and_new_sockets_from_an_address_of_its_own(answering, memory):
    server = answering(echo)
    with UdpClient(server.endpoint, memory, name="ann", source="127.131.1.4") as ann:
        one, two = ann.ask(), ann.ask(hold=0.5)
        ann.close()
        three = ann.ask()
    assert [each.backend for each in (one, two, three)] == ["b1"] * 3 and one.ok
    assert one.connection == two.connection != three.connection
    assert one.header("Peer") == f"127.131.1.4:{one.sent.port}"
    assert (one.sent.method, one.sent.path, one.status, one.instance) == ("UDP", "", 0, "i1")
    assert [data.split() for data, _ in server.seen][1] == [b"LIMPET", two.id.encode(), b"hold=0.5"]
    assert {peer[0] for _, peer in server.seen} == {"127.131.1.4"}
    with UdpClient(server.endpoint, memory, name="ben", keep=False) as ben:
        assert len({ben.ask().connection for _ in range(3)}) == 3


def test_the_port_can_be_chosen_or_stay_the_same(answering, memory):
    server = answering(echo)
    with UdpClient(server.endpoint, memory, name="ann", source="127.131.1.5", same_port=True) as ann:
        first = ann.ask().sent.port
        ann.close()
        assert ann.ask().sent.port == first
    with UdpClient(server.endpoint, memory, name="ben", source="127.131.1.5", source_port=first) as ben:
        assert ben.ask().sent.port == first
        with pytest.raises(SetupFault, match="the port is in use"):
            UdpClient(server.endpoint, memory, name="eve", source="127.131.1.5", source_port=first).ask()
    with pytest.raises(SetupFault):
        UdpClient(server.endpoint, memory, name="eve", source="192.0.2.1").ask()


def test_a_lost_answer_is_an_error_at_its_deadline_and_a_late_one_is_nobodys(answering, memory):
    said: list[bytes] = []

    def late(data: bytes, peer: tuple[str, int]) -> list[bytes]:
        said.extend(echo(data, peer))
        return [] if len(said) == 1 else list(said)  # the first answer comes with the second

    server = answering(late)
    with UdpClient(server.endpoint, memory, name="ann", timeout=0.3) as ann:
        begun = time.monotonic()
        lost = ann.ask()
        assert lost.error == "timeout" and not lost.ok and lost.backend == "" and time.monotonic() - begun >= 0.3
        ann.timeout = 10.0
        found = ann.ask()
        assert found.ok and found.id != lost.id
    assert len(memory.received) == 2


@pytest.mark.parametrize("reply", [b"", b"LIMPET r1 b1\n", b"LIMPET-ERROR expected\n", b"\xff\x00"])
def test_bad_answers(answering, memory, reply):
    with UdpClient(answering(lambda *_: [reply]).endpoint, memory, name="ann") as ann:
        got = ann.ask()
    assert got.error == "malformed" and got.backend == ""


def test_nobody_there_is_told_by_the_kernel_each_time(memory, closed_port):
    with UdpClient(Endpoint("127.0.0.1", closed_port, "udp"), memory, name="ann", source="127.131.1.6") as ann:
        assert [ann.ask().error for _ in range(3)] == ["refused"] * 3
