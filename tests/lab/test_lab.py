from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.network import namespaces, topology
from limpet.harness.network.lab import Lab
from limpet.harness.network.namespaces import Host
from limpet.harness.processes import netns
from limpet.harness.processes.keeper import Keeper

SPECIAL = [
    ipaddress.ip_network(each)
    for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001:db8::/32")
]


@pytest.fixture(scope="module")
def lab(privileged: None) -> Iterator[Lab]:
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()


def serving(host: Host, address: str, port: int = 0) -> socket.socket:
    with host.inside():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family)


def reached(source: str, server: socket.socket) -> str:
    """The address that the server sees of a connection from this one."""
    with socket.socket(server.family) as client:
        client.settimeout(10)
        client.bind((source, 0))
        client.connect(server.getsockname())
        accepted, peer = server.accept()
        accepted.close()
    return str(peer[0])


@pytest.mark.parametrize("source", ["198.51.100.1", "198.51.100.255", "203.0.113.77", "198.18.0.1", "240.1.2.3"])
def test_any_address_of_the_client_ranges_reaches_the_balancer_as_itself(lab: Lab, source: str) -> None:
    with serving(lab.balancer, topology.BALANCERS[0]) as server:
        assert reached(source, server) == source


def test_any_ipv6_address_of_the_clients_reaches_any_of_the_balancers(lab: Lab) -> None:
    with serving(lab.balancer, "2001:db8:1::77") as server:
        assert reached("2001:db8:8000::1", server) == "2001:db8:8000::1"
        assert reached("2001:db8:ffff:1:2:3:4:5", server) == "2001:db8:ffff:1:2:3:4:5"


def test_the_balancer_reaches_each_backends_host_and_backends_sit_apart(lab: Lab) -> None:
    seats = [lab.lease.seat("backend") for _ in range(20)]
    assert len({(seat.host, seat.port) for seat in seats}) == 20
    assert len({seat.namespace for seat in seats}) == len(topology.BACKENDS)
    for seat in seats[:3]:
        with netns.inside(seat.namespace):
            server = socket.create_server((seat.host, seat.port))
        with server, lab.balancer.inside(), socket.create_connection((seat.host, seat.port), timeout=10) as client:
            assert client.getsockname()[0] == topology.BALANCER.address


def test_a_closed_port_refuses_a_datagram_every_time(lab: Lab) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((topology.BACKENDS[5].address, 9))
            client.send(b"?")
            with pytest.raises(ConnectionRefusedError):
                client.recv(1)


def test_nothing_leads_out_and_nothing_in(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        assert here.getsockname()[0] == "127.0.0.1"
        with contextlib.closing(_outside_connect(here.getsockname()[1])) as result:
            assert result.error, "a thread outside reached what listens in the lab"
    # An address of nobody's: the router of the lab has no route to it. Nothing is sent beyond the lab.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        with pytest.raises(OSError, match="unreachable"):
            client.connect(("192.88.99.1", 9))
    for host in (lab.core, lab.users, lab.balancer, *lab.backends, lab.store):
        with host.inside():
            links = {name for _, name in socket.if_nameindex()}
        assert links <= {"lo", "eth0"} | {plan.name for plan in _plans()}, host.name


class _Result:
    error = ""

    def close(self) -> None:
        pass


def _outside_connect(port: int) -> _Result:
    result = _Result()

    def attempt() -> None:
        netns.enter_path(f"/proc/{os.getppid()}/ns/net")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError as err:
            result.error = str(err)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return result


def _plans() -> list[topology.Plan]:
    return [topology.USERS, topology.BALANCER, topology.STORE, *topology.BACKENDS]


def test_every_address_is_from_a_range_that_is_nobodys() -> None:
    written = [*topology.CLIENTS, topology.CLIENTS_V6, topology.CORE, *topology.BALANCERS]
    for plan in _plans():
        written += [plan.address, plan.address_v6, *plan.prefixes, *plan.prefixes_v6]
    for each in written:
        network = ipaddress.ip_network(each)
        assert any(network.version == one.version and network.subnet_of(one) for one in SPECIAL), each  # type: ignore[arg-type]


def test_no_two_hosts_share_an_address() -> None:
    owned = [ipaddress.ip_network(each) for plan in _plans() for each in (plan.prefixes or (plan.address,))]
    for number, one in enumerate(owned):
        assert not any(one.overlaps(other) for other in owned[number + 1 :])


def test_a_process_is_started_on_the_host_that_it_is_told(lab: Lab, tmp_path: Path) -> None:
    with Keeper() as keeper:
        for host in (lab.balancer, lab.backends[2]):
            output = tmp_path / host.name
            process = keeper.spawn(["readlink", "/proc/self/ns/net"], output=output, namespace=host.path)
            assert process.wait(30) == 0
            expected = f"net:[{os.fstat(host.descriptor).st_ino}]"
            assert output.read_text().strip() == expected
        with pytest.raises(SetupFault, match="namespace cannot be entered"):
            keeper.spawn(["true"], output=tmp_path / "none", namespace="/proc/self/fd/9999")


def test_a_thread_comes_back_from_another_host_also_after_an_error(lab: Lab) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(ZeroDivisionError), lab.balancer.inside():
        assert Path("/proc/thread-self/ns/net").readlink() != before
        raise ZeroDivisionError
    assert Path("/proc/thread-self/ns/net").readlink() == before


ALONE = """
import os
from limpet.harness.network.lab import Lab

def host():
    return os.readlink("/proc/thread-self/ns/net")

before, descriptors = host(), len(os.listdir("/proc/self/fd"))
lab = Lab()
assert host() != before, "the thread did not enter the lab"
lab.close()
lab.close()
assert host() == before, "the thread did not come back"
left = len(os.listdir("/proc/self/fd")) - descriptors
assert left == 0, f"{left} descriptors are left"
"""


def test_closing_puts_the_thread_back_and_frees_every_host(privileged: None) -> None:
    # In a process of its own: what other tests left to be collected is closed at any moment.
    done = subprocess.run([sys.executable, "-c", ALONE], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_without_privileges_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces.missing.cache_clear()
    monkeypatch.setattr(namespaces, "_capable", lambda _bit: False)
    try:
        with pytest.raises(SetupFault, match="CAP_SYS_ADMIN and CAP_NET_ADMIN"):
            Lab()
    finally:
        namespaces.missing.cache_clear()
