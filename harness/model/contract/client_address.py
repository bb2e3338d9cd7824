"""Whose word about a client's address counts, where proxies stand before the balancer."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as err:
        raise ValueError(f"{text!r} is no network ({err}); write one such as 10.0.0.0/8") from None


Network = Annotated[str, AfterValidator(_network)]


class ClientAddress(BaseModel):
    """How the balancer learns a client's address from a proxy in one of the ``trusted`` networks.

    ``forwarded``: the one header that it reads, from the right: the first address that is no trusted proxy's.
    ``proxy_protocol``: the versions of the PROXY header with which each connection must begin; whether it counts is
    again decided by ``trusted``. From anybody else such words change nothing. ``hops`` instead of ``trusted``: so many
    proxies stand before the balancer, and it believes whoever connects: the address is the one that far from the right,
    the connection's own where fewer are named. ``joined``: several lines of the header are one list, in their order,
    as in any header that is a list (RFC 9110, section 5.3); not every balancer says so of this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    forwarded: Literal["x-forwarded-for", "x-real-ip", "forwarded"] | None = None
    proxy_protocol: tuple[Literal["v1", "v2"], ...] = ()
    trusted: tuple[Network, ...] = ()
    hops: int | None = Field(default=None, ge=1)
    joined: bool | None = None

    @property
    def believed(self) -> bool:
        """Whether there is anybody whose word counts."""
        return bool(self.trusted or self.hops)

    @model_validator(mode="after")
    def _one_way(self) -> ClientAddress:
        if self.forwarded and self.proxy_protocol:
            raise ValueError("give forwarded or proxy_protocol, not both")
        if self.joined and self.forwarded not in ("x-forwarded-for", "forwarded"):
            raise ValueError("joined goes with a header that is a list: x-forwarded-for or forwarded")
        if self.hops and self.trusted:
            raise ValueError("give trusted (whose word counts) or hops (anybody's, so far from the right), not both")
        if self.proxy_protocol and (self.hops or 1) > 1:
            raise ValueError("a PROXY header tells one address: hops = 1")
        return self
