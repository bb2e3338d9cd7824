"""The way between balancer and backends as something that faults can happen to: one proxy before each backend.

What a proxy is made of is nobody's business here; `limpet.harness.chaos.proxies` has two kinds of them. In a lab of
namespaces it is the link itself (`limpet.harness.network.links`), with other faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease

Impairment = Literal["latency", "jitter", "bandwidth", "slow-close", "cut", "partition", "link-down", "one-way"]
IMPAIRMENTS: tuple[Impairment, ...] = get_args(Impairment)

LINKS: tuple[Impairment, ...] = ("link-down", "one-way")
"""Impairments of a link between two hosts; the others are those of a fault proxy."""

CUTS: tuple[Impairment, ...] = ("partition", *LINKS)
"""After these no answer comes from there any more, and nobody is told."""


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
                and nobody is told. ``link-down``: the same of a link. ``one-way``: what the balancer sends arrives,
                and no answer comes back.
            value: its number; without a meaning for `CUTS`.
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

    @property
    def kinds(self) -> Sequence[str]:
        """What they can be impaired by: some of `IMPAIRMENTS`."""

    def lay(self, name: str, host: str, port: int) -> Wire:
        """A wire to the backend of this name and address.

        Raises:
            SetupFault: it could not be laid.
        """

    def close(self) -> None:
        """End all of them. Idempotent."""


WireMaker = Callable[[Keeper, Lease, Path], Wires]
"""Makes the wires of one deployment: from the run's processes, its addresses, and a directory for logs."""
