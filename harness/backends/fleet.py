"""The backends of one deployment, as processes: start them, break them, heal them, read what they saw."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.options import BackendOptions, Protocol
from limpet.harness.backends.stock import Stock
from limpet.harness.model.errors import HarnessFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease

PRELOAD = ("limpet.harness.backends.main",)


class Fleet:
    """Starts backends, each on an address of its own. Thread-safe."""

    def __init__(self, keeper: Keeper, directory: Path, lease: Lease, stock: Stock | None = None) -> None:
        """Use a keeper that has preloaded `PRELOAD`, and put all files into `directory`.

        Args:
            stock: idle backends, for those that may have any address; whoever is fit goes back there in the end.
        """
        self._stock = stock
        self._keeper = keeper
        self._directory = directory
        self._lease = lease
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._backends: dict[tuple[str, int], Backend] = {}

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Every backend that was started, in that order."""
        with self._lock:
            return tuple(self._backends.values())

    def arrivals(self) -> int:
        """How many requests all of them have received so far."""
        return sum(backend.arrivals() for backend in self.backends)

    def connections(self) -> int:
        """How many connections stand to those of them that live and obey."""
        return sum(backend.report().connections for backend in self.backends if backend.alive)

    def start(
        self,
        name: str,
        *,
        number: int = 0,
        protocol: Protocol = "http",
        host: str | None = None,
        port: int | None = None,
        token: str = "",
        session_cookie: str = "SHOPSESSION",
        health_path: str = "/health",
        sessions: str = "",
        space: str = "shop",
    ) -> Backend:
        """Start a backend, and return when it answers.

        Args:
            name: how it calls itself.
            number: unique in this fleet together with the name: several backends may bear one.
            protocol: "http", "tcp", "tls" or "udp".
            host: its address; None: the next free one of the lease.
            port: None: the next free one of the lease.
            token: opens its history over HTTP; "" keeps that closed.
            session_cookie: the name of its application cookie.
            health_path: where it answers health checks.
            sessions: URL of the store that its sessions are kept in; "": its own memory.
            space: the name under which they are kept there.

        Raises:
            SetupFault: the address is in use, or it did not come up.
            HarnessFault: the name is taken.
        """
        options = BackendOptions(
            name=name,
            host=host or "",
            port=port or 0,
            protocol=protocol,
            token=token,
            session_cookie=session_cookie,
            health_path=health_path,
            sessions=sessions,
            space=space,
        )
        key = name, number
        if host is None and port is None and self._stock is not None:
            with self._lock:
                if key in self._backends:
                    raise HarnessFault("there is a backend of this name already", where=name)
                idle = self._stock.take(options)
                if idle is not None:
                    self._backends[key] = idle
                    return idle
        namespace = ""
        if host is None or port is None:
            leased = self._lease.seat("backend")
            options = replace(options, host=host or leased.host, port=port or leased.port)
            namespace = leased.namespace
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if key in self._backends:
                raise HarnessFault("there is a backend of this name already", where=name)
            stem = f"{next(self._numbers)}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:60]}"
            base = self._directory.absolute() / f"backend-{stem}"
            options = replace(
                options, history=base.with_name(base.name + ".jsonl"), control=base.with_name(base.name + ".sock")
            )
            backend = Backend(self._keeper, options, base.with_name(base.name + ".log"), namespace)
            self._backends[key] = backend
        try:
            backend.launch()
        except BaseException:
            backend.stop()
            with self._lock:
                del self._backends[key]
            raise
        return backend

    def start_many(
        self,
        names: Sequence[str],
        *,
        protocol: Protocol = "http",
        token: str = "",
        session_cookie: str = "SHOPSESSION",
        health_path: str = "/health",
    ) -> list[Backend]:
        """Start several at once, each on the next endpoint of the lease, in the order of their names.

        Raises:
            SetupFault: one of them did not come up; the others are stopped again by `close`.
        """

        def one(name: str) -> Backend:
            return self.start(
                name, protocol=protocol, token=token, session_cookie=session_cookie, health_path=health_path
            )

        if not names:
            return []
        with ThreadPoolExecutor(max_workers=min(8, len(names)), thread_name_prefix="limpet-fleet") as pool:
            return list(pool.map(one, names))

    def close(self) -> None:
        """Stop every backend, or give it to the stock. Histories stay on disk. Idempotent."""
        with self._lock:
            backends = tuple(self._backends.values())
            self._backends.clear()
        for backend in backends:
            if self._stock is None or not self._stock.put(backend):
                backend.stop()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
