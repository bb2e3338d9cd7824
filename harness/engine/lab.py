"""The resources of one run: the keeper of its processes, its loopback block, its work directory, its timeline."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from limpet.harness.backends.fleet import PRELOAD
from limpet.harness.backends.redis_server import RedisServer
from limpet.harness.backends.stock import Stock
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.ground import SOAK, Ground
from limpet.harness.engine.timeline import Timeline
from limpet.harness.engine.wires import WireMaker
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets.load import LoadedTarget


class Lab:
    """Makes deployments and takes everything apart again, also after a crash of limpet itself.

    Args:
        seed: of the run.
        targets: whose Python entry points the keeper preloads, so that a fork starts them in milliseconds.
        slots: how many scenarios may send traffic at the same time; None for one each core.
        wires: what stands before the backends of deployments that are wired; None: none can be.
        soak: seconds that a soak lasts.
    """

    def __init__(
        self,
        seed: int,
        targets: Sequence[LoadedTarget] = (),
        *,
        slots: int | None = None,
        wires: WireMaker | None = None,
        soak: float = SOAK,
    ) -> None:
        entries = [each.target.launch.python for each in targets if each.target.launch and each.target.launch.python]
        entries += [each.override.entry for each in targets if each.override]
        modules = [*PRELOAD, *(entry.partition(":")[0] for entry in entries)]
        # Short, because the paths of Unix sockets in it may have 107 bytes only.
        self.workdir = Path(tempfile.mkdtemp(prefix="limpet-"))
        self.timeline = Timeline(slots or len(os.sched_getaffinity(0)))
        try:
            self.keeper = Keeper(preload=tuple(dict.fromkeys(modules)), remove=(self.workdir,))
        except BaseException:
            shutil.rmtree(self.workdir, ignore_errors=True)
            raise
        self.lease = LoopbackLease(random.Random(f"lease/{os.getpid()}"))
        self.stock = Stock()
        self.redis = RedisServer(self.keeper, self.lease, self.workdir / "redis")
        self.seed = seed
        self._wires = wires
        self._soak = soak
        self._numbers = itertools.count(1)

    def deployment(
        self, loaded: LoadedTarget, weights: Sequence[int] = (1, 1, 1), *, wired: bool = False
    ) -> Deployment:
        """A deployment that is not started yet."""
        name = f"d{next(self._numbers)}"  # short: it is part of the paths of Unix sockets
        ground = Ground(
            self.keeper,
            self.lease,
            self.stock,
            self.timeline,
            self.workdir,
            self.seed,
            self.redis,
            self._wires,
            self._soak,
        )
        return Deployment(loaded, ground, name, weights, wired=wired)

    def close(self) -> None:
        """Ends every process and removes every file of the run but its results. Idempotent."""
        self.timeline.cancel()
        self.keeper.close()
        self.lease.close()
        shutil.rmtree(self.workdir, ignore_errors=True)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
