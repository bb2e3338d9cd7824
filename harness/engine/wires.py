"""The way between balancer and backends as something that faults can happen to: one proxy before each backend.

What a proxy is made of is nobody's business here; `limpet.harness.chaos.proxies` has two kinds of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, get_args

from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease

Impairment = Literal["latency", "jitter", "bandwidth", "slow-close", "cut", "partition"]
IMPAIRMENTS: tuple[Impairment, ...] = get_args(Impairment)


class Wire(Protocol):
    """The way to one backend. Every method returns when it took effect; each raises SetupFault where it does not."""

    @property
    def host(self) -> str:
        """What the balancer takes for the backend's address."""

    @property
    def port(self) -> int:
        """What the balancer takes for the backend's port."""

    def impair(self, kind: Impairment, value: float) -> None:
        """Make it bad, open connections included; another value replaces that of the same kind.

        Args:
            kind: how. ``latency`` and ``jitter``: answers come later by so many seconds, or by up to so many.
                ``bandwidth``: so many KB/s. ``slow-close``: ends of connections come so many seconds later. ``cut``:
                each connection ends after so many bytes of answers. ``partition``: nothing comes through either way,
                and nobody is told.
            value: its number; without a meaning for ``partition``.
        """

    def mend(self, kind: Impairment) -> None:
        """End one impairment."""

    def shut(self) -> None:
        """Refuse connections and end those that are open: nobody is behind it."""

    def open(self) -> None:
        """Take connections again."""


class Wires(Protocol):
    """All wires of one deployment."""

    @property
    def made_of(self) -> str:
        """What the proxies are, with their version."""

    def lay(self, name: str, host: str, port: int) -> Wire:
        """A wire to the backend of this name and address.

        Raises:
            SetupFault: it could not be laid.
        """

    def close(self) -> None:
        """End all of them. Idempotent."""


WireMaker = Callable[[Keeper, Lease, Path], Wires]
"""Makes the wires of one deployment: from the run's processes, its addresses, and a directory for logs."""
