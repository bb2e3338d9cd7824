from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

PATIENCE = 30.0
SHORT = 0.3  # long enough for an answer that should not come to show itself now and then; never the reason of a pass
REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module", params=["http", "tcp"])
def shared(
    request: pytest.FixtureRequest,
    keeper: Keeper,
    lease: LoopbackLease,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backend]:
    with Fleet(keeper, tmp_path_factory.mktemp("fleet"), lease) as fleet:
        yield fleet.start("f1", protocol=request.param)


@pytest.fixture
def backend(shared: Backend) -> Iterator[Backend]:
    yield shared
    shared.revive()


def connect(backend: Backend, timeout: float = PATIENCE) -> socket.socket:
    return socket.create_connection((backend.host, backend.port), timeout=timeout)


def ask(client: socket.socket, backend: Backend) -> str:
    """The first line of the answer, or how there was none: EOF, RST, silence."""
    try:
        client.sendall(REQUEST if backend.protocol == "http" else b"LIMPET x\n")
        received = b""
        while not received.endswith((b"}", b"\n")):
            part = client.recv(65536)
            if not part:
                return "EOF"
            received += part
    except ConnectionResetError:
        return "RST"
    except BrokenPipeError:
        return "RST"
    except TimeoutError:
        return "silence"
    return received.split(b"\r\n")[0].decode().strip()


def visit(backend: Backend) -> str:
    """As `ask`, on a new connection; a reset may already come while it connects."""
    try:
        with connect(backend) as client:
            return ask(client, backend)
    except ConnectionResetError:
        return "RST"


def good(answer: str) -> bool:
    return answer == "HTTP/1.1 200 OK" or answer.startswith("LIMPET x f1 ")


def test_killed_ports_refuse_and_kept_connections_end(backend: Backend) -> None:
    first = backend.instance
    with connect(backend) as kept:
        assert good(ask(kept, backend))
        backend.kill()
        assert not backend.alive
        assert kept.recv(10) == b"", "a killed process's idle connection ends with FIN"
    with pytest.raises(ConnectionRefusedError):
        connect(backend)
    with pytest.raises(SetupFault, match="dead"):
        backend.reset()
    backend.revive()
    assert good(visit(backend))
    assert backend.instance != first


def test_hang_accepts_and_is_silent_and_revive_answers_what_waited(backend: Backend) -> None:
    first = backend.instance
    backend.hang()
    with connect(backend) as client:
        client.settimeout(SHORT)
        assert ask(client, backend) == "silence"
        with pytest.raises(SetupFault, match="hangs"):
            backend.slow(1)
        backend.revive()
        client.settimeout(PATIENCE)
        assert client.recv(100).startswith((b"HTTP/1.1 200", b"LIMPET x"))
    assert backend.instance == first


def test_a_hung_backend_can_be_killed(backend: Backend) -> None:
    backend.hang()
    backend.kill()
    with pytest.raises(ConnectionRefusedError):
        connect(backend)


def test_reset_kills_open_connections_at_once_and_new_ones(backend: Backend) -> None:
    with connect(backend) as idle, connect(backend) as used:
        assert good(ask(used, backend))
        # Both are known to the backend, not only to its kernel, when it answers on a later connection.
        assert good(visit(backend))
        backend.reset()
        for client in (idle, used):
            with pytest.raises(ConnectionResetError):
                client.recv(10)
    for _ in range(3):
        assert visit(backend) == "RST"
    backend.normal()
    assert good(visit(backend))


def test_accept_close_ends_with_eof_and_no_answer(backend: Backend) -> None:
    with connect(backend) as used:
        assert good(ask(used, backend))
        backend.accept_close()
        assert used.recv(10) == b""
    before = len(backend.arrived())
    for _ in range(3):
        assert visit(backend) == "EOF"
    assert len(backend.arrived()) == before
    backend.normal()
    assert good(visit(backend))


def test_in_a_blackhole_connects_time_out_and_open_connections_are_silent(backend: Backend) -> None:
    with connect(backend) as used:
        assert good(ask(used, backend))
        backend.blackhole()
        backend.blackhole()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                connect(backend, timeout=SHORT)
        before = len(backend.arrived())
        used.settimeout(SHORT)
        assert ask(used, backend) == "silence"
        assert len(backend.arrived()) == before
        backend.revive()
        used.settimeout(PATIENCE)
        assert used.recv(100).startswith((b"HTTP/1.1 200", b"LIMPET x"))
        assert len(backend.arrived()) == before + 1
    assert good(visit(backend))
    assert backend.report().way == "normal"


def test_from_one_fault_to_the_next_without_healing(backend: Backend) -> None:
    backend.blackhole()
    backend.reset()
    assert visit(backend) == "RST"
    backend.accept_close()
    assert visit(backend) == "EOF"
    backend.blackhole()
    with pytest.raises(TimeoutError):
        connect(backend, timeout=SHORT)
    backend.kill()
    with pytest.raises(ConnectionRefusedError):
        connect(backend)


def test_an_answer_that_is_held_when_the_blackhole_opens_comes_after_it(backend: Backend) -> None:
    held = b"GET / HTTP/1.1\r\nHost: x\r\nLimpet-Hold: 0.05\r\n\r\n"
    before = len(backend.arrived())
    with connect(backend) as client:
        client.sendall(held if backend.protocol == "http" else b"LIMPET x hold=0.05\n")
        deadline = time.monotonic() + PATIENCE
        while len(backend.arrived()) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        backend.blackhole()
        client.settimeout(SHORT)
        try:
            early = client.recv(10)
        except TimeoutError:
            early = b""
            backend.normal()
            client.settimeout(PATIENCE)
            assert client.recv(100)
        assert early in (b"", b"HTTP/1.1 2", b"LIMPET x f")


def test_slow_delays_every_response(backend: Backend) -> None:
    backend.slow(0.15)
    begun = time.monotonic()
    assert good(visit(backend))
    assert time.monotonic() - begun >= 0.15


def test_status_and_health_are_independent(fleet: Fleet) -> None:
    backend = fleet.start("f1")

    def statuses() -> list[str]:
        found = []
        for path in (b"/", b"/health"):
            with connect(backend) as client:
                client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                found.append(client.makefile("rb").readline().decode().split()[1])
        return found

    backend.status(503)
    assert statuses() == ["503", "200"]
    backend.health(500)
    assert statuses() == ["503", "500"]
    backend.normal()
    assert statuses() == ["200", "200"]
    backend.health(500)
    assert statuses() == ["200", "500"]
    backend.revive()
    assert statuses() == ["200", "200"]
    with pytest.raises(SetupFault, match="no HTTP status"):
        backend.status(42)
