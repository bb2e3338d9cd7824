"""The places of a scenario in a lab: addresses that users bind on their own host, and networks behind NAT gateways."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool, SourcePoolV6
from limpet.harness.clients.way import Seen, Straight, Transport
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.network.lab import Lab
from limpet.harness.network.nat import INSIDE, Gateway, missing_gateways
from limpet.harness.network.topology import CLIENTS_V6
from limpet.harness.network.vantage import Family, Vantage, Want


class Home(Straight):
    """A place without NAT: its one address is what the balancer sees."""

    def __init__(self, name: str, sources: SourcePool | SourcePoolV6, address: str) -> None:
        self.name = name
        self.family: Family = 6 if ":" in address else 4
        self.addresses: tuple[str, ...] = (address,)
        self._sources = sources

    def seat(self) -> str:
        """The address of this place."""
        return self.addresses[0]

    def change(self) -> None:
        """Another address, outside of the key of the one before."""
        self.addresses = (self._sources.draw(),)

    def close(self) -> None:
        """Nothing was made."""


class BehindNat:
    """A place behind a gateway host of the lab's. Thread-safe."""

    family: Family = 4

    def __init__(self, name: str, gateway: Gateway, sources: SourcePool, inside: SourcePool) -> None:
        self.name = name
        self._gateway = gateway
        self._sources, self._inside = sources, inside

    @property
    def addresses(self) -> tuple[str, ...]:
        """What its connections leave by."""
        return self._gateway.egress

    def towards(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint itself: the gateway is on the way there."""
        return endpoint

    def place(self) -> AbstractContextManager[object]:
        """The host behind the gateway."""
        return self._gateway.inside.inside()

    def foresee(self, source: str | None) -> Seen:
        """The egress address, where there is only one."""
        return Seen(self.addresses[0] if len(self.addresses) == 1 else "", 0, source or "")

    def seen(self, local: tuple[str, int], transport: Transport) -> Seen:
        """What the kernel of the gateway says.

        Raises:
            SetupFault: it does not say.
        """
        if transport == "udp":
            begun = self._gateway.begin_flow(local)
            return Seen(begun.address, begun.port, local[0])
        found = self._gateway.leaves_by(local, transport)
        if found is None:
            raise SetupFault("the gateway does not know a connection that stands", where=self.name)
        return Seen(found.address, found.port, local[0])

    def seat(self) -> str:
        """An inner address."""
        return self._inside.draw()

    def change(self) -> None:
        """As many other egress addresses."""
        self._gateway.change(tuple(self._sources.draw() for _ in self.addresses))

    def close(self) -> None:
        """Takes the gateway away."""
        self._gateway.close()


class LabNetwork:
    """The places of one scenario in a lab.

    Args:
        lab: where they are.
        to: the balancer.
        sources: the scenario's addresses.
        reachable: whether the balancer is in the lab.
    """

    name = "namespace"

    def __init__(self, lab: Lab, to: Endpoint, sources: SourcePool, reachable: bool) -> None:
        self._lab, self._to, self._sources, self._reachable = lab, to, sources, reachable
        self._inside = SourcePool("inside", ranges=(INSIDE,))
        self._sources_v6 = SourcePoolV6(sources.draw(), CLIENTS_V6)  # as reproducible as that, and another one each
        self._vantages: list[Vantage] = []

    def lacks(self, want: Want) -> str:
        """Why it cannot give this."""
        if not self._reachable:
            return "the balancer is not in the lab"
        if want.startswith("ipv6") and ":" not in self._to.host:
            return "this balancer listens on an IPv4 address"
        if want == "ipv6-nat":
            return "the lab's gateways translate IPv4 only"
        if not want.startswith("ipv6") and ":" in self._to.host:
            return "this balancer listens on an IPv6 address"
        return missing_gateways() if want == "nat" else ""

    def home(self, name: str, *, family: Family = 4, beside: str = "") -> Vantage:
        """A place with an address of its own."""
        self._require("ipv6-home" if family == 6 else "home")
        sources = self._sources_v6 if family == 6 else self._sources
        return self._kept(Home(name, sources, sources.sibling(beside) if beside else sources.draw()))

    def nat(self, name: str, *, egress: int = 1, family: Family = 4) -> Vantage:
        """A place behind a gateway of its own."""
        self._require("ipv6-nat" if family == 6 else "nat")
        addresses = tuple(self._sources.draw() for _ in range(egress))
        gateway = Gateway(self._lab, addresses, (self._to.host, self._to.port))
        return self._kept(BehindNat(name, gateway, self._sources, self._inside))

    def close(self) -> None:
        """Takes the gateways away."""
        while self._vantages:
            with contextlib.suppress(SetupFault):  # the lab is gone, and they with it
                self._vantages.pop().close()

    def _kept(self, vantage: Vantage) -> Vantage:
        self._vantages.append(vantage)
        return vantage

    def _require(self, want: Want) -> None:
        reason = self.lacks(want)
        if reason:
            raise HarnessFault(reason, where=f"the {self.name} network", do="ask `lacks` first")
