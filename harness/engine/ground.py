"""What deployments stand on: the resources of one run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

from limpet.harness.backends.redis_server import RedisServer
from limpet.harness.backends.stock import Stock
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.engine.timeline import Timeline
from limpet.harness.engine.wires import WireMaker
from limpet.harness.network.site import Site
from limpet.harness.network.vantage import Network
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.model import Backends

SOAK = 10.0
"""Seconds that a soak lasts where nobody says how long."""


@dataclass(frozen=True)
class Ground:
    """What a run gives to each deployment."""

    keeper: Keeper
    site: Site
    stock: Stock
    timeline: Timeline
    workdir: Path
    seed: int
    redis: RedisServer
    wires: WireMaker | None = None
    soak: float = SOAK

    @property
    def lease(self) -> Lease:
        """Where balancers and backends get their addresses."""
        return self.site.lease

    def here(self, loaded: LoadedTarget) -> LoadedTarget:
        """The target as it is set up on this network: proxies on loopback that it trusts are those of the network."""
        said = loaded.contract.client_address
        if loaded.target.launch is None or said is None or not self.site.proxies:
            return loaded
        trusted = tuple(each for each in said.trusted if not ip_network(each).is_loopback)
        if len(trusted) == len(said.trusted):
            return loaded
        changed = {"client_address": said.model_copy(update={"trusted": (*trusted, *self.site.proxies)})}
        contract, own = loaded.contract.model_copy(update=changed), loaded.own.model_copy(update=changed)
        return replace(loaded, contract=contract, own=own)

    def pool(self, seed: str, prefix_v4: int) -> SourcePool:
        """Client addresses of this network.

        Raises:
            SetupFault: its clients cannot differ in so few bits.
        """
        return SourcePool(seed, prefix_v4=prefix_v4, ranges=self.site.clients)

    def store_of(self, backends: Backends) -> str:
        """The URL of the store that these backends share, "" where each has its own memory; starts what is missing.

        Raises:
            SetupFault: the store cannot be started.
        """
        if backends.sessions == "memory":
            return ""
        return self.redis.url() if backends.sessions == "redis" else backends.sessions

    def network(self, deployment: str, to: Endpoint, sources: SourcePool, *, local: bool) -> Network:
        """Places for the users of one scenario.

        Args:
            deployment: whose balancer it is.
            to: that balancer.
            sources: the scenario's addresses.
            local: whether its clients may come from any address of this site.
        """
        return self.site.network(self.keeper, self.workdir / deployment / "net", to, sources, local)
