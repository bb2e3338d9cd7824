"""The bundled Traefik and Caddy targets on the real programs (extra `balancers`): each mode is on, and is steered."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, load
from limpet.harness.targets.answers import accepts
from limpet.harness.targets.bundled import missing

pytestmark = pytest.mark.balancers

Start = Callable[[str], RunningTarget]
SOURCES = [f"127.0.77.{last}" for last in range(1, 25)]


def ask(
    target: RunningTarget, path: str = "/", *, source: str = "127.0.0.1", **headers: str
) -> tuple[str, dict[str, str], list[str]]:
    """Who answered, the cookies that were set, and their lines."""
    connection = http.client.HTTPConnection(target.host, target.port, timeout=10, source_address=(source, 0))
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    name = response.read().decode()
    assert response.status == 200, f"{response.status} {name}"
    lines = response.headers.get_all("Set-Cookie") or []
    connection.close()
    return name, dict(line.partition(";")[0].split("=", 1) for line in lines), lines


@pytest.fixture
def start(keeper: Keeper, lease: LoopbackLease, tmp_path: Path, members: list[Member]) -> Iterator[Start]:
    running: list[RunningTarget] = []

    def started(name: str) -> RunningTarget:
        loaded = load(name)
        if why := missing(loaded):
            pytest.skip(why)
        target = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / name, members=members)
        running.append(target)
        target.start()
        return target

    yield started
    for target in running:
        target.stop()
        assert not accepts(target.host, target.port, timeout=2)
    assert not table.descendants(keeper.pid, table.table())


@pytest.mark.parametrize("name", ["traefik-round-robin", "caddy-round-robin"])
def test_every_change_is_in_force_when_apply_returns(name: str, start: Start, members: list[Member]) -> None:
    target = start(name)
    assert {ask(target)[0] for _ in range(6)} == {member.host for member in members}
    for member in (*members, members[0]):
        target.apply([member])
        assert {ask(target)[0] for _ in range(4)} == {member.host}
    target.reload()
    target.change()
    assert {ask(target)[0] for _ in range(4)} == {members[0].host}
    target.restart()
    assert ask(target)[0] == members[0].host
    assert re.match(r"\d+\.\d+\.\d+", target.version())


def test_weights_are_taken_over(start: Start, members: list[Member]) -> None:
    for name in ("traefik-round-robin", "caddy-round-robin"):
        target = start(name)
        target.apply([Member(m.name, m.host, m.port, weight=n) for n, m in enumerate(members, 1)])
        hands = [ask(target)[0] for _ in range(24)]
        # Both count whole rounds; a health check or a start in mid-round may shift one.
        assert [hands.count(m.host) for m in members] == pytest.approx([4, 8, 12], abs=1)


def test_traefiks_cookie_has_what_it_was_given_and_holds(start: Start) -> None:
    target = start("traefik-sticky-cookie")
    home, cookies, (line,) = ask(target)
    assert {word.strip() for word in line.split(";")[1:]} == {"Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"}
    assert {ask(target, Cookie=f"route={cookies['route']}")[0] for _ in range(5)} == {home}
    target.set_affinity(False)
    assert not ask(target)[1]
    assert len({ask(target, Cookie=f"route={cookies['route']}")[0] for _ in range(6)}) == 3


def test_traefiks_health_check_is_read_back(start: Start, members: list[Member]) -> None:
    target = start("traefik-sticky-cookie")
    dead = Member("dead", "127.0.77.250", members[0].port)
    target.apply([*members, dead])
    assert target.noticed("b1", up=True) is True and target.noticed("b1", up=False) is False
    deadline = time.monotonic() + 20
    while not target.noticed("dead", up=False):
        assert time.monotonic() < deadline, "the health check never failed"
        time.sleep(0.05)
    assert {ask(target)[0] for _ in range(8)} == {member.host for member in members}


def test_traefiks_bare_cookie_is_named_after_a_hash(start: Start) -> None:
    home, cookies, (line,) = ask(target := start("traefik-sticky-cookie-bare"))
    ((name, value),) = cookies.items()
    assert re.fullmatch(r"_[0-9a-f]{5}", name) and line == f"{name}={value}; Path=/"
    assert {ask(target, Cookie=f"{name}={value}")[0] for _ in range(5)} == {home}


def test_traefiks_two_levels_need_both_cookies(start: Start) -> None:
    target = start("traefik-weighted")
    # b1 and b3 are one service: with its cookie alone their turns go on.
    answers = [ask(target) for _ in range(6)]
    assert all(set(cookies) == {"level1", "level2"} for _, cookies, _ in answers)
    assert len({cookies["level1"] for _, cookies, _ in answers}) == 2
    assert len({cookies["level2"] for _, cookies, _ in answers}) == 3
    for home, cookies, _ in answers:
        both = "; ".join(f"{name}={value}" for name, value in cookies.items())
        assert {ask(target, Cookie=both)[0] for _ in range(4)} == {home}
    odd = next(cookies["level1"] for home, cookies, _ in answers if home == target.members[0].host)
    met = {ask(target, Cookie=f"level1={odd}")[0] for _ in range(6)}
    assert met == {target.members[0].host, target.members[2].host}


@pytest.mark.parametrize("name", ["traefik-hrw", "caddy-ip-hash", "caddy-client-ip-hash"])
def test_the_address_is_hashed(name: str, start: Start) -> None:
    target = start(name)
    homes = {source: ask(target, source=source)[0] for source in SOURCES}
    assert {source: ask(target, source=source)[0] for source in SOURCES} == homes
    assert len(set(homes.values())) == 3, "24 addresses at fewer than three backends: 2e-4 by luck"
    target.set_affinity(False)
    assert len({ask(target, source=SOURCES[0])[0] for _ in range(40)}) == 3


def test_caddy_hashes_the_address_that_a_trusted_proxy_tells(start: Start) -> None:
    target = start("caddy-client-ip-hash")
    told = [f"198.51.100.{last}" for last in range(1, 25)]
    assert len({ask(target, source="127.0.100.7", X_Forwarded_For=each)[0] for each in told}) == 3
    assert len({ask(target, source="127.0.77.1", X_Forwarded_For=each)[0] for each in told}) == 1


def test_caddys_cookie_is_the_keyed_hash_of_the_address(start: Start) -> None:
    target = start("caddy-cookie")
    home, cookies, (line,) = ask(target)
    address = f"{home}:{next(m.port for m in target.members if m.host == home)}"
    assert cookies["shop-lb"] == hmac.new(target.secret.encode(), address.encode(), hashlib.sha256).hexdigest()
    assert "Max-Age=3600" in line
    assert {ask(target, Cookie=f"shop-lb={cookies['shop-lb']}")[0] for _ in range(6)} == {home}


def test_caddy_hashes_a_header_and_a_query(start: Start) -> None:
    header, query = start("caddy-header"), start("caddy-query")
    pairs: list[tuple[RunningTarget, Callable[[str], str]]] = [
        (header, lambda key: ask(header, X_Session=key)[0]),
        (query, lambda key: ask(query, f"/?sid={key}")[0]),
    ]
    for target, carried in pairs:
        homes = [carried(f"key-{n}") for n in range(24)]
        assert [carried(f"key-{n}") for n in range(24)] == homes and len(set(homes)) == 3
        assert len({ask(target)[0] for _ in range(40)}) == 3


def test_caddy_leaves_nothing_outside_of_its_work_directory(start: Start, tmp_path: Path) -> None:
    target = start("caddy-cookie")
    assert (target.workdir / "data").is_dir(), "where XDG_DATA_HOME says"
    assert not (target.workdir / "config" / "caddy" / "autosave.json").exists()
