from __future__ import annotations

import socket
import time

import pytest

from limpet.harness.backends.fleet import Fleet
from limpet.harness.model.errors import SetupFault

PATIENCE = 30.0


def test_lines_are_answered_in_order_and_recorded(fleet: Fleet) -> None:
    backend = fleet.start("t1", protocol="tcp")
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        begun = time.monotonic()
        client.sendall(b"LIMPET a hold=0.1\nLIMPET b\nLIM")
        client.sendall(b"PET c\r\n")
        lines = client.makefile("rb")
        got = [lines.readline().decode() for _ in range(3)]
        assert time.monotonic() - begun >= 0.1
        host, port = client.getsockname()
    assert got == [f"LIMPET {id} t1 {backend.instance} {host}:{port}\n" for id in "abc"]
    arrived = backend.arrived()
    assert [(one.id, one.peer, one.method) for one in arrived] == [(id, f"{host}:{port}", "TCP") for id in "abc"]
    assert len({one.connection for one in arrived}) == 1


@pytest.mark.parametrize("line", [b"HELLO\n", b"LIMPET\n", b"LIMPET \n", b"LIMPET a hold=x\n", b"x" * 5000])
def test_anything_else_is_refused_and_not_recorded(fleet: Fleet, line: bytes) -> None:
    backend = fleet.start("t2", protocol="tcp")
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        client.sendall(line)
        assert client.makefile("rb").read().startswith(b"LIMPET-ERROR ")
    assert backend.arrived() == []


def test_faults_of_http_are_refused_below_it(fleet: Fleet) -> None:
    backend = fleet.start("t3", protocol="tcp")
    with pytest.raises(SetupFault, match="fault of HTTP"):
        backend.status(500)


def test_slow_delays_the_echo(fleet: Fleet) -> None:
    backend = fleet.start("t4", protocol="tcp")
    backend.slow(0.1)
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        begun = time.monotonic()
        client.sendall(b"LIMPET a\n")
        assert client.recv(100).startswith(b"LIMPET a t4 ")
        assert time.monotonic() - begun >= 0.1
