"""The network of one run: a bridge without a way out, and the addresses on it."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator

from limpet.harness.containers.engine import Engine
from limpet.harness.containers.labels import Run
from limpet.harness.containers.subnets import candidates, taken_here
from limpet.harness.model.errors import SetupFault


class Network:
    """An internal network, made at once. Thread-safe.

    Containers on it reach each other and this machine's end of the bridge; this machine reaches them.
    """

    def __init__(self, engine: Engine, run: Run) -> None:
        """Make it on the first block that nobody has.

        Raises:
            SetupFault: every block is taken, or the engine refuses.
        """
        self.name = run.name("net")
        self._engine = engine
        self._lock = threading.Lock()
        for block in candidates(taken_here()):
            if engine.make_network(self.name, str(block), run.labels):
                break
        else:
            raise SetupFault(
                "no addresses are left for a network of containers",
                where="198.51.100.0/24 and the other ranges for documentation",
                do="remove what earlier runs left behind: limpet clean",
            )
        self.subnet: ipaddress.IPv4Network = block
        self._addresses = self._walk()

    def _walk(self) -> Iterator[str]:
        hosts = iter(map(str, self.subnet.hosts()))
        next(hosts)  # this machine's end of the bridge
        yield from hosts

    def next_address(self) -> str:
        """An address that was never given before.

        Raises:
            SetupFault: all of them were.
        """
        with self._lock:
            found = next(self._addresses, None)
        if found is None:
            raise SetupFault("every address of the run's network was given out", where=str(self.subnet))
        return found

    def close(self) -> None:
        """Take it away; every container on it must be gone. Idempotent."""
        self._engine.remove_network(self.name)
