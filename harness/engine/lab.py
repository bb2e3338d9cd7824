"""The resources of one run: the keeper of its processes, its network, its work directory, its timeline."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Sequence
from types import TracebackType

from limpet.harness.backends import fleet
from limpet.harness.backends.redis_server import RedisServer
from limpet.harness.backends.stock import Stock
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.ground import SOAK, Ground
from limpet.harness.engine.timeline import Timeline
from limpet.harness.engine.wires import WireMaker
from limpet.harness.network import loopback
from limpet.harness.network.site import LoopbackSite, Name, Site
from limpet.harness.processes import leftovers
from limpet.harness.processes.crowding import Crowding
from limpet.harness.processes.keeper import Keeper
from limpet.harness.targets.load import LoadedTarget


class Lab:
    """Makes deployments and takes everything apart again, also after a crash of limpet itself.

    Args:
        seed: of the run.
        targets: whose Python entry points the keeper preloads, so that a fork starts them in milliseconds.
        slots: how many scenarios may send traffic at the same time; None for one each core.
        network: where traffic comes from. A lab of namespaces is where the thread that made this is from then on.
        run: its id, which all that is made carries; "" for a new one.
        wires: what stands before the backends of deployments that are wired; None: none can be.
        soak: seconds that a soak lasts.
    """

    def __init__(
        self,
        seed: int,
        targets: Sequence[LoadedTarget] = (),
        *,
        slots: int | None = None,
        network: Name = "loopback",
        run: str = "",
        wires: WireMaker | None = None,
        soak: float = SOAK,
    ) -> None:
        entries = [each.target.launch.python for each in targets if each.target.launch and each.target.launch.python]
        entries += [each.override.entry for each in targets if each.override]
        modules = [*fleet.PRELOAD, *loopback.PRELOAD, *(entry.partition(":")[0] for entry in entries)]
        self.site: Site = _namespaces() if network == "namespace" else LoopbackSite(_rng())
        self.workdir, self._owned = leftovers.new_directory()
        self.timeline = Timeline(slots or len(os.sched_getaffinity(0)))
        try:
            self.keeper = Keeper(tuple(dict.fromkeys(modules)), remove=(self.workdir,), run=run, hold=(self._owned,))
        except BaseException:
            shutil.rmtree(self.workdir, ignore_errors=True)
            os.close(self._owned)
            self.site.close()
            raise
        self.crowding = Crowding()
        self.crowding.watch()
        self.stock = Stock()
        self.redis = RedisServer(self.keeper, self.site.lease, self.workdir / "redis")
        self.seed = seed
        self._wires = wires
        self._soak = soak
        self._numbers = itertools.count(1)

    def deployment(
        self, loaded: LoadedTarget, weights: Sequence[int] = (1, 1, 1), *, wired: bool = False
    ) -> Deployment:
        """A deployment that is not started yet. Fault proxies stand on loopback only: a lab has links to be cut."""
        links = self.site.links() if wired else None
        wires: WireMaker | None = (lambda *_: links) if links is not None else self._wires
        wired = wired and (links is not None or isinstance(self.site, LoopbackSite))
        name = f"d{next(self._numbers)}"  # short: it is part of the paths of Unix sockets
        ground = Ground(
            self.keeper, self.site, self.stock, self.timeline, self.workdir, self.seed, self.redis, wires,
            self._soak,
        )  # fmt: skip
        return Deployment(loaded, ground, name, weights, wired=wired)

    def close(self) -> None:
        """Ends every process and removes every file of the run but its results. Idempotent."""
        self.timeline.cancel()
        self.crowding.close()
        self.keeper.close()
        self.site.close()
        shutil.rmtree(self.workdir, ignore_errors=True)
        owned, self._owned = self._owned, -1
        if owned >= 0:
            os.close(owned)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _rng() -> random.Random:
    return random.Random(f"lease/{os.getpid()}")


def _namespaces() -> Site:
    # Only who uses it pays for loading what talks to the kernel.
    from limpet.harness.network.lab import Lab as NamespaceLab

    return NamespaceLab()
