"""What deployments stand on: the resources of one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limpet.harness.backends.redis_server import RedisServer
from limpet.harness.backends.stock import Stock
from limpet.harness.engine.timeline import Timeline
from limpet.harness.engine.wires import WireMaker
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets.model import Backends

SOAK = 10.0
"""Seconds that a soak lasts where nobody says how long."""


@dataclass(frozen=True)
class Ground:
    """What a run gives to each deployment."""

    keeper: Keeper
    lease: LoopbackLease
    stock: Stock
    timeline: Timeline
    workdir: Path
    seed: int
    redis: RedisServer
    wires: WireMaker | None = None
    soak: float = SOAK

    def store_of(self, backends: Backends) -> str:
        """The URL of the store that these backends share, "" where each has its own memory; starts what is missing.

        Raises:
            SetupFault: the store cannot be started.
        """
        if backends.sessions == "memory":
            return ""
        return self.redis.url() if backends.sessions == "redis" else backends.sessions
