"""How a user's connections come to the balancer: straight from the bound address, or through what stands between."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol

from limpet.harness.clients.base import Endpoint

Transport = Literal["tcp", "udp"]


class Seen(NamedTuple):
    """One end of a connection or flow as the balancer sees it.

    ``address`` is "" and ``port`` 0 where nobody knows. ``bound`` is the user's own address where that is another one.
    """

    address: str
    port: int
    bound: str = ""


class Way(Protocol):
    """What is between a user and the balancer. Every method may be called from any thread."""

    def towards(self, endpoint: Endpoint) -> Endpoint:
        """Where a connection to this endpoint is opened; its authority and its certificate's name stay the same."""

    def place(self) -> AbstractContextManager[object]:
        """The network namespace in which a socket is made, entered by this thread while it is made and bound."""

    def foresee(self, source: str | None) -> Seen:
        """What the balancer will see of a connection from this bound address, as far as that is certain already."""

    def seen(self, local: tuple[str, int], transport: Transport) -> Seen:
        """What the balancer sees of a connection that stands, or of a flow that begins with the next datagram.

        Args:
            local: address and port of the user's own end.
            transport: of what.

        Raises:
            SetupFault: what stands between does not answer any more.
        """


class Straight:
    """Nothing is between: the balancer sees the address that was bound."""

    def towards(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint itself."""
        return endpoint

    def place(self) -> AbstractContextManager[object]:
        """Where limpet is."""
        return nullcontext()

    def foresee(self, source: str | None) -> Seen:
        """That address; the kernel chooses the port later."""
        return Seen(source or "", 0)

    def seen(self, local: tuple[str, int], transport: Transport) -> Seen:
        """The user's own end."""
        return Seen(*local)


STRAIGHT: Way = Straight()
