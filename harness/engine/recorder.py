"""Writes the history of one scenario: in memory for the oracle, and on disk line by line for everybody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from limpet.harness.model.history import Control, Received, Record, Sent, encode


class HistoryRecorder:
    """The append-only history of one scenario.

    Args:
        path: the file; made with its directory when the first record comes.
        prefix: what the ids of its requests begin with, unique in the run.
        offset: the deployment's virtual time in seconds.
        pace: waits as long as the target's request rate demands.
    """

    def __init__(self, path: Path, prefix: str, offset: Callable[[], float], pace: Callable[[], None]) -> None:
        self.path = path
        self._pace = pace
        self._prefix = prefix
        self._offset = offset
        self._records: list[Record] = []
        self._lock = threading.Lock()
        self._count = 0
        self._open = 0
        self._file: int | None = None

    @property
    def records(self) -> list[Record]:
        """All records so far, in the order of their recording."""
        with self._lock:
            return list(self._records)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self._count

    @property
    def in_flight(self) -> int:
        """How many requests were sent and have no end yet."""
        return self._open

    def add(self, record: Record) -> None:
        """Appends one record."""
        self.extend((record,))

    def extend(self, records: Sequence[Record]) -> None:
        """Appends records; one write, so that a crash tears at most the last line."""
        if not records:
            return
        lines = b"".join(map(encode, records))
        with self._lock:
            self._records += records
            self._open += sum(isinstance(each, Sent) - isinstance(each, Received) for each in records)
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
            os.write(self._file, lines)

    def abandon(self) -> None:
        """One request in flight will never be waited for."""
        with self._lock:
            self._open -= 1

    def offset(self) -> float:
        """Virtual time now, in seconds."""
        return self._offset()

    def forget(self) -> None:
        """Keeps in memory only what was done to the system; the file has all of it."""
        with self._lock:
            self._records = [each for each in self._records if isinstance(each, Control)]

    def request_id(self) -> str:
        """An id that no other request of this run has, as soon as the target's rate allows a request."""
        self._pace()
        with self._lock:
            self._count += 1
            return f"{self._prefix}-{self._count}"

    def count_in(self, requests: int) -> None:
        """So many requests were sent besides, on a copy of the deployment."""
        with self._lock:
            self._count += requests

    @property
    def prefix(self) -> str:
        """What stands before the dash in the ids of this scenario's requests, and in no other's."""
        return self._prefix

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
