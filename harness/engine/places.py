"""Where a scenario's users sit on the network: places with an address of their own, and places behind NAT."""

from __future__ import annotations

from limpet.harness.engine.client import Client
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.people import People
from limpet.harness.network.vantage import Family, Network, Vantage, Want


class Places(People):
    """What a scenario asks of its network; `Scenario` adds the rest."""

    _network: Network | None = None

    @property
    def network(self) -> Network:
        """Where its vantages come from."""
        if self._network is None:
            self._network = self.system.network(self.sources)
        return self._network

    def home(self, name: str, *, family: Family = 4, beside: str = "") -> Vantage:
        """A place without NAT; see `Network.home`.

        Raises:
            NotCheckable: the network has none.
        """
        self._require("ipv6-prefix" if family == 6 and beside else "ipv6-home" if family == 6 else "home")
        return self.network.home(name, family=family, beside=beside)

    def nat(self, name: str, *, egress: int = 1, family: Family = 4) -> Vantage:
        """A place behind a NAT gateway; see `Network.nat`.

        Raises:
            NotCheckable: the network has none.
        """
        self._require("ipv6-nat" if family == 6 else "nat")
        return self.network.nat(name, egress=egress, family=family)

    def at(self, place: Vantage, *, keep: bool = True) -> Client:
        """A new user at this place."""
        return self.client(source=place.seat(), keep=keep, way=place)

    def moved(self, user: Client, place: Vantage) -> Client:
        """The same user (name, cookies) at another place, with connections of its own there."""
        twin = user.another(source=place.seat(), way=place)
        self._clients.append(twin)
        return twin

    def need_ipv6_homes(self) -> None:
        """Ends the scenario where no balancer at all could have several users by IPv6.

        Raises:
            NotCheckable: with the reason.
        """
        if self.network.name == "loopback":
            self._require("ipv6-home")

    def _require(self, want: Want) -> None:
        reason = self.network.lacks(want)
        if reason:
            raise NotCheckable(reason)

    def _leave(self) -> None:
        """Takes the places apart, where any were asked for."""
        if self._network is not None:
            self._network.close()
