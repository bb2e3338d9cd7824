"""What the gateway passes on, and that what it says of a connection is what its target sees."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.backends.options import Protocol
from limpet.harness.clients import Exchange, HttpClient, RawConnection, SourcePool, TcpClient, UdpClient
from limpet.harness.clients.base import Endpoint
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.model.history import Record, Sent, decode, encode
from limpet.harness.network.loopback import GatewayVantage, LoopbackNetwork
from limpet.harness.network.vantage import Network, Vantage
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

CLIENTS = ip_network("127.128.0.0/9")
LONG = b"x" * 3_000_000


class Memory:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)

    def offset(self) -> float:
        return 0.0

    def request_id(self) -> str:
        return f"r{len(self.records)}"


Networked = Callable[[Endpoint], LoopbackNetwork]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def network_to(keeper: Keeper, lease: LoopbackLease, tmp_path: Path) -> Iterator[Networked]:
    made: list[LoopbackNetwork] = []

    def make(to: Endpoint) -> LoopbackNetwork:
        made.append(LoopbackNetwork(keeper, lease, tmp_path / "net", to, SourcePool(1), reachable=True))
        return made[-1]

    yield make
    for each in made:
        each.close()


def started(fleet: Fleet, protocol: Protocol) -> tuple[Backend, Endpoint]:
    backend = fleet.start("b1", protocol=protocol)
    return backend, Endpoint(backend.host, backend.port, "tcp" if protocol == "tls" else protocol)


def peer(exchange: Exchange, backend: Backend) -> str:
    return next(each.peer for each in backend.arrived() if each.id == exchange.id)


def test_http_behind_one_address(fleet: Fleet, network_to: Networked, memory: Memory) -> None:
    backend, endpoint = started(fleet, "http")
    office = network_to(endpoint).nat("office")
    assert isinstance(office, Vantage)
    for name in ("ann", "bob"):
        seat = office.seat()
        with HttpClient(endpoint, memory, name=name, source=seat, way=office) as user:
            one, two = user.get("/"), user.post("/", LONG)
        assert one.status == two.status == 200
        assert one.sent.source == office.addresses[0]
        assert one.sent.bound == seat != one.sent.source
        assert peer(one, backend) == f"{one.sent.source}:{one.sent.port}" == peer(two, backend)
        assert ("Host", endpoint.authority) in one.sent.headers


def test_a_pool_takes_turns_and_says_of_each_connection_which(
    fleet: Fleet, network_to: Networked, memory: Memory
) -> None:
    backend, endpoint = started(fleet, "tcp")
    pool = network_to(endpoint).nat("carrier", egress=3)
    user = TcpClient(endpoint, memory, name="ann", source=pool.seat(), keep=False, way=pool)
    asked = [user.ask() for _ in range(6)]
    assert [each.sent.source for each in asked] == [*pool.addresses] * 2
    assert [peer(each, backend) for each in asked] == [f"{each.sent.source}:{each.sent.port}" for each in asked]
    assert pool.foresee("127.128.1.1").address == ""


def test_flows_of_datagrams(fleet: Fleet, network_to: Networked, memory: Memory) -> None:
    backend, endpoint = started(fleet, "udp")
    pool = network_to(endpoint).nat("carrier", egress=2)
    with UdpClient(endpoint, memory, name="ann", source=pool.seat(), way=pool) as ann:
        first, second = ann.ask(), ann.ask()
    with UdpClient(endpoint, memory, name="bob", source=pool.seat(), way=pool) as bob:
        other = bob.ask()
    assert not first.error and not other.error
    assert peer(first, backend) == f"{first.sent.source}:{first.sent.port}" == peer(second, backend)
    assert {first.sent.source, other.sent.source} == set(pool.addresses)


def test_a_change_cuts_off_what_stands(fleet: Fleet, network_to: Networked, memory: Memory) -> None:
    _, endpoint = started(fleet, "http")
    vpn = network_to(endpoint).nat("tunnel")
    with RawConnection(endpoint, memory, source=vpn.seat(), way=vpn) as raw:
        assert raw.request("ann", "GET", "/").sent.source == vpn.addresses[0]
        before = vpn.addresses
        vpn.change()
        assert not set(before) & set(vpn.addresses)
        assert raw.wait_closed(20) == "reset"
        raw.renew()
        after = raw.request("ann", "GET", "/")
    assert after.status == 200
    assert after.sent.source == vpn.addresses[0]


def test_a_flow_leaves_by_the_new_address_after_a_change(fleet: Fleet, network_to: Networked, memory: Memory) -> None:
    backend, endpoint = started(fleet, "udp")
    vpn = network_to(endpoint).nat("tunnel")
    with UdpClient(endpoint, memory, name="ann", source=vpn.seat(), way=vpn) as ann:
        ann.ask()
        vpn.change()
        ann.close()
        after = ann.ask()
    assert peer(after, backend).startswith(f"{vpn.addresses[0]}:")


def test_resets_and_half_closed_connections_pass_through(network_to: Networked, memory: Memory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint("127.0.0.1", server.getsockname()[1], "tcp")
        office = network_to(endpoint).nat("office")
        inside = socket.create_connection((office.towards(endpoint).host, office.towards(endpoint).port), timeout=20)
        outside, _ = server.accept()
        outside.settimeout(20)
        inside.sendall(b"question")
        inside.shutdown(socket.SHUT_WR)
        assert outside.recv(100) == b"question"
        assert outside.recv(100) == b""
        outside.sendall(b"late answer")
        assert inside.recv(100) == b"late answer"
        outside.close()
        assert inside.recv(100) == b""
        inside.close()

        inside = socket.create_connection((office.towards(endpoint).host, office.towards(endpoint).port), timeout=20)
        outside, _ = server.accept()
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        outside.close()
        with pytest.raises(ConnectionResetError):
            inside.recv(100)
        inside.close()


def test_nobody_behind_it(network_to: Networked, memory: Memory, lease: LoopbackLease) -> None:
    host, port = lease.next_endpoint()
    office = network_to(Endpoint(host, port)).nat("office")
    with HttpClient(Endpoint(host, port), memory, name="ann", source=office.seat(), way=office) as ann:
        refused = ann.get("/")
    assert refused.error in ("reset", "closed")  # whether it was met while sending or while reading
    assert refused.sent.source == office.addresses[0]
    assert refused.sent.port == 0


def test_it_leads_to_one_endpoint_only(network_to: Networked, lease: LoopbackLease) -> None:
    office = network_to(Endpoint(*lease.next_endpoint())).nat("office")
    with pytest.raises(HarnessFault, match="only"):
        office.towards(Endpoint("127.0.0.1", 1))


def test_a_gateway_that_died_is_nobody_elses_fault(fleet: Fleet, network_to: Networked, memory: Memory) -> None:
    _, endpoint = started(fleet, "http")
    office = network_to(endpoint).nat("office")
    assert isinstance(office, GatewayVantage)
    office._process.end()
    with pytest.raises(SetupFault, match="gateway of office"):
        office.change()


def test_nothing_is_left(network_to: Networked, lease: LoopbackLease, tmp_path: Path) -> None:
    endpoint = Endpoint(*lease.next_endpoint())
    network = network_to(endpoint)
    office = network.nat("office")
    assert isinstance(office, GatewayVantage)
    network.close()
    network.close()
    assert not office._process.alive()
    assert not list(tmp_path.glob("net/*.sock"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((office.towards(endpoint).host, office.towards(endpoint).port), timeout=5)


def test_places_of_ones_own(network_to: Networked) -> None:
    network: Network = network_to(Endpoint("127.0.0.1", 1))
    home, other = network.home("at home"), network.home("next door")
    assert home.seat() == home.addresses[0] != other.addresses[0]
    assert ip_address(home.seat()) in CLIENTS
    assert home.seen((home.seat(), 4711), "tcp") == (home.seat(), 4711, "")
    before = home.seat()
    home.change()
    assert home.seat() != before
    assert "IPv6" in network.lacks("ipv6-home")
    with pytest.raises(HarnessFault):
        network.home("at home", family=6)


def test_a_balancer_elsewhere_has_no_places(keeper: Keeper, lease: LoopbackLease, tmp_path: Path) -> None:
    network = LoopbackNetwork(keeper, lease, tmp_path, Endpoint("192.0.2.1", 80), SourcePool(1), reachable=False)
    assert "not on loopback" in network.lacks("nat")
    with pytest.raises(HarnessFault):
        network.nat("office")


def test_old_histories_are_read() -> None:
    old = b'{"type":"sent","id":"r1","t":1.0,"client":"ann","connection":"c1","source":"127.128.0.9","port":4711}\n'
    record = decode(old)
    assert isinstance(record, Sent)
    assert record.bound == ""
    assert encode(record) == old
