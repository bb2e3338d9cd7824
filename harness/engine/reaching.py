"""Where the clients of a deployment go, and how."""

from __future__ import annotations

from typing import Literal, cast

from limpet.harness.clients.base import Endpoint
from limpet.harness.targets.running import RunningTarget

_SCHEMES = ("tcp", "udp", "https")


def endpoint_of(target: RunningTarget) -> Endpoint:
    """The balancer as its clients are to reach it."""
    said = target.target.endpoint
    scheme = cast(Literal["http", "https", "tcp", "udp"], target.scheme if target.scheme in _SCHEMES else "http")
    if target.target.backends.protocol == "tls":  # each backend's own, which proves nothing to its clients
        return Endpoint(target.host, target.port, "tcp", verify=False, tls=True, tls_version="TLSv1.2")
    return Endpoint(
        target.host, target.port, scheme, verify=said.verify, ca=target.ca, proxy_protocol=said.proxy_protocol
    )
