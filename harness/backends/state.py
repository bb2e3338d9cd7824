"""What all connections of one backend process share."""

from __future__ import annotations

import itertools
import secrets
import time
from typing import TYPE_CHECKING, Protocol

from limpet.harness.backends.faults import Faults, Report
from limpet.harness.backends.options import BackendOptions
from limpet.harness.backends.recorder import Recorder
from limpet.harness.backends.sessions import MemorySessions, SessionStore
from limpet.harness.model.history import Arrived, Header

if TYPE_CHECKING:
    from limpet.harness.backends.connection import Connection


class Visitor(Protocol):
    """Whoever sent a request."""

    @property
    def id(self) -> str:
        """Of its connection."""

    @property
    def peer(self) -> str:
        """Its address and port, as ``host:port``."""


class BackendState:
    """Identity, memory, history, faults and open connections of this process."""

    def __init__(self, options: BackendOptions, *, sessions: SessionStore | None = None, keep: bool = False) -> None:
        """Begin with a fresh instance id.

        Raises:
            OSError: the history file cannot be opened.
        """
        self.options = options
        self.instance = secrets.token_hex(8)
        self.sessions: SessionStore = _store_of(options) if sessions is None else sessions
        self.recorder = Recorder(options.history, keep=keep)
        self.faults = Faults()
        self.connections: set[Connection] = set()
        self.health_requests = 0
        self._connection_numbers = itertools.count(1)
        self._request_numbers = itertools.count(1)

    def begin_anew(self) -> None:
        """Another backend, to all who ask: new instance id, no sessions. The history on disk goes on."""
        self.instance = secrets.token_hex(8)
        self.sessions = _store_of(self.options)
        self.recorder.lines.clear()
        self.recorder.count = self.health_requests = 0

    def next_connection(self) -> str:
        """An id for a connection, unlike that of any other backend process."""
        return f"{self.instance}-{next(self._connection_numbers)}"

    def next_request(self) -> str:
        """An id for a request that brought none."""
        return f"gen-{self.instance}-{next(self._request_numbers)}"

    def arrived(
        self,
        request: str,
        connection: Visitor,
        *,
        method: str,
        path: str,
        headers: tuple[Header, ...] = (),
        body_bytes: int = 0,
    ) -> None:
        """Put a request into the history. Call before anything is answered."""
        self.recorder.record(
            Arrived(
                id=request,
                t=time.monotonic(),
                backend=self.options.name,
                instance=self.instance,
                connection=connection.id,
                peer=connection.peer,
                method=method,
                path=path,
                headers=headers,
                body_bytes=body_bytes,
            )
        )

    def report(self, error: str = "") -> Report:
        """How this backend is."""
        return Report(
            self.options.name,
            self.instance,
            self.faults.way,
            self.recorder.count,
            self.health_requests,
            len(self.connections),
            error,
        )


def _store_of(options: BackendOptions) -> SessionStore:
    """Where this backend keeps its sessions.

    Raises:
        StoreFault: the URL of its store makes no sense.
    """
    if not options.sessions:
        return MemorySessions()
    from limpet.harness.backends.shared_sessions import RedisSessions  # a library that most backends need not load

    return RedisSessions(options.sessions, options.space)
