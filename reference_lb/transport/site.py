"""What all connections of one balancer share. A reload swaps `parts` and `timeouts`; running exchanges keep theirs."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Protocol

from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.settings.config import Timeouts
from limpet.reference_lb.transport.upstream import Upstreams


class Closable(Protocol):
    """A client's connection, as the service sees it."""

    def abort(self) -> None:
        """Cut it."""


def source_of(transport: asyncio.BaseTransport) -> str:
    """The client's address; "" when it is gone already."""
    peer: tuple[str, int] | None = transport.get_extra_info("peername")
    return peer[0] if peer else ""


def port_of(transport: asyncio.BaseTransport) -> int:
    """The client's port; 0 when it is gone already."""
    peer: tuple[str, int] | None = transport.get_extra_info("peername")
    return peer[1] if peer else 0


@dataclass(slots=True)
class Site:
    """Shared by the listener, the admin API and the health checks."""

    loop: asyncio.AbstractEventLoop
    parts: Parts
    timeouts: Timeouts
    upstreams: Upstreams
    clients: set[Closable] = field(default_factory=set)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
