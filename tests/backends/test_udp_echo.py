from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet

PATIENCE = 30.0
SILENCE = 0.2


@contextmanager
def asking(backend: Backend, timeout: float = PATIENCE) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((backend.host, backend.port))
        yield client


def ask(backend: Backend, line: bytes = b"LIMPET x\n", timeout: float = PATIENCE) -> bytes:
    with asking(backend, timeout) as client:
        client.send(line)
        return client.recv(4096)


def test_datagrams_are_answered_and_recorded_with_the_clients_address(fleet: Fleet) -> None:
    backend = fleet.start("u1", protocol="udp")
    with asking(backend) as client:
        host, port = client.getsockname()
        begun = time.monotonic()
        client.send(b"LIMPET a hold=0.2\n")
        client.send(b"LIMPET b")
        got = [client.recv(4096).decode() for _ in range(2)]
        assert time.monotonic() - begun >= 0.2
    assert got == [f"LIMPET {id} u1 {backend.instance} {host}:{port}\n" for id in "ba"], "none waits for another"
    arrived = backend.arrived()
    assert [(one.id, one.peer, one.method) for one in arrived] == [(id, f"{host}:{port}", "UDP") for id in "ab"]
    assert len({one.connection for one in arrived}) == 1


def test_tcp_at_the_same_port_says_that_it_lives(fleet: Fleet) -> None:
    backend = fleet.start("u2", protocol="udp")
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        client.sendall(b"LIMPET a\n")
        assert client.recv(4096).startswith(b"LIMPET a u2 ")


@pytest.mark.parametrize("line", [b"", b"HELLO", b"LIMPET", b"LIMPET a hold=x", b"LIMPET a\nLIMPET b\n", b"x" * 5000])
def test_anything_else_is_refused_and_not_recorded(fleet: Fleet, line: bytes) -> None:
    backend = fleet.start("u3", protocol="udp")
    assert ask(backend, line).startswith(b"LIMPET-ERROR ")
    assert backend.arrived() == []


def test_a_dead_one_refuses_and_a_new_one_answers(fleet: Fleet) -> None:
    backend = fleet.start("u4", protocol="udp")
    before = backend.instance
    backend.kill()
    with pytest.raises(ConnectionRefusedError):
        ask(backend)
    backend.revive()
    assert backend.instance != before
    assert ask(backend).startswith(f"LIMPET x u4 {backend.instance} ".encode())


def test_faults(fleet: Fleet) -> None:
    backend = fleet.start("u5", protocol="udp")
    backend.blackhole()
    with pytest.raises(TimeoutError):
        ask(backend, timeout=SILENCE)
    backend.reset()
    with pytest.raises(ConnectionRefusedError):
        ask(backend)
    backend.normal()
    assert ask(backend, b"LIMPET y\n").startswith(b"LIMPET y u5 ")
    backend.slow(0.2)
    begun = time.monotonic()
    assert ask(backend, b"LIMPET z\n").startswith(b"LIMPET z u5 ")
    assert time.monotonic() - begun >= 0.2
    assert [one.id for one in backend.arrived()] == ["y", "z"], "what was dropped was not received"


def test_another_backend_owes_the_former_ones_clients_nothing(fleet: Fleet) -> None:
    backend = fleet.start("u6", protocol="udp")
    with asking(backend, SILENCE) as client:
        client.send(b"LIMPET a hold=0.1\n")
        client.send(b"LIMPET b\n")
        assert client.recv(4096).startswith(b"LIMPET b ")
        backend.begin_anew()
        with pytest.raises(TimeoutError):
            client.recv(4096)
    assert backend.arrived() == []
    assert ask(backend).split()[3] == backend.instance.encode()
