from __future__ import annotations

import socket
import struct
import threading
import time

import pytest
from limpet_client_servers import Peer

from limpet.harness.clients import sockets
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sockets import bound_socket
from limpet.harness.clients.tcp import TcpClient
from limpet.harness.model.errors import SetupFault


def echo(peer: Peer) -> None:
    with peer.sock.makefile("rb") as lines:
        for line in lines:
            words = line.decode().split()
            peer.server.seen.append((peer.number, words))
            peer.send(f"LIMPET {words[1]} b{peer.number} i1 {peer.address[0]}:{peer.address[1]}\n".encode())


def test_kept_and_new_connections(serve, memory):
    server = serve(echo)
    with TcpClient(server.endpoint, memory, name="ann", source="127.131.0.4", timeout=5) as ann:
        assert ann.connect() == ""
        one, two = ann.ask(), ann.ask(hold=0.5)
        ann.close()
        three = ann.ask()
    assert [x.backend for x in (one, two, three)] == ["b0", "b0", "b1"] and one.ok
    assert one.connection == two.connection != three.connection
    assert one.header("Peer") == f"127.131.0.4:{one.sent.port}"
    assert (one.sent.method, one.sent.path, one.status) == ("TCP", "", 0)
    assert server.seen[1][1] == ["LIMPET", two.id, "hold=0.5"]
    with TcpClient(server.endpoint, memory, name="ben", keep=False, timeout=5) as ben:
        assert len({ben.ask().connection for _ in range(3)}) == 3


def test_fixed_source_port(serve, memory, closed_port):
    server = serve(echo)
    ann = TcpClient(server.endpoint, memory, name="ann", source="127.131.0.5", source_port=closed_port, timeout=5)
    ports = []
    for _ in range(3):
        ports.append(ann.ask().sent.port)
        ann.reset()
    assert ports == [closed_port] * 3


def test_the_first_port_can_be_kept_for_every_connection(serve, memory):
    server = serve(echo)
    with TcpClient(server.endpoint, memory, name="ann", source="127.131.0.7", same_port=True, timeout=5) as ann:
        asked = []
        for _ in range(3):
            asked.append(ann.ask())
            ann.close()
    assert [each.error for each in asked] == [""] * 3
    assert len({each.connection for each in asked}) == 3 and len({each.sent.port for each in asked}) == 1


def test_nobody_else_gets_a_kept_port_between_two_connections(serve, memory):
    server = serve(echo)
    ann = TcpClient(server.endpoint, memory, name="ann", source="127.131.0.8", same_port=True, timeout=5)
    port = ann.ask().sent.port
    ann.close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.131.0.8", port))
    assert ann.ask().sent.port == port
    ann.close()
    del ann
    with socket.socket() as other:
        other.bind(("127.131.0.8", port))  # with its user the port is gone too


@pytest.mark.parametrize(
    ("reply", "error"),
    [(b"", "closed"), (b"LIMPET r1 b", "closed"), (b"LIMPET other b1 i1 p\n", "malformed"), (b"x" * 5000, "malformed")],
)
def test_bad_answers(serve, memory, reply, error):
    server = serve(lambda peer: (peer.sock.recv(100), peer.send(reply))[0])
    with TcpClient(server.endpoint, memory, name="ann", timeout=5) as ann:
        got = ann.ask()
    assert got.error == error and not got.ok and got.backend == ""


def test_reset_timeout_refused(serve, memory, closed_port):
    def resetting(peer):
        peer.sock.recv(100)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    hold = threading.Event()
    silent = serve(lambda peer: hold.wait(10) and None)
    assert TcpClient(serve(resetting).endpoint, memory, name="a", timeout=5).ask().error == "reset"
    assert TcpClient(silent.endpoint, memory, name="a", timeout=0.2).ask().error == "timeout"
    hold.set()
    gone = TcpClient(Endpoint("127.0.0.1", closed_port, "tcp"), memory, name="a", timeout=5)
    assert gone.connect() == "refused" and gone.ask().error == "refused"
    with pytest.raises(SetupFault):
        TcpClient(silent.endpoint, memory, name="a", source="192.0.2.1").ask()


def test_the_first_line_counts_from_the_connect_and_later_ones_from_their_sending(serve, memory):
    with TcpClient(serve(echo).endpoint, memory, name="ann", timeout=5) as ann:
        before = time.monotonic()
        assert ann.connect() == ""
        connected = time.monotonic()
        assert before <= ann.ask().sent.t <= connected < ann.ask().sent.t


def test_binding_a_source_takes_no_port_before_the_connect():
    sock, _ = bound_socket(socket.socket, Endpoint("127.0.0.1", 9), "127.131.0.6")
    with sock:
        assert sock.getsockname() == ("127.131.0.6", 0)


def test_a_port_that_a_child_still_holds_a_copy_of_is_had_as_soon_as_it_lets_go(serve, memory):
    server = serve(echo)
    # An address that nobody else has: without one the port has to be free at each address of this machine.
    with TcpClient(server.endpoint, memory, name="a", source="127.128.0.21", same_port=True) as client:
        port = client.ask().sent.port
        assert client._sock is not None
        copy = client._sock.dup()  # as whatever is forked at this moment has until it runs its program
        release = threading.Timer(0.3, copy.close)
        release.start()
        client.close()
        again = client.ask()
        release.join()
    assert not again.error and again.sent.port == port


def test_the_time_until_a_port_is_free_is_not_taken_from_the_balancer(serve, memory):
    server = serve(echo)
    with TcpClient(server.endpoint, memory, name="a", source="127.128.0.22", same_port=True, timeout=1.0) as client:
        client.ask()
        assert client._sock is not None
        copy = client._sock.dup()
        release = threading.Timer(1.2, copy.close)  # when all of the time for the next exchange has passed
        release.start()
        client.close()
        again = client.ask()
        release.join()
    assert not again.error


def test_a_port_that_is_taken_for_good_is_this_machines_fault(serve, memory, monkeypatch):
    monkeypatch.setattr(sockets, "LETS_GO", 0.1)
    server = serve(echo)
    with socket.socket() as other:
        other.bind(("127.128.0.9", 0))
        client = TcpClient(server.endpoint, memory, name="a", source="127.128.0.9", source_port=other.getsockname()[1])
        with pytest.raises(SetupFault, match="in use"):
            client.ask()
