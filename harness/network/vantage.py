"""Vantages: where a user sits on the network. What a scenario asks a network for, whichever network it is.

A `Vantage` is a `Way` with a name: clients open connections through it, and the history says as ``source`` what the
balancer sees of each (the egress address) and as ``bound`` what the user itself had. Several users share one vantage
(an office); one user goes from one to the next (a phone).
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from limpet.harness.clients.way import Way

Family = Literal[4, 6]
Want = Literal["home", "nat", "ipv6-home", "ipv6-nat", "ipv6-prefix"]
"""What a scenario may need: a place of its own, a NAT gateway, the same over IPv6, several addresses in one /64."""


@runtime_checkable
class Vantage(Way, Protocol):
    """A place on the network from which users reach the balancer."""

    @property
    def name(self) -> str:
        """What the report calls it, such as "an office behind one NAT"."""

    @property
    def family(self) -> Family:
        """The IP version that is spoken here."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the balancer may see of connections that are opened from now on; one address where it is foreseen."""

    def seat(self) -> str:
        """A further address for a user here to bind: an inner one behind NAT, else the one that the balancer sees."""

    def change(self) -> None:
        """New connections leave by other addresses, outside of the key of all before; those that stand are cut off.

        Raises:
            SetupFault: it cannot be done.
        """

    def close(self) -> None:
        """Takes apart what was made for it. Idempotent."""


class Network(Protocol):
    """Where the vantages of one scenario come from."""

    @property
    def name(self) -> str:
        """What the report calls it: loopback, namespace or direct."""

    def lacks(self, want: Want) -> str:
        """Why it cannot give this, for people ("" where it can)."""

    def home(self, name: str, *, family: Family = 4, beside: str = "") -> Vantage:
        """A place without NAT, with addresses that nobody else has.

        Args:
            name: for the report.
            family: IPv4 or IPv6.
            beside: an address within whose key (its /64, say) this one is to lie; "" for a key of its own.

        Raises:
            HarnessFault: it `lacks` this, and nobody asked.
        """

    def nat(self, name: str, *, egress: int = 1, family: Family = 4) -> Vantage:
        """A place behind a NAT gateway.

        Args:
            name: for the report.
            egress: how many addresses it has on the outside; each new connection leaves by the next of them.
            family: IPv4 or IPv6.

        Raises:
            HarnessFault: it `lacks` this, and nobody asked.
        """

    def close(self) -> None:
        """Takes apart what was made for this scenario. Idempotent."""
