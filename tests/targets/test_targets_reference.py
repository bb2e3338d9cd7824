"""Every reference target: its template is a configuration that the balancer takes, and every verb does what it says."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.processes.waiting import wait_until
from limpet.harness.targets import Member, RunningTarget, load, names
from limpet.harness.targets.running import Override

REFERENCE = [name for name in names() if name.startswith("reference-")]
PROFILES = {"aws-alb": 3, "aws-clb": 3, "aws-nlb": 3, "generic": 4, "huawei-elb": 4, "reference": 25}


class Listeners:
    """Backends that accept, answer one request with an empty 200, and close."""

    def __init__(self, lease: LoopbackLease, count: int) -> None:
        self.members = [Member(f"b{n}", *lease.next_endpoint()) for n in range(1, count + 1)]
        self._sockets = {each.name: socket.create_server((each.host, each.port)) for each in self.members}
        for one in self._sockets.values():
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    @staticmethod
    def _serve(listener: socket.socket) -> None:
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return
            with channel:
                try:
                    channel.recv(65536)
                    channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    pass

    def close(self, name: str) -> None:
        listener = self._sockets.pop(name)
        # A thread inside accept() keeps the socket open beyond close(); shutdown wakes it.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def close_all(self) -> None:
        for name in list(self._sockets):
            self.close(name)


@pytest.fixture
def listeners(lease: LoopbackLease) -> Iterator[Listeners]:
    one = Listeners(lease, 3)
    yield one
    one.close_all()


@pytest.fixture
def running(
    keeper: Keeper, lease: LoopbackLease, listeners: Listeners, tmp_path: Path
) -> Iterator[Callable[[str], RunningTarget]]:
    made: list[RunningTarget] = []

    def make(name: str) -> RunningTarget:
        target = RunningTarget(
            load(name), keeper=keeper, lease=lease, workdir=tmp_path / name, members=listeners.members[:2]
        )
        made.append(target)
        target.start()
        return target

    yield make
    for target in made:
        target.stop()


def state(target: RunningTarget) -> dict[str, object]:
    values = target._values()
    connection = http.client.HTTPConnection(values["admin.host"], int(values["admin.port"]), timeout=10)
    connection.request("GET", "/v1/state", headers={"Authorization": f"Bearer {values['token']}"})
    read: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return read


def test_there_is_one_for_every_profile() -> None:
    found: dict[str, int] = {}
    for name in REFERENCE:
        product = load(name).profile.partition("/")[0]
        found[product] = found.get(product, 0) + 1
    assert found == PROFILES
    judged = {load(name).profile for name in REFERENCE}
    assert {f"reference/{name}" for name in load("reference-source-ip").catalogue.profile} <= judged


@pytest.mark.parametrize("name", REFERENCE)
def test_every_verb_is_understood(name: str, running: Callable[[str], RunningTarget], listeners: Listeners) -> None:
    target = running(name)
    first, _, third = listeners.members
    wanted = [third, replace(first, weight=2, drain=True)]
    target.apply(wanted)
    keys = ("name", "host", "port", "weight", "drain")
    shown = state(target)
    members = shown["members"]
    assert isinstance(members, list)
    assert [{key: each[key] for key in keys} for each in members] == [
        {key: value for key, value in asdict(each).items() if key in keys} for each in wanted
    ]
    if target.can("affinity"):
        target.set_affinity(False)
        assert state(target)["affinity"] == {"enabled": False}
        target.set_affinity(True)
        assert state(target)["affinity"] == {"enabled": True}
    target.reload()
    if target.can("rotate_keys"):
        target.rotate_keys()
    if target.can("advance_clock"):
        target.advance_clock(90.25)
    assert target.can("restart")
    target.restart()
    after = state(target)
    clock, names_after = after["clock"], after["members"]
    assert isinstance(clock, dict) and isinstance(names_after, list)
    assert [each["name"] for each in names_after] == ["b3", "b1"], "the pool survives a restart"
    assert clock["offset"] == (90.25 if target.can("advance_clock") else 0), "and so does the clock"


def test_only_virtual_targets_have_a_clock_to_advance() -> None:
    without = {name for name in REFERENCE if not load(name).target.control.advance_clock}
    assert without == {"reference-real-idle", "reference-real-absolute", "reference-round-robin"}


def test_a_dead_backend_is_read_back(running: Callable[[str], RunningTarget], listeners: Listeners) -> None:
    target = running("reference-round-robin")
    assert (target.noticed("b1", up=True), target.noticed("b1", up=False)) == (True, False)
    listeners.close("b1")
    wait_until(lambda: target.noticed("b1", up=False), timeout=20, what="b1 to be noticed")
    assert target.noticed("b1", up=True) is False
    assert target.noticed("b2", up=True) is True


def test_another_entry_takes_its_place(
    keeper: Keeper, lease: LoopbackLease, listeners: Listeners, tmp_path: Path
) -> None:
    target = RunningTarget(
        load("reference-source-ip"),
        keeper=keeper,
        lease=lease,
        workdir=tmp_path / "work",
        members=listeners.members,
        override=Override("limpet.reference_lb.main:main", after=("--check",)),
    )
    with pytest.raises(SetupFault, match=r"ended while starting(.|\n)*reference\.toml: ok"):
        target.start()


def test_refused_configuration_shows_every_problem(keeper: Keeper, lease: LoopbackLease, tmp_path: Path) -> None:
    twice = [Member("b1", "127.0.0.1", 1), Member("b1", "127.0.0.1", 2)]
    target = RunningTarget(
        load("reference-source-ip"), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=twice
    )
    with pytest.raises(SetupFault, match=r'ended while starting(.|\n)*2 members are named "b1"'):
        target.start()
