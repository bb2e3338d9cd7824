from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from limpet.harness.network.lab import Lab
from limpet.harness.network.nat import Gateway
from limpet.harness.processes import netns

POOL = ("203.0.113.7", "203.0.113.8", "198.51.100.10")


@pytest.fixture(scope="module")
def lab(filtered: None) -> Iterator[Lab]:
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def balancer(lab: Lab) -> Iterator[socket.socket]:
    seat = lab.lease.seat("balancer")
    with netns.inside(seat.namespace):
        server = socket.create_server((seat.host, seat.port))
    with server:
        server.settimeout(10)
        yield server


def opened(gateway: Gateway, source: str, server: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """A connection from behind the gateway, and what the server sees of it."""
    with gateway.inside.inside():
        client = socket.socket(server.family)
        client.bind((source, 0))
    client.settimeout(10)
    client.connect(server.getsockname())
    accepted, peer = server.accept()
    accepted.close()
    return client, peer[:2]


def test_everybody_behind_an_office_has_its_one_address(lab: Lab, balancer: socket.socket) -> None:
    with closing(Gateway(lab, ["203.0.113.99"], balancer.getsockname())) as gateway:
        for last in range(1, 6):
            client, seen = opened(gateway, f"198.51.100.{last}", balancer)
            with client:
                assert seen[0] == "203.0.113.99"
                found = gateway.leaves_by(client.getsockname())
                assert found is not None
                assert (found.address, found.port) == seen


def test_a_carrier_gives_each_connection_the_next_address_and_limpet_knows_which(
    lab: Lab, balancer: socket.socket
) -> None:
    with closing(Gateway(lab, POOL, balancer.getsockname())) as gateway:
        for number in range(7):
            client, seen = opened(gateway, "198.51.100.1", balancer)
            with client:
                assert seen[0] == POOL[number % 3]
                found = gateway.leaves_by(client.getsockname())
                assert found is not None
                assert (found.address, found.port) == seen
        assert gateway.leaves_by(("198.51.100.1", 9)) is None


def test_a_carrier_gives_each_flow_of_datagrams_the_next_address_and_keeps_it(lab: Lab) -> None:
    seat = lab.lease.seat("balancer")
    with netns.inside(seat.namespace):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((seat.host, seat.port))
    with server, closing(Gateway(lab, POOL, (seat.host, seat.port))) as gateway:
        server.settimeout(10)
        for number in range(5):
            with gateway.inside.inside():
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                client.bind(("198.51.100.1", 0))
            with client:
                client.connect((seat.host, seat.port))
                foreseen = gateway.begin_flow(client.getsockname())
                assert foreseen.address == POOL[number % 3]
                for _ in range(3):
                    client.send(b"?")
                    assert server.recvfrom(1)[1] == (foreseen.address, foreseen.port)


def test_a_changed_address_cuts_off_what_left_by_the_old_one(lab: Lab, balancer: socket.socket) -> None:
    with closing(Gateway(lab, ["203.0.113.50"], balancer.getsockname())) as gateway:
        client, seen = opened(gateway, "198.51.100.1", balancer)
        assert seen[0] == "203.0.113.50"
        gateway.change(["203.0.113.51"])
        with client, pytest.raises(OSError, match=r"reset|pipe"):
            client.send(b"?")
            assert client.recv(1) == b"", "what was in flight may end first"
            client.send(b"?")
            client.recv(1)
        client, seen = opened(gateway, "198.51.100.1", balancer)
        client.close()
        assert seen[0] == "203.0.113.51"


def test_a_gateway_of_ipv6(lab: Lab) -> None:
    with lab.balancer.inside():
        server = socket.create_server(("2001:db8:1::50", 0), family=socket.AF_INET6)
    pool = ("2001:db8:8000::7", "2001:db8:8000:1::8")
    with server, closing(Gateway(lab, pool, server.getsockname()[:2])) as gateway:
        server.settimeout(10)
        for number in range(4):
            client, seen = opened(gateway, "2001:db8:4000::9", server)
            with client:
                assert seen[0] == pool[number % 2]
                found = gateway.leaves_by(client.getsockname()[:2])
                assert found is not None
                assert (found.address, found.port) == seen


def test_a_gateway_that_is_closed_leaves_its_number_to_the_next_one(lab: Lab, balancer: socket.socket) -> None:
    for address in ("203.0.113.60", "203.0.113.61"):
        with closing(Gateway(lab, [address], balancer.getsockname())) as gateway:
            client, seen = opened(gateway, "198.51.100.1", balancer)
            client.close()
            assert seen[0] == address


def test_an_address_is_a_gateways_for_its_own_balancer_only(lab: Lab, balancer: socket.socket) -> None:
    """Scenarios that share a lab draw their addresses without knowing of each other."""
    shared = POOL[0]
    with lab.balancer.inside():
        other = socket.create_server(("192.0.2.45", 0))
    with other, closing(Gateway(lab, [shared], balancer.getsockname())) as gateway:
        other.settimeout(10)
        with socket.socket() as home:
            home.settimeout(10)
            home.bind((shared, 0))
            home.connect(other.getsockname())
            accepted, peer = other.accept()
            accepted.close()
            assert peer == home.getsockname(), "somebody else's home has that address too"
        with closing(Gateway(lab, [shared], other.getsockname())) as second:
            for each, server in ((gateway, balancer), (second, other), (gateway, balancer)):
                client, seen = opened(each, "198.51.100.1", server)
                client.close()
                assert seen[0] == shared
            second.change([POOL[1]])
            client, seen = opened(gateway, "198.51.100.1", balancer)
            client.close()
            assert seen[0] == shared
        client, seen = opened(gateway, "198.51.100.1", balancer)
        client.close()
        assert seen[0] == shared


def test_a_closed_port_refuses_a_datagram_from_behind_a_gateway(lab: Lab) -> None:
    closed = (lab.balancer.address, 9)
    with closing(Gateway(lab, ["203.0.113.88"], closed)) as gateway:
        with gateway.inside.inside():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.bind(("198.51.100.1", 0))
        with client:
            client.settimeout(10)
            client.connect(closed)
            client.send(b"?")
            with pytest.raises(ConnectionRefusedError):
                client.recv(1)


def test_a_closed_gateway_leaves_no_rule_behind(lab: Lab, balancer: socket.socket) -> None:
    def rules() -> int:
        with lab.core.configured() as kernel:
            return len(list(kernel.get_rules(family=socket.AF_INET)))

    before = rules()
    with closing(Gateway(lab, POOL, balancer.getsockname())):
        assert rules() > before
    assert rules() == before
