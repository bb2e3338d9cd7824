"""The backend's own history: written before each answer, read while it grows."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Arrived, decode, encode


class Recorder:
    """Appends each record with one write, so that a kill tears at most the last line.

    `lines` are the records of this process, for the history over HTTP; kept only when `keep` is set.
    """

    def __init__(self, path: Path | None, *, keep: bool) -> None:
        """Open the file for appending; a line that an earlier process left torn is cut off, it never was a record.

        Raises:
            OSError: the file cannot be opened.
        """
        self.count = 0
        self.lines: list[bytes] = []
        self._keep = keep
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            _cut_torn_line(self._file)

    def record(self, arrived: Arrived) -> None:
        """Write one record; returns when the kernel has it."""
        line = encode(arrived)
        if self._file is not None:
            os.write(self._file, line)
        if self._keep:
            self.lines.append(line)
        self.count += 1


def _cut_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        begin = max(0, end - 65536)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)


class HistoryTail:
    """Reads a growing history; each call costs only what is new. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._records: list[Arrived] = []
        self._by_sender: dict[str, list[Arrived]] = {}
        self._lock = threading.Lock()

    def records(self) -> list[Arrived]:
        """All whole records so far, in the order of their arrival.

        Raises:
            HarnessFault: the file holds something else.
        """
        with self._lock:
            self._read()
            return list(self._records)

    def records_of(self, prefix: str) -> list[Arrived]:
        """Those of the whole records so far whose request's id is ``prefix``, a dash, and anything.

        Many scenarios share a backend, and each asks often: none has to look through what the others sent.

        Raises:
            HarnessFault: the file holds something else.
        """
        wanted = f"{prefix}-"
        with self._lock:
            self._read()
            near = self._by_sender.get(_sender(wanted), ())
            return [each for each in near if each.id.startswith(wanted)]

    def _read(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            for line in whole.splitlines():
                record = decode(line)
                if not isinstance(record, Arrived):
                    raise HarnessFault("a backend's history holds a record of another kind", where=str(self._path))
                self._records.append(record)
                self._by_sender.setdefault(_sender(record.id), []).append(record)
            self._offset += len(whole)

    def count(self) -> int:
        """How many records there are so far; cheaper than to ask for them.

        Raises:
            HarnessFault: the file holds something else.
        """
        with self._lock:
            self._read()
            return len(self._records)

    def forget(self) -> None:
        """Leave out everything so far, for ever."""
        self.records()
        with self._lock:
            self._records.clear()
            self._by_sender.clear()


def _sender(request: str) -> str:
    """What ids of one scenario have in common: all before the first dash."""
    return request.partition("-")[0]
