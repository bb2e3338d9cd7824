"""The site of a run: where its balancers and backends get their addresses, and what its clients come from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.model.errors import SetupFault
from limpet.harness.network.capture import Capture
from limpet.harness.network.loopback import LoopbackNetwork
from limpet.harness.network.packets import Datagrams, Syns
from limpet.harness.network.vantage import Network
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease, LoopbackLease, bindable

if TYPE_CHECKING:
    from limpet.harness.network.links import Links

Name = Literal["loopback", "namespace"]

NO_FORGING = "packets from addresses that limpet does not own need a lab of network namespaces (--network namespace)"
"""Why rows that forge addresses are not checkable on loopback."""

NO_LINKS = (
    "balancer and backends are on one machine, so that there is no link to cut; --network namespace (with nft) has some"
)
"""Why faults of links are not offered on loopback."""


class Site(Protocol):
    """Held by one worker of a run."""

    @property
    def name(self) -> Name:
        """What the report calls it."""

    @property
    def clients(self) -> tuple[str, ...]:
        """The ranges that clients come from, in the order in which they are drawn from."""

    @property
    def proxies(self) -> tuple[str, ...]:
        """Networks whose word balancers trust here, in place of a contract's loopback ones; () where those will do."""

    def capture(self, host: str) -> Capture | None:
        """What passes the link of the balancer at this address; None where nothing is recorded."""

    def no_ipv6(self) -> str:
        """Why no balancer here can have an IPv6 address; "" where one can."""

    @property
    def lease(self) -> Lease:
        """Where balancers and backends get their addresses."""

    def reaches(self, host: str) -> bool:
        """Whether whoever talks to this host may come from any address of `clients`."""

    def network(self, keeper: Keeper, directory: Path, to: Endpoint, sources: SourcePool, local: bool) -> Network:
        """Places for the users of one scenario.

        Args:
            keeper: of the processes that this takes, if any.
            directory: for their files.
            to: the balancer.
            sources: the scenario's addresses.
            local: whether the balancer's clients may come from any of `clients`.
        """

    def datagrams(self, to: Endpoint) -> Datagrams:
        """Sends to a balancer from addresses that limpet does not own.

        Raises:
            SetupFault: there is no such thing here.
        """

    def links(self) -> Links | None:
        """What can cut the links between balancers and the backends of one deployment; None where there are none."""

    def syns(self, to: Endpoint) -> Syns:
        """Sends the first packets of TCP connections to a balancer, likewise.

        Raises:
            SetupFault: there is no such thing here.
        """

    def close(self) -> None:
        """Gives everything back. Idempotent."""


class LoopbackSite:
    """This machine alone: any address of 127.0.0.0/8, without privileges."""

    name: Name = "loopback"
    clients = ("127.128.0.0/9",)
    proxies: tuple[str, ...] = ()

    def __init__(self, rng: random.Random | None = None) -> None:
        """Leases a block.

        Raises:
            SetupFault: none is free.
        """
        self.lease = LoopbackLease(rng)

    def reaches(self, host: str) -> bool:
        """Whether it is a loopback address."""
        return host.startswith("127.")

    def network(self, keeper: Keeper, directory: Path, to: Endpoint, sources: SourcePool, local: bool) -> Network:
        """Places out of 127.128.0.0/9, and gateways in user space."""
        return LoopbackNetwork(keeper, self.lease, directory, to, sources, local)

    def datagrams(self, to: Endpoint) -> Datagrams:
        """Not here.

        Raises:
            SetupFault: always.
        """
        raise SetupFault(NO_FORGING)

    def links(self) -> Links | None:
        """None: see `NO_LINKS`."""
        return None

    def no_ipv6(self) -> str:
        """What keeps everybody from listening on ::1."""
        return "" if bindable("::1", 0) else "nothing can listen on ::1: this machine has no IPv6"

    def capture(self, host: str) -> Capture | None:
        """Nothing is recorded here."""
        return None

    def syns(self, to: Endpoint) -> Syns:
        """Not here.

        Raises:
            SetupFault: always.
        """
        raise SetupFault(NO_FORGING)

    def close(self) -> None:
        """Gives the block back."""
        self.lease.close()
