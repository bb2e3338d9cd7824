from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import h11
import msgspec
import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.backends.shop import Page
from limpet.harness.model.history import read
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

PATIENCE = 30.0


@pytest.fixture(scope="module")
def backend(keeper: Keeper, lease: LoopbackLease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Fleet(keeper, tmp_path_factory.mktemp("fleet"), lease) as fleet:
        yield fleet.start("b1", token="secret")


@pytest.fixture
def http(backend: Backend) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(backend.host, backend.port, timeout=PATIENCE)
    yield connection
    connection.close()


def page(response: HTTPResponse) -> Page:
    return msgspec.json.decode(response.read(), type=Page)


def ask(http: HTTPConnection, method: str = "GET", path: str = "/", **headers: str) -> HTTPResponse:
    http.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return http.getresponse()


def raw(backend: Backend, data: bytes) -> bytes:
    """Send these bytes and everything that comes back until the backend closes."""
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        client.sendall(data)
        received = b""
        while part := client.recv(65536):
            received += part
    return received


def test_every_answer_says_who_answered_what_and_whom(backend: Backend, http: HTTPConnection) -> None:
    response = ask(http, path="/any?x=1", Limpet_Request="r-1")
    assert response.getheader("Limpet-Backend") == "b1"
    assert response.getheader("Limpet-Instance") == backend.instance
    got = page(response)
    assert (got.backend, got.instance, got.request, got.session, got.visits) == ("b1", backend.instance, "r-1", None, 0)
    host, port = http.sock.getsockname()
    assert got.peer == f"{host}:{port}"
    assert backend.arrived()[-1].peer == got.peer


def test_the_history_holds_the_request_exactly_as_it_came(backend: Backend) -> None:
    raw(
        backend,
        b"PUT /a/b?c=d HTTP/1.1\r\nHost: x\r\nCookie: a=1; b=\xe9\r\nCOOKIE: a=2\r\nLimpet-Request: exact\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\nabc",
    )
    one = backend.arrived()[-1]
    assert (one.id, one.method, one.path, one.body_bytes) == ("exact", "PUT", "/a/b?c=d", 3)
    assert (one.backend, one.instance) == ("b1", backend.instance)
    assert one.headers == (
        ("Host", "x"),
        ("Cookie", "a=1; b=\xe9"),
        ("COOKIE", "a=2"),
        ("Limpet-Request", "exact"),
        ("Content-Length", "3"),
        ("Connection", "close"),
    )


def test_a_request_without_id_gets_one_of_its_own(backend: Backend, http: HTTPConnection) -> None:
    ids = [page(ask(http)).request for _ in range(2)]
    assert len(set(ids)) == 2
    assert [one.id for one in backend.arrived()[-2:]] == ids
    assert len({one.connection for one in backend.arrived()[-2:]}) == 1


@pytest.mark.parametrize(
    ("kind", "login", "item"),
    [
        ("application/x-www-form-urlencoded", "user=Ada+L.", "item=shoe"),
        ("application/json", '{"user": "Ada L."}', '{"item": "shoe"}'),
    ],
)
def test_login_and_cart_are_remembered_by_the_session(http: HTTPConnection, kind: str, login: str, item: str) -> None:
    http.request("POST", "/login", login, {"Content-Type": kind})
    response = http.getresponse()
    found = re.fullmatch(r"(SHOPSESSION=[0-9a-f]{32}); Path=/; HttpOnly", response.getheader("Set-Cookie") or "")
    assert found
    assert page(response).user == "Ada L."
    http.request("POST", "/cart", item, {"Content-Type": kind, "Cookie": found[1]})
    assert page(http.getresponse()).cart == ["shoe"]
    http.request("GET", "/cart", headers={"Cookie": f"other=1; {found[1]}"})
    got = page(http.getresponse())
    assert (got.user, got.cart, got.visits) == ("Ada L.", ["shoe"], 2)
    http.request("GET", "/cart", headers={"Cookie": "SHOPSESSION=unknown"})
    response = http.getresponse()
    assert response.status == 200
    got = page(response)
    assert (got.session, got.user, got.cart) == (None, None, [])


def test_login_without_a_user_is_refused(http: HTTPConnection) -> None:
    assert ask(http, "POST", "/login").status == 400


def test_the_request_steers_its_response(http: HTTPConnection) -> None:
    http.putrequest("GET", "/")
    http.putheader("Limpet-Set-Cookie", "A={session}; Path=/")
    http.putheader("Limpet-Set-Cookie-12", "B=2")
    http.putheader("Limpet-Header", "X-Thing: some value")
    http.putheader("Limpet-Status", "503")
    http.putheader("Limpet-Body", "1000")
    http.putheader("Limpet-Chunked", "1")
    http.endheaders()
    response = http.getresponse()
    first, second = response.headers.get_all("Set-Cookie") or []
    assert re.fullmatch(r"A=[0-9a-f]{32}; Path=/", first)
    assert second == "B=2"
    assert response.getheader("X-Thing") == "some value"
    assert response.status == 503
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert len(response.read()) == 1000


def test_a_steered_session_is_a_session(http: HTTPConnection) -> None:
    response = ask(http, Limpet_Set_Cookie="SHOPSESSION={session}")
    cookie = response.getheader("Set-Cookie") or ""
    response.read()
    assert page(ask(http, Cookie=cookie)).session == cookie.partition("=")[2]


@pytest.mark.parametrize(("name", "value"), [("Hold", "nan"), ("Status", "101"), ("Body", "-1"), ("Header", "none")])
def test_steering_that_makes_no_sense_is_400(http: HTTPConnection, name: str, value: str) -> None:
    response = ask(http, **{f"Limpet-{name}": value})
    assert response.status == 400
    assert f"Limpet-{name}: {value}" in response.read().decode()


def test_answers_to_pipelined_requests_keep_their_order_although_the_first_is_held(backend: Backend) -> None:
    answer = raw(
        backend,
        b"GET /1 HTTP/1.1\r\nHost: x\r\nLimpet-Request: p1\r\nLimpet-Hold: 0.2\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHost: x\r\nLimpet-Request: p2\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: x\r\nLimpet-Request: p3\r\nLimpet-Close: 1\r\n\r\n"
        b"GET /4 HTTP/1.1\r\nHost: x\r\nLimpet-Request: p4\r\n\r\n",
    )
    assert re.findall(rb"Limpet-Request: (\w+)", answer) == [b"p1", b"p2", b"p3"]
    arrived = {one.id: one.t for one in backend.arrived()}
    assert arrived["p3"] - arrived["p1"] < 0.2, "they arrived together, before the first was answered"
    assert "p4" not in arrived


def test_many_pipelined_requests_are_all_answered(backend: Backend) -> None:
    n = 1000
    requests = b"GET / HTTP/1.1\r\nHost: x\r\nLimpet-Hold: 0.001\r\n\r\n" * n
    answer = raw(backend, requests + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == n + 1


def test_head_has_the_headers_of_get_and_no_body(backend: Backend) -> None:
    answer = raw(backend, b"HEAD / HTTP/1.1\r\nHost: x\r\nLimpet-Body: 77\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 77\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_expect_100_continue_is_answered_before_the_body_comes(backend: Backend) -> None:
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_chunked_request_body_is_counted_without_its_framing(backend: Backend) -> None:
    raw(
        backend,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3\r\nabc\r\n5;x=y\r\n12345\r\n0\r\nTrailer: t\r\n\r\n",
    )
    assert backend.arrived()[-1].body_bytes == 8


@pytest.mark.parametrize(("header", "kept"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
def test_http_1_0_is_kept_only_when_asked_and_never_chunked(backend: Backend, header: bytes, kept: bool) -> None:
    one = b"GET / HTTP/1.0\r\nLimpet-Chunked: 1\r\n" + header + b"\r\n"
    answer = raw(backend, one + (b"GET / HTTP/1.0\r\n\r\n" if kept else b""))
    assert answer.count(b"HTTP/1.1 200") == 1 + kept
    assert (b"Connection: keep-alive" in answer) is kept
    assert b"chunked" not in answer


def test_what_is_no_http_gets_400_and_the_end(backend: Backend) -> None:
    before = len(backend.arrived())
    assert raw(backend, b"LIMPET hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert len(backend.arrived()) == before


def test_an_upgrade_is_ignored_and_the_connection_goes_on(backend: Backend) -> None:
    answer = raw(
        backend,
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_client_that_half_closes_still_gets_its_answer(backend: Backend) -> None:
    with socket.create_connection((backend.host, backend.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nLimpet-Hold: 0.05\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        received = b""
        while part := client.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("status", [200, 204, 304, 404, 599])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("chunked", ["0", "1"])
def test_a_strict_parser_agrees_with_the_framing(backend: Backend, status: int, method: str, chunked: str) -> None:
    request = h11.Request(
        method=method,
        target="/",
        headers=[
            ("Host", "x"),
            ("Limpet-Status", str(status)),
            ("Limpet-Chunked", chunked),
            ("Limpet-Body", "1001"),
            ("Connection", "close"),
        ],
    )
    client = h11.Connection(h11.CLIENT)
    data = (client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b"")
    client.receive_data(raw(backend, data))
    client.receive_data(b"")
    response, body = client.next_event(), 0
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    while isinstance(event := client.next_event(), h11.Data):
        body += len(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert body == (1001 if method == "GET" and status not in (204, 304) else 0)
    assert isinstance(client.next_event(), h11.ConnectionClosed)


def test_health_checks_are_counted_but_not_in_the_history(backend: Backend, http: HTTPConnection) -> None:
    before, records = backend.report().health, len(backend.arrived())
    response = ask(http, path="/health")
    assert (response.status, response.read()) == (200, b"healthy\n")
    assert backend.report().health == before + 1
    assert len(backend.arrived()) == records


def test_the_history_over_http_needs_the_token_and_goes_on_from_a_record(
    backend: Backend, http: HTTPConnection
) -> None:
    for _ in range(2):
        page(ask(http))
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
        response = ask(http, path="/_limpet/history", **wrong)
        assert response.status == 401
        assert b"Arrived" not in response.read()
    right = {"Authorization": "Bearer secret"}
    records = backend.arrived()
    got = list(read(ask(http, path="/_limpet/history", **right).read().splitlines()))
    assert got == records
    got = list(read(ask(http, path=f"/_limpet/history?after={len(records) - 1}", **right).read().splitlines()))
    assert got == records[-1:]
    assert backend.arrived() == records, "reading the history is not in it"
    assert ask(http, path="/_limpet/history?after=x", **right).status == 400


def test_without_a_token_there_is_no_history_over_http(fleet: Fleet, tmp_path: Path) -> None:
    backend = fleet.start("closed")
    http = HTTPConnection(backend.host, backend.port, timeout=PATIENCE)
    assert ask(http, path="/_limpet/history", Authorization="Bearer ").status == 404
    http.close()


def test_an_id_is_handed_out_in_a_header_where_none_is_brought(http: HTTPConnection) -> None:
    given = []
    for _ in range(2):
        response = ask(http, Limpet_Mint="Mcp-Session-Id")
        response.read()
        given.append(response.getheader("Mcp-Session-Id"))
    assert all(given) and given[0] != given[1]
    response = ask(http, Limpet_Mint="Mcp-Session-Id", mcp_session_id=str(given[0]))
    response.read()
    assert response.getheader("Mcp-Session-Id") is None
    response = ask(http)
    response.read()
    assert response.getheader("Mcp-Session-Id") is None


def test_an_id_in_the_path_changes_no_page(http: HTTPConnection) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    http.request("POST", "/login;jsessionid=1", body=b"user=ann", headers=form)
    response = http.getresponse()
    response.read()
    assert (response.status, (response.getheader("Set-Cookie") or "").partition("=")[0]) == (200, "SHOPSESSION")
