"""Whose word about a client's address counts, where proxies stand before the balancer."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


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
    again decided by ``trusted``. From anybody else such words change nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    forwarded: Literal["x-forwarded-for", "x-real-ip", "forwarded"] | None = None
    proxy_protocol: tuple[Literal["v1", "v2"], ...] = ()
    trusted: tuple[Network, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> ClientAddress:
        if self.forwarded and self.proxy_protocol:
            raise ValueError("give forwarded or proxy_protocol, not both")
        return self
