"""The servers of a deployment: limpet's own backends, each of which may be a group of several that bear its name."""

from __future__ import annotations

import secrets

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.fleet import Fleet
from limpet.harness.engine.ground import Ground
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Arrived
from limpet.harness.targets.model import Backends
from limpet.harness.targets.render import Member, Server


class Servers:
    """Starts them, finds them by name, reads what they received.

    Args:
        spec: what the target says of its backends.
        ground: the run's resources.
        name: of the deployment.
    """

    def __init__(self, spec: Backends, ground: Ground, name: str) -> None:
        self._spec = spec
        self._ground = ground
        self._fleet = Fleet(ground.keeper, ground.workdir / name, ground.lease, ground.stock)
        self._known: dict[str, tuple[Backend, ...]] = {}
        self._space = secrets.token_hex(8)
        self._number = 0

    def launch(self, name: str = "", *, weight: int = 1, host: str | None = None, port: int | None = None) -> Member:
        """Starts one backend, all of its servers where it is a group, as a member for the balancer.

        Args:
            name: "" for the next of b1, b2, ….
            weight: for the balancer.
            host: its address; None for any.
            port: the same.

        Raises:
            SetupFault: it did not come up.
        """
        if not name:
            self._number += 1
            name = f"b{self._number}"
        with self._ground.timeline.patience():
            found = tuple(self._start(name, number, host, port) for number in range(self._spec.servers))
        self._known[name] = found
        addresses = tuple(Server(each.host, each.port) for each in found)
        return Member(name, addresses[0].host, addresses[0].port, weight, servers=addresses)

    def _start(self, name: str, number: int, host: str | None, port: int | None) -> Backend:
        return self._fleet.start(
            name,
            number=number,
            protocol=self._spec.protocol,
            host=host,
            port=port,
            sessions=self._ground.store_of(self._spec),
            space=self._space,
        )

    def of(self, name: str) -> tuple[Backend, ...]:
        """Every server of this name.

        Raises:
            HarnessFault: limpet started none.
        """
        try:
            return self._known[name]
        except KeyError:
            raise HarnessFault(f'"{name}" is no backend of limpet\'s') from None

    def arrivals(self) -> int:
        """How many requests they received so far."""
        return self._fleet.arrivals()

    def connections(self) -> int:
        """How many connections stand to them."""
        return self._fleet.connections()

    def arrived(self) -> list[Arrived]:
        """What they received so far."""
        return [record for backend in self._fleet.backends for record in backend.arrived()]

    def arrived_of(self, prefix: str) -> list[Arrived]:
        """What they received so far of requests whose id is ``prefix``, a dash, and anything."""
        return [record for backend in self._fleet.backends for record in backend.arrived_of(prefix)]

    def close(self) -> None:
        """Stops all of them."""
        self._fleet.close()
