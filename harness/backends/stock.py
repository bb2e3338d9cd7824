"""Backends that one deployment after another uses: a new process for each would cost more than most scenarios."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.options import BackendOptions
from limpet.harness.model.errors import LimpetFault

LIMIT = 16
"""Idle backends of a kind at the most: what is beyond is stopped."""


class Stock:
    """Idle backends, all of one run's keeper. Thread-safe.

    Only a backend to which nothing was ever done comes in here, and it goes out as a new instance, without memory,
    without connections, with an empty history: what limpet's own code forgets is certain, unlike what a balancer does.
    One whose sessions are in a store belongs to its deployment, by whose name it keeps them there, and does not.
    """

    def __init__(self) -> None:
        self._idle: dict[Hashable, list[Backend]] = {}
        self._lock = threading.Lock()

    def put(self, backend: Backend) -> bool:
        """Takes it over from a deployment whose balancer is gone. False where it has to be stopped instead."""
        if not backend.pristine or not backend.alive or backend.options.sessions:
            return False
        with self._lock:
            idle = self._idle.setdefault(_kind(backend.options), [])
            if len(idle) >= LIMIT:
                return False
            idle.append(backend)
        return True

    def take(self, options: BackendOptions) -> Backend | None:
        """A backend like this at whatever address, as good as new; None where there is none."""
        while not options.sessions:
            with self._lock:
                idle = self._idle.get(_kind(options))
                if not idle:
                    return None
                backend = idle.pop()
            try:
                backend.begin_anew()
            except LimpetFault:
                backend.stop()
                continue
            return backend
        return None


def _kind(options: BackendOptions) -> Hashable:
    return options.name, options.protocol, options.token, options.session_cookie, options.health_path
