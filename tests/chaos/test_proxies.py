"""Fault proxies: the embedded ones and Toxiproxy do the same."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from limpet.harness.chaos.proxies.wires import ENTRY, KINDS, MAKERS, PROGRAM, program, toxiproxy
from limpet.harness.engine.wires import Wire, Wires
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.processes.waiting import wait_until

ANSWER = b"x" * 4000
PATIENCE = 20.0
"""Seconds that a loaded machine may take; nothing here waits that long when all is well."""


class Echo:
    """A server that answers every line with `ANSWER`, at an address of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._socket = socket.create_server((host, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(100):
                    connection.sendall(ANSWER)
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper(preload=(ENTRY.partition(":")[0],)) as keeper:
        yield keeper


@pytest.fixture(scope="module")
def lease() -> Iterator[LoopbackLease]:
    with LoopbackLease() as lease:
        yield lease


@pytest.fixture(scope="module")
def echo(lease: LoopbackLease) -> Iterator[Echo]:
    with closing(Echo(*lease.next_endpoint())) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def wires(request, keeper: Keeper, lease: LoopbackLease, tmp_path_factory) -> Iterator[Wires]:
    if request.param == "toxiproxy":
        try:
            program()
        except SetupFault as err:
            pytest.skip(err.reason)
    with closing(MAKERS[request.param](keeper, lease, tmp_path_factory.mktemp(request.param))) as wires:
        yield wires


@pytest.fixture
def wire(request, wires: Wires, echo: Echo) -> Wire:
    return wires.lay(request.node.name, echo.host, echo.port)


def connect(wire: Wire) -> socket.socket:
    return socket.create_connection((wire.host, wire.port), timeout=PATIENCE)


def ask(connection: socket.socket, count: int = len(ANSWER)) -> tuple[bytes, float]:
    """What comes for one line, up to so many bytes or the end, and after how many seconds it was whole."""
    begin = time.monotonic()
    connection.sendall(b"hello\n")
    got = b""
    while len(got) < count and (part := connection.recv(65536)):
        got += part
    return got, time.monotonic() - begin


def silent(connection: socket.socket, seconds: float = 0.3) -> bool:
    """Whether nothing comes, not even an end."""
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE)
    return False


def ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_wire_without_faults_passes_everything_on(wire: Wire) -> None:
    with connect(wire) as connection:
        for _ in range(3):
            assert ask(connection)[0] == ANSWER


def test_latency_delays_answers_on_connections_that_are_open_already_until_it_is_mended(wire: Wire) -> None:
    with connect(wire) as connection:
        ask(connection)
        wire.impair("latency", 0.3)
        assert ask(connection)[1] >= 0.29
        wire.impair("latency", 0.5)
        assert ask(connection)[1] >= 0.49
        wire.mend("latency")
        # What counts is that it is over, however slow the machine: one of many is quick again.
        assert min(ask(connection)[1] for _ in range(5)) < 0.3


def test_jitter_stays_within_its_value(wire: Wire) -> None:
    wire.impair("jitter", 0.2)
    with connect(wire) as connection:
        times = [ask(connection)[1] for _ in range(5)]
    assert min(times) < 0.2
    assert len({round(each, 4) for each in times}) > 1


def test_bandwidth_lets_so_many_kilobytes_a_second_through(wire: Wire) -> None:
    wire.impair("bandwidth", 10)
    with connect(wire) as connection:
        got, seconds = ask(connection)
    assert got == ANSWER
    assert seconds >= 0.3  # 4 KB at 10 KB/s; Toxiproxy lets the last piece go without a pause


def test_an_answer_is_cut_after_so_many_bytes(wire: Wire) -> None:
    wire.impair("cut", 1000)
    with connect(wire) as connection:
        assert ask(connection)[0] == ANSWER[:1000]
        assert ended(connection)
    wire.mend("cut")
    with connect(wire) as connection:
        assert ask(connection)[0] == ANSWER


def test_a_partition_is_silence_on_open_and_new_connections_alike(wire: Wire) -> None:
    with connect(wire) as old:
        ask(old)
        wire.impair("partition", 0)
        with connect(wire) as new:
            for each in (old, new):
                each.sendall(b"hello\n")
            assert silent(old)
            assert silent(new)
            wire.mend("partition")
            # Nobody knows what was lost meanwhile: such a connection ends.
            assert ended(old)
            assert ended(new)
    with connect(wire) as connection:
        assert ask(connection)[0] == ANSWER


def test_the_end_of_a_connection_comes_late(wires: Wires, wire: Wire) -> None:
    wire.impair("slow-close", 0.4)
    wire.impair("cut", 100)  # the only end that comes from the server's side
    wire.mend("cut")
    with connect(wire) as connection:
        ask(connection)
        begin = time.monotonic()
        connection.shutdown(socket.SHUT_WR)
        assert ended(connection)
        assert time.monotonic() - begin >= 0.39


def test_a_shut_wire_refuses_and_opens_again_at_the_same_address(wire: Wire) -> None:
    with connect(wire) as connection:
        ask(connection)
        wire.shut()
        assert ended(connection)
    with pytest.raises(ConnectionRefusedError):
        connect(wire)
    wire.open()
    with connect(wire) as connection:
        assert ask(connection)[0] == ANSWER


def test_several_impairments_at_once_are_mended_one_by_one(wire: Wire) -> None:
    wire.impair("latency", 0.2)
    wire.impair("jitter", 0.1)
    wire.impair("cut", 50)
    with connect(wire) as connection:
        got, seconds = ask(connection)
    assert (got, seconds >= 0.19) == (ANSWER[:50], True)
    wire.mend("cut")
    with connect(wire) as connection:
        got, seconds = ask(connection)
    assert (got, seconds >= 0.19) == (ANSWER, True)


def test_nobody_behind_the_wire_is_no_silence(wires: Wires, lease: LoopbackLease) -> None:
    wire = wires.lay("nobody", *lease.next_endpoint())
    try:
        connection = connect(wire)
    except ConnectionResetError:
        return  # so soon that the connection was not even begun
    with connection:
        assert ended(connection)


def test_a_proxy_that_cannot_be_is_a_fault_that_says_which(wires: Wires, echo: Echo) -> None:
    wires.lay("twice", echo.host, echo.port)
    with pytest.raises(SetupFault, match="create twice"):
        wires.lay("twice", echo.host, echo.port)


def test_the_library_is_left_as_it_was(wire: Wire) -> None:
    before = dict(vars(APIConsumer))
    wire.impair("latency", 0.1)
    assert dict(vars(APIConsumer)) == before


def test_without_a_server_toxiproxy_says_what_to_do(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, str(tmp_path / "none"))
    with pytest.raises(SetupFault) as caught:
        toxiproxy(keeper, lease, tmp_path)
    assert "LIMPET_TOXIPROXY" in str(caught.value)
    assert "--proxies embedded" in str(caught.value)


def test_the_server_that_lies_beside_the_interpreter_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "toxiproxy-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.delenv(PROGRAM, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert program() == str(server)


# The embedded server's API, as Toxiproxy's own clients use it.


@pytest.fixture
def server(keeper: Keeper, lease: LoopbackLease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    host, port = lease.next_endpoint()
    process = keeper.fork(ENTRY, [f"{host}:{port}"], output=tmp_path / "log")

    def listens() -> bool:
        with socket.create_connection((host, port), 5):
            return True

    wait_until(listens, timeout=PATIENCE, what="the API")
    monkeypatch.setattr(APIConsumer, "host", host)
    monkeypatch.setattr(APIConsumer, "port", port)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield f"http://{host}:{port}"
    process.end()


def test_toxiproxy_python_drives_the_embedded_server(server: str, echo: Echo) -> None:
    toxi = Toxiproxy()
    assert toxi.running()
    assert b"limpet" in toxi.version()
    proxy = toxi.create(f"{echo.host}:{echo.port}", "shop")
    assert proxy.enabled
    host, port = proxy.listen.split(":")
    proxy.add_toxic(type="latency", attributes={"latency": 300, "jitter": 0})
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 300, "jitter": 0}
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        assert ask(connection)[1] >= 0.29
    with pytest.raises(ProxyExists):
        proxy.add_toxic(type="latency")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="gremlin")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("nothing")
    with proxy.down(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), PATIENCE)
    proxy.destroy_toxic("latency_downstream")
    assert proxy.toxics() == {}
    proxy.add_toxic(type="timeout", attributes={"timeout": 0})
    proxy.disable()
    toxi.reset()
    again = toxi.get_proxy("shop")
    assert again.enabled
    assert again.toxics() == {}
    toxi.destroy_all()
    assert toxi.proxies() == {}


def test_what_the_command_line_client_sends_is_understood(server: str, echo: Echo) -> None:
    """toxiproxy-cli changes toxics by POST or PATCH, toggles proxies, and populates."""
    said = requests.post(
        f"{server}/populate",
        json=[{"name": "a", "listen": "127.0.0.1:0", "upstream": f"{echo.host}:{echo.port}", "enabled": True}],
        timeout=PATIENCE,
    )
    assert said.status_code == 201
    (proxy,) = said.json()["proxies"]
    host, port = proxy["listen"].split(":")
    for kind, attributes in (
        ("slicer", {"average_size": 500, "size_variation": 100, "delay": 100}),
        ("reset_peer", {"timeout": 0}),
    ):
        toxic = {"type": kind, "attributes": attributes}
        assert requests.post(f"{server}/proxies/a/toxics", json=toxic, timeout=PATIENCE).status_code == 200
        if kind == "slicer":
            with socket.create_connection((host, int(port)), PATIENCE) as connection:
                assert ask(connection)[0] == ANSWER
        else:
            with pytest.raises(ConnectionError), socket.create_connection((host, int(port)), PATIENCE) as connection:
                ask(connection)
                connection.recv(1)
                raise ConnectionError if ended(connection) else AssertionError
    changed = requests.patch(
        f"{server}/proxies/a/toxics/slicer_downstream",
        json={"toxicity": 0.5, "attributes": {"average_size": 9}},
        timeout=PATIENCE,
    ).json()
    assert changed["toxicity"] == 0.5
    assert changed["attributes"] == {"average_size": 9, "size_variation": 100, "delay": 100}
    assert requests.post(f"{server}/proxies/a", json={"enabled": False}, timeout=PATIENCE).json()["enabled"] is False
    assert requests.delete(f"{server}/proxies/a", timeout=PATIENCE).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", b"", 404),
        ("GET", "/proxies/none", b"", 404),
        ("DELETE", "/version", b"", 405),
        ("POST", "/proxies", b"{", 400),
        ("POST", "/proxies", b'{"upstream": "127.0.0.1:1"}', 400),
        ("POST", "/proxies", b'{"name": "x"}', 400),
        ("POST", "/proxies", b'{"name": "x", "upstream": "127.0.0.1:1", "listen": "nowhere"}', 400),
    ],
)
def test_what_makes_no_sense_is_said_so(server: str, method: str, path: str, body: bytes, status: int) -> None:
    answer = requests.request(method, server + path, data=body, timeout=PATIENCE)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_page_in_a_browser_cannot_command_it(server: str) -> None:
    answer = requests.get(f"{server}/proxies", headers={"User-Agent": "Mozilla/5.0"}, timeout=PATIENCE)
    assert answer.status_code == 403


def test_the_environment_variable_names_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "toxi"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv(PROGRAM, str(fake))
    assert program() == os.fspath(fake)
