"""Backends that speak TLS themselves, and the client that goes on with its sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.tcp import RESUMED, SESSION, TcpClient
from limpet.harness.clients.tls_sessions import TlsSessions
from limpet.harness.model.history import Record

PATIENCE = 30.0


class Memory:
    """A history in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)

    def offset(self) -> float:
        return 0.0

    def request_id(self) -> str:
        return f"r{len(self.records)}"


@pytest.fixture
def backend(fleet: Fleet) -> Iterator[Backend]:
    yield fleet.start("s1", protocol="tls")


def client(
    backend: Backend, sessions: TlsSessions | None, version: Literal["", "TLSv1.2", "TLSv1.3"] = "TLSv1.2"
) -> TcpClient:
    endpoint = Endpoint(backend.host, backend.port, "tcp", verify=False, tls=True, tls_version=version)
    return TcpClient(endpoint, Memory(), name="ann", timeout=PATIENCE, sessions=sessions, keep=False)


def test_a_session_is_gone_on_with_by_its_id_on_the_next_connection(backend: Backend) -> None:
    sessions = TlsSessions()
    ann = client(backend, sessions)
    first, *later = (ann.ask() for _ in range(4))
    given = first.header(SESSION)
    assert (first.error, first.backend, first.header(RESUMED), first.sent.headers) == ("", "s1", "no", ())
    assert given and sessions.id == given
    for each in later:
        assert each.sent.headers == ((SESSION, given),)
        assert (each.backend, each.header(SESSION), each.header(RESUMED)) == ("s1", given, "yes")


def test_a_server_that_was_replaced_begins_another_session(backend: Backend) -> None:
    sessions = TlsSessions()
    ann = client(backend, sessions)
    before = ann.ask().header(SESSION)
    backend.kill()
    backend.revive()
    after = ann.ask()
    assert after.sent.headers == ((SESSION, before),)
    assert after.header(RESUMED) == "no" and after.header(SESSION) not in ("", before)
    sessions.freeze()
    frozen = sessions.id
    backend.kill()
    backend.revive()
    assert [ann.ask().sent.headers for _ in range(2)] == [((SESSION, frozen),)] * 2


def test_nothing_is_kept_where_nobody_keeps_it(backend: Backend) -> None:
    nobody = client(backend, None)
    assert [nobody.ask().sent.headers for _ in range(2)] == [(), ()]


def test_tls_1_3_tells_no_id(backend: Backend) -> None:
    exchange = client(backend, TlsSessions(), "TLSv1.3").ask()
    assert (exchange.backend, exchange.header(SESSION)) == ("s1", "")


def test_faults_reach_connections_inside_of_tls(backend: Backend) -> None:
    ann = client(backend, TlsSessions())
    backend.reset()
    assert ann.ask().error in ("reset", "closed")
    backend.accept_close()
    assert ann.ask().error in ("reset", "closed")
    backend.normal()
    assert ann.ask().backend == "s1"
