from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from limpet.harness.backends.fleet import Fleet
from limpet.harness.backends.options import BackendOptions, parse, parse_address
from limpet.harness.backends.recorder import HistoryTail, Recorder
from limpet.harness.backends.stock import Stock
from limpet.harness.model.errors import HarnessFault, SetupFault, UsageFault
from limpet.harness.model.history import Arrived, encode
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

PATIENCE = 30.0


def visit(host: str, port: int, id: str) -> None:
    http = HTTPConnection(host, port, timeout=PATIENCE)
    http.request("GET", "/", headers={"Limpet-Request": id})
    assert http.getresponse().read()
    http.close()


def test_many_start_at_once_each_on_its_own_address(fleet: Fleet) -> None:
    names = [f"b{n}" for n in range(8)]
    backends = fleet.start_many(names)
    assert [one.name for one in backends] == names
    assert len({one.host for one in backends}) == 8
    assert len({one.instance for one in backends}) == 8
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: visit(one.host, one.port, f"to-{one.name}"), backends))
    assert [[record.id for record in one.arrived()] for one in backends] == [[f"to-{name}"] for name in names]


def test_the_history_survives_kills_and_goes_on_after_a_revival(fleet: Fleet) -> None:
    backend = fleet.start("b1")
    http = HTTPConnection(backend.host, backend.port, timeout=PATIENCE)
    for n in range(20):
        http.request("GET", "/", headers={"Limpet-Request": f"r{n}"})
        http.getresponse().read()
    # Received, recorded, never answered: the evidence must be there all the same.
    http.request("GET", "/", headers={"Limpet-Request": "unanswered", "Limpet-Hold": "600"})
    visit(backend.host, backend.port, "last")
    first = backend.instance
    backend.kill()
    http.close()
    ids = {one.id for one in backend.arrived()}
    assert {f"r{n}" for n in range(20)} <= ids
    assert "last" in ids
    backend.revive()
    visit(backend.host, backend.port, "again")
    records = backend.arrived()
    assert (records[-1].id, records[-1].instance) == ("again", backend.instance)
    assert {one.instance for one in records[:-1]} == {first}


def test_stop_and_close_leave_histories_and_no_sockets(fleet: Fleet, tmp_path: Path) -> None:
    backend = fleet.start("b1")
    fleet.start("b2")
    backend.stop()
    fleet.close()
    fleet.close()
    left = sorted(path.suffix for path in (tmp_path / "fleet").iterdir())
    assert left == [".jsonl", ".jsonl", ".log", ".log"]


def test_a_port_in_use_is_a_setup_fault_that_says_where(fleet: Fleet, lease: LoopbackLease) -> None:
    host, port = lease.next_endpoint()
    with socket.create_server((host, port)), pytest.raises(SetupFault) as caught:
        fleet.start("b1", host=host, port=port)
    assert f"{host}:{port}" in str(caught.value)
    assert "in use" in str(caught.value)
    assert fleet.start("b1", host=host, port=port).alive, "the name is free again"


def test_a_name_is_unique_and_visible(fleet: Fleet) -> None:
    fleet.start("b1")
    with pytest.raises(HarnessFault, match="already"):
        fleet.start("b1")
    with pytest.raises(UsageFault, match="blanks"):
        fleet.start("b 2")


def test_the_control_socket_may_lie_deep(fleet: Fleet, tmp_path: Path, lease: LoopbackLease) -> None:
    deep = tmp_path.joinpath(*["deep" * 10] * 5)
    with Fleet(fleet._keeper, deep, lease) as other:
        backend = other.start("b1")
        backend.slow(0)
        assert backend.report().name == "b1"


def test_a_process_killed_from_outside_is_revived(fleet: Fleet) -> None:
    backend = fleet.start("b1")
    process = backend._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    backend.revive()
    visit(backend.host, backend.port, "x")
    assert [one.id for one in backend.arrived()] == ["x"]


def record(n: int) -> Arrived:
    return Arrived(id=f"r{n}", t=n, backend="b", instance="i", connection="c", peer="p")


def test_the_tail_reads_whole_lines_only_and_a_torn_one_is_cut_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    tail = HistoryTail(path)
    assert tail.records() == []
    path.write_bytes(encode(record(1)) + encode(record(2))[:20])
    assert tail.records() == [record(1)]
    Recorder(path, keep=False).record(record(3))
    assert tail.records() == [record(1), record(3)]


def test_a_history_that_is_one_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_bytes(b"x" * 100_000)
    Recorder(path, keep=False).record(record(1))
    assert HistoryTail(path).records() == [record(1)]


def test_options_survive_their_way_over_the_command_line(tmp_path: Path) -> None:
    options = BackendOptions(
        name="-b", host="::1", port=8001, protocol="tcp", history=tmp_path / "h", control=tmp_path / "c", token="-t"
    )
    assert parse(options.arguments()) == options


@pytest.mark.parametrize("text", ["8001", ":8001", "::1:8001", "localhost", "127.0.0.1:http", "127.0.0.1:99999", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageFault):
        parse_address(text)


def test_a_backend_that_comes_back_from_the_stock_knows_nobody(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path
) -> None:
    stock = Stock()
    with Fleet(keeper, tmp_path / "one", lease, stock) as fleet:
        first, spoilt = fleet.start("b1"), fleet.start("b2")
        instance, address = first.instance, (first.host, first.port)
        visit(*address, "before")
        kept = socket.create_connection(address)
        spoilt.slow(0.0)
    assert not spoilt.alive
    with kept, Fleet(keeper, tmp_path / "two", lease, stock) as fleet:
        second = fleet.start("b1")
        assert (second.host, second.port) == address
        assert second.instance == second.report().instance != instance
        assert second.report().requests == len(second.arrived()) == 0
        kept.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            kept.recv(1)
        visit(*address, "after")
        assert [each.id for each in second.arrived()] == ["after"]
        assert fleet.start("b2").host != spoilt.host
        second.kill()
    with Fleet(keeper, tmp_path / "three", lease, stock) as fleet:
        assert fleet.start("b1").host != first.host
