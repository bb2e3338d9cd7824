"""The lab: a router in the middle, and behind it the users' host, the balancer's, the backends' and NAT gateways.

A worker of a run builds one for itself and lives on the users' host from then on: whatever it opens, a client's
connection or a probe, goes over the lab's links.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pyroute2 import IPRoute

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.model.errors import SetupFault
from limpet.harness.network import topology
from limpet.harness.network.capture import Capture
from limpet.harness.network.links import Links, missing_links
from limpet.harness.network.namespaces import Host, make, missing, missing_ipv6
from limpet.harness.network.packets import Datagrams, Syns, raw_socket
from limpet.harness.network.site import Name
from limpet.harness.network.topology import Plan
from limpet.harness.network.vantage import Network
from limpet.harness.processes import netns
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import FIRST_PORT, Role, Seat, bindable, ephemeral_start

_LOCAL_TABLE = 255
_SCOPE_LINK, _SCOPE_HOST = 253, 254
_NODAD = 0x02
_ICMP = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


class Lab:
    """One lab of network namespaces, without a route to anywhere else.

    The thread that makes it is on the users' host until it closes it; so are the threads that it starts meanwhile.
    """

    name: Name = "namespace"
    clients = topology.CLIENTS
    proxies = (topology.PROXIES,)

    def __init__(self) -> None:
        """Builds it.

        Raises:
            SetupFault: this process may not, or the kernel refused something; nothing is left then.
        """
        if reason := missing():
            raise SetupFault(reason, where="--network namespace", do="run as root, or use --network loopback")
        self._hosts: list[Host] = []
        self._captures: dict[str, Capture] = {}
        self._lock = threading.Lock()
        self._no_ipv6 = missing_ipv6()
        self._home = netns.current()
        self._thread = threading.get_ident()
        try:
            self.core = self._make("core", topology.CORE, forwards=True)
            with self.core.configured() as kernel:
                kernel.addr("add", index=1, address=topology.CORE, prefixlen=32)
                kernel.route("add", dst=topology.FORGED, type="blackhole")
            self.users = self.attach(topology.USERS)
            self.balancer = self.attach(topology.BALANCER)
            self.backends = [self.attach(plan) for plan in topology.BACKENDS]
            self.store = self.attach(topology.STORE)
            self.lease = LabLease(self)
            self.pairs = Pairs()
            self._record(self.balancer)
            netns.enter(self.users.descriptor)
        except BaseException:
            self.close()
            raise

    def datagrams(self, to: Endpoint) -> Datagrams:
        """Sends to a balancer of the lab's from any address of `topology.FORGED`.

        Raises:
            SetupFault: this process may not.
        """
        with self.users.inside():
            return Datagrams(raw_socket(), (to.host, to.port))

    def links(self) -> Links | None:
        """Cuts links at the router; None where nothing can: see `missing_links`."""
        return None if missing_links() else Links(self.core)

    def no_ipv6(self) -> str:
        """Why nobody here has an IPv6 address; "" where everybody has."""
        return self._no_ipv6

    def syns(self, to: Endpoint) -> Syns:
        """The same for the first packets of TCP connections.

        Raises:
            SetupFault: this process may not.
        """
        with self.users.inside():
            return Syns(raw_socket(), (to.host, to.port))

    def reaches(self, host: str) -> bool:
        """Whether this is a balancer of the lab's."""
        return host in (*topology.BALANCERS, *topology.BALANCERS_V6, *(plan.address for plan in topology.ALONE))

    def capture(self, host: str) -> Capture | None:
        """What passes the link of the balancer at this address."""
        return self._captures.get(host, self._captures.get(self.balancer.address))

    def alone(self, plan: Plan) -> Host:
        """A host for balancers that change their host's network.

        Raises:
            SetupFault: the kernel refused something.
        """
        host = self.attach(plan)
        self._record(host)
        return host

    def network(self, keeper: Keeper, directory: Path, to: Endpoint, sources: SourcePool, local: bool) -> Network:
        """Places on the users' host, and behind gateways of their own."""
        from limpet.harness.network.places import LabNetwork

        return LabNetwork(self, to, sources, local)

    def attach(self, plan: Plan, to: Host | None = None, *, forwards: bool = False) -> Host:
        """A new host with a link to the router (or to another one), which has the routes to it.

        Raises:
            SetupFault: the kernel refused something.
        """
        router = to or self.core
        host = self._make(plan.name, plan.address, forwards=forwards)
        host.router = router
        with router.configured() as kernel:
            kernel.link("add", ifname=plan.name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": host.descriptor})
            link = kernel.link_lookup(ifname=plan.name)[0]
            kernel.link("set", index=link, state="up")
            self._own(kernel, link, topology.LINK_CORE, 64)
            kernel.route("add", dst=f"{plan.address}/32", oif=link, scope=_SCOPE_LINK)
            for prefix in plan.prefixes:
                kernel.route("add", dst=prefix, gateway=plan.address, oif=link, flags=["onlink"])
        with host.configured() as kernel:
            link = kernel.link_lookup(ifname="eth0")[0]
            kernel.link("set", index=link, state="up")
            kernel.addr("add", index=link, address=plan.address, prefixlen=32)
            self._own(kernel, link, plan.address_v6, 128)
            self._own(kernel, link, topology.LINK_HOST, 64)
            kernel.route("add", dst=f"{router.address}/32", oif=link, scope=_SCOPE_LINK)
            kernel.route("add", dst="0.0.0.0/0", gateway=router.address, oif=link, prefsrc=plan.address)
            any_ip(kernel, plan.prefixes)
            if not self._no_ipv6:
                kernel.route("add", dst="::/0", gateway=topology.LINK_CORE, oif=link, family=socket.AF_INET6)
                any_ip(kernel, plan.prefixes_v6)
        if self._no_ipv6:
            return host
        with router.configured() as kernel:  # only now does the link have a carrier, without which IPv6 takes no route
            link = kernel.link_lookup(ifname=plan.name)[0]
            for prefix in (f"{plan.address_v6}/128", *plan.prefixes_v6):
                kernel.route("add", dst=prefix, gateway=topology.LINK_HOST, oif=link, family=socket.AF_INET6)
        return host

    def detach(self, host: Host) -> None:
        """Takes a host away: its link at once, itself when nobody holds anything there any more."""
        with self._lock:
            if self._home < 0 or host not in self._hosts:
                return
            self._hosts.remove(host)
        if host.router is not None:
            with host.router.configured() as kernel:
                for link in kernel.link_lookup(ifname=host.name):
                    kernel.link("del", index=link)
        host.close()

    @staticmethod
    def route(kernel: IPRoute, verb: str, address: str, link: int, via: str, table: int) -> None:
        """Adds or deletes the route to one address behind a host, in a table of the router's."""
        if ":" in address:
            kernel.route(
                verb, dst=f"{address}/128", gateway=topology.LINK_HOST, oif=link, family=socket.AF_INET6, table=table
            )
        else:
            kernel.route(verb, dst=f"{address}/32", gateway=via, oif=link, flags=["onlink"], table=table)

    def divert(self, verb: Literal["add", "del"], balancer: tuple[str, int], table: int) -> None:
        """Has the router look up in this table first what a balancer sends, or no longer.

        Scenarios draw their users' addresses without knowing of each other, and many share one lab: an address may be
        a gateway's for one balancer and somebody's home for another. Who answers tells the router which one is meant.

        Args:
            verb: whether it begins or ends.
            balancer: address and port that it listens on.
            table: its number, which is the rules' priority too.

        Raises:
            SetupFault: the kernel refused it.
        """
        with self._lock:
            if self._home < 0:
                return
        host, port = balancer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        answers = {"src": host, "family": family, "table": table, "priority": table}
        with self.core.configured() as kernel:
            for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
                kernel.rule(verb, **answers, ip_proto=protocol, sport_range=f"{port}:{port}")
            # Errors have no ports. They are about a packet of the user's, and are of no meaning to anybody else.
            kernel.rule(verb, **answers, ip_proto=_ICMP[family])

    def close(self) -> None:
        """Lets go of every host; what still runs there keeps it until it ends. Idempotent."""
        with self._lock:
            if self._home < 0:
                return
            if threading.get_ident() == self._thread:
                netns.enter(self._home)
            os.close(self._home)
            self._home = -1
            for capture in list(self._captures.values()):
                capture.close()
            for host in self._hosts:
                host.close()

    def _own(self, kernel: IPRoute, link: int, address: str, length: int) -> None:
        """Gives a link an IPv6 address that can be used at once, where there are any."""
        if not self._no_ipv6:
            kernel.addr("add", index=link, address=address, prefixlen=length, family=socket.AF_INET6, flags=_NODAD)

    def _record(self, host: Host) -> None:
        with host.inside(), contextlib.suppress(SetupFault):  # evidence only: no verdict needs it
            self._captures[host.address] = Capture("eth0")

    def _make(self, name: str, address: str, *, forwards: bool = False) -> Host:
        host = make(name, address, forwards=forwards)
        with self._lock:
            self._hosts.append(host)
        return host


class Pairs:
    """The gateways that may still be made, each with its users' host. Thread-safe."""

    def __init__(self) -> None:
        self._free = list(reversed(topology.PAIRS))
        self._lock = threading.Lock()

    def take(self) -> tuple[Plan, Plan]:
        """One that nobody has.

        Raises:
            SetupFault: there are too many at the same time.
        """
        with self._lock:
            if not self._free:
                raise SetupFault(f"a lab has room for {len(topology.PAIRS)} NAT gateways at the same time")
            return self._free.pop()

    def give_back(self, pair: tuple[Plan, Plan]) -> None:
        """It is gone."""
        with self._lock:
            self._free.append(pair)


class LabLease:
    """The lab's addresses: each role has hosts of its own. Thread-safe."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._walks: dict[Role, Iterator[tuple[Host, str, int]]] = {
            "balancer": _walk([(lab.balancer, each) for each in topology.BALANCERS]),
            "balancer-v6": _walk([(lab.balancer, each) for each in topology.BALANCERS_V6]),
            "balancer-alone": _walk_alone(lab),
            # Who steers a balancer sits on its host, and nobody else reaches what listens on loopback there.
            "admin": _walk([(lab.balancer, "127.0.0.1")]),
            "backend": _walk(
                [
                    (host, topology.seats_of(plan)[step])
                    for step in range(4)
                    for host, plan in zip(lab.backends, topology.BACKENDS, strict=True)
                ]
            ),
            "store": _walk([(lab.store, topology.STORE.address)]),
        }

    def seat(self, role: Role) -> Seat:
        """A place that was never given before and can be bound now.

        Raises:
            SetupFault: every port of such hosts was given out, or there is no IPv6.
        """
        if role == "balancer-v6" and (reason := self._lab.no_ipv6()):
            raise SetupFault(reason)
        with self._lock:
            for host, address, port in self._walks[role]:
                with host.inside():
                    free = bindable(address, port)
                if free:
                    return Seat(address, port, host.path)
        raise SetupFault(f"every port of the lab's {role} was given out")


def any_ip(kernel: IPRoute, prefixes: Sequence[str]) -> None:
    """Makes every address of these prefixes the host's own, without configuring any."""
    for prefix in prefixes:
        family = socket.AF_INET6 if ":" in prefix else socket.AF_INET
        scope = {} if family == socket.AF_INET6 else {"scope": _SCOPE_HOST}
        kernel.route("add", dst=prefix, oif=1, type="local", table=_LOCAL_TABLE, family=family, **scope)


def _walk(places: Sequence[tuple[Host, str]]) -> Iterator[tuple[Host, str, int]]:
    """Hosts come first, ports second."""
    limit = ephemeral_start()
    for port in range(FIRST_PORT, limit if limit > FIRST_PORT + 100 else 65536):
        for host, address in places:
            yield host, address, port


def _walk_alone(lab: Lab) -> Iterator[tuple[Host, str, int]]:
    """The same over hosts that are made when they are needed: hardly any run has a balancer for them."""
    hosts: list[Host] = []
    for plan in topology.ALONE:
        hosts.append(lab.alone(plan))
        yield hosts[-1], plan.address, FIRST_PORT
    for host, address, port in _walk([(host, host.address) for host in hosts]):
        if port > FIRST_PORT:
            yield host, address, port
