"""Sessions in a store that backends share: kept when one dies, never seen by another deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.backends.redis_server import RedisServer, missing
from limpet.harness.backends.sessions import StoreFault
from limpet.harness.backends.shared_sessions import RedisSessions
from limpet.harness.backends.standalone import serve_standalone
from limpet.harness.backends.stock import Stock
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.stores import host_of, without_password, wrong_url
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

NOWHERE = "redis://127.0.0.1:1/0"
needs_redis = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def store(keeper: Keeper, lease: LoopbackLease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield RedisServer(keeper, lease, tmp_path_factory.mktemp("redis")).url()


def ask(
    backend: Backend, method: str, path: str, body: str = "", cookie: str = ""
) -> tuple[int, str, dict[str, object]]:
    http = HTTPConnection(backend.host, backend.port, timeout=20)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    http.request(method, path, body, headers)
    answer = http.getresponse()
    text = answer.read().decode()
    http.close()
    page = json.loads(text) if answer.status == 200 else {"error": text}
    return answer.status, answer.headers.get("Set-Cookie", "").partition(";")[0], page


@needs_redis
def test_a_login_and_a_cart_outlive_their_backend(fleet: Fleet, store: str) -> None:
    one, two = (fleet.start(name, sessions=store, space="ours") for name in ("b1", "b2"))
    _, cookie, _ = ask(one, "POST", "/login", "user=ann")
    ask(one, "POST", "/cart", "item=lamp", cookie)
    one.kill()
    _, _, page = ask(two, "GET", "/", cookie=cookie)
    assert (page["user"], page["cart"]) == ("ann", ["lamp"])
    one.revive()
    assert ask(one, "GET", "/", cookie=cookie)[2]["user"] == "ann"


@needs_redis
def test_another_deployment_never_sees_them(fleet: Fleet, store: str) -> None:
    ours, theirs = fleet.start("b1", sessions=store, space="ours"), fleet.start("b2", sessions=store, space="theirs")
    _, cookie, _ = ask(ours, "POST", "/login", "user=ann")
    assert ask(ours, "GET", "/", cookie=cookie)[2]["user"] == "ann"
    assert ask(theirs, "GET", "/", cookie=cookie)[2]["user"] is None


@needs_redis
def test_a_backend_of_a_store_serves_no_second_deployment(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path, store: str
) -> None:
    stock = Stock()
    with Fleet(keeper, tmp_path / "one", lease, stock) as fleet:
        first = fleet.start("b1", sessions=store, space="one")
        alone = fleet.start("b2")
    assert not first.alive
    assert alone.alive, "one with a memory of its own does"
    with Fleet(keeper, tmp_path / "two", lease, stock) as fleet:
        assert fleet.start("b2", sessions=store, space="two") is not alone
    alone.stop()


@needs_redis
def test_one_server_is_started_for_all_and_listens_on_the_lease_only(
    keeper: Keeper, lease: LoopbackLease, tmp_path: Path
) -> None:
    server = RedisServer(keeper, lease, tmp_path)
    assert server.url() == server.url()
    assert host_of(server.url()).startswith(lease.block)


def test_a_store_that_is_away_is_a_503_and_no_crash(fleet: Fleet) -> None:
    backend = fleet.start("b1", sessions=NOWHERE, space="any")
    status, _, page = ask(backend, "POST", "/login", "user=ann")
    assert status == 503
    assert "does not answer" in str(page["error"])
    assert ask(backend, "GET", "/")[0] == 200, "who needs no session needs no store"


def test_a_store_that_is_away_is_a_fault_of_its_own() -> None:
    with pytest.raises(StoreFault, match="does not answer"):
        RedisSessions(NOWHERE, "any").get("0")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "redis://", "redis", "unix://", "redis://127.0.0.1:many"])
def test_what_is_no_address_of_a_store_is_refused(url: str) -> None:
    assert wrong_url(url)
    with pytest.raises(UsageFault, match=r"redis://HOST:PORT|no address"):
        serve_standalone("127.0.0.1:0", "mine", None, None, "http", sessions=url)


def test_a_password_is_not_shown() -> None:
    assert without_password("redis://:secret@127.0.0.1:1/0") == "redis://***@127.0.0.1:1/0"
    assert without_password(NOWHERE) == NOWHERE
    assert wrong_url("unix:///run/redis.sock") == wrong_url(NOWHERE) == ""
