"""Containers of one run on a network of their own: backends, and whatever else is put beside them."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from limpet.harness.backends.options import BackendOptions, Protocol
from limpet.harness.containers import debts
from limpet.harness.containers.backend import ContainerBackend
from limpet.harness.containers.berth import Berth
from limpet.harness.containers.cleaning import remove_leftovers
from limpet.harness.containers.engine import Engine
from limpet.harness.containers.labels import Run, this_run
from limpet.harness.containers.network import Network
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.processes.process import Process

PORT = 8000
"""Where backends listen: each has an address of its own."""


class ContainerFleet:
    """Starts containers on an internal network, and removes all of it when it is closed. Thread-safe.

    What earlier runs left behind because somebody killed them is removed first. Backends are made of an image with
    limpet in it (the Dockerfile at the top); they write their histories into `directory`, so that a kill loses none.
    """

    def __init__(self, image: str, directory: Path, *, engine: Engine | None = None, run: Run | None = None) -> None:
        """Make the network.

        Args:
            image: of backends, and of everything else that names none.
            directory: for their files; they see it at the same place.
            engine: None: the one that the environment names.
            run: None: one of its own.

        Raises:
            SetupFault: there is no engine, no such image, or no network can be made.
        """
        self._engine = engine or Engine()
        self._image = image
        self._directory = directory.absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._check(image)
        self.run = run or this_run()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._berths: list[Berth] = []
        self._backends: dict[str, ContainerBackend] = {}
        remove_leftovers(self._engine)
        debts.begin_fleet(self.run.id)
        self.network = Network(self._engine, self.run)

    @property
    def backends(self) -> tuple[ContainerBackend, ...]:
        """Every backend that was started, in that order."""
        with self._lock:
            return tuple(self._backends.values())

    def start(
        self,
        name: str,
        *,
        protocol: Protocol = "http",
        token: str = "",
        session_cookie: str = "SHOPSESSION",
        health_path: str = "/health",
        sessions: str = "",
        space: str = "shop",
    ) -> ContainerBackend:
        """Start a backend at an address of its own, and return when it answers. Arguments are those of `Fleet.start`.

        Raises:
            SetupFault: it did not come up.
            HarnessFault: the name is taken.
        """
        with self._lock:
            if name in self._backends:
                raise HarnessFault("there is a backend of this name already", where=name)
            number = next(self._numbers)
            base = self._directory / f"{number}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:60]}"
            berth = self._berth(name, self._image)
            options = BackendOptions(
                name=name,
                host=berth.address,
                port=PORT,
                protocol=protocol,
                history=base.with_name(base.name + ".jsonl"),
                control=base.with_name(base.name + ".sock"),
                token=token,
                session_cookie=session_cookie,
                health_path=health_path,
                sessions=sessions,
                space=space,
            )
            backend = ContainerBackend(berth, options, base.with_name(base.name + ".log"))
            self._backends[name] = backend
        try:
            backend.launch()
        except BaseException:
            backend.stop()
            with self._lock:
                del self._backends[name]
            raise
        return backend

    def program(
        self, name: str, argv: Sequence[str], *, image: str = "", env: Mapping[str, str] | None = None
    ) -> tuple[Berth, Process]:
        """Start any other program, such as the balancer under test; whether it is ready is the caller's business.

        Args:
            name: how to call it.
            argv: what runs; files below the fleet's directory are at the same place for it.
            image: "": that of the backends.
            env: added to the image's environment.

        Raises:
            SetupFault: there is no such image, or the engine refuses.
        """
        self._check(image or self._image)
        with self._lock:
            berth = self._berth(name, image or self._image)
        output = self._directory / f"{next(self._numbers)}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:60]}.log"
        return berth, berth.spawn(argv, output=output, name=name, env=env)

    def close(self) -> None:
        """Remove every container and the network. Files stay. Idempotent."""
        with self._lock:
            berths, self._berths = self._berths, []
            self._backends.clear()
        for berth in berths:
            berth.clear()
        self.network.close()
        debts.end_fleet(self.run.id)

    def _berth(self, name: str, image: str) -> Berth:
        berth = Berth(self._engine, self.run, self.network, name, image, self._directory)
        self._berths.append(berth)
        return berth

    def _check(self, image: str) -> None:
        if not self._engine.has_image(image):
            raise SetupFault(
                "there is no such image, and limpet pulls none",
                where=image,
                do="Build limpet's own from a checkout: docker build -t limpet .",
            )

    def __enter__(self) -> ContainerFleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
