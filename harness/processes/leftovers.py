"""What dead runs left behind, and only that: processes and work directories.

Everything that a keeper starts carries its run's id in its environment. Who carries one of which no keeper lives is an
orphan: a keeper ends all of its descendants before it ends, so somebody has killed it. A work directory is locked by
the process that made it and by its keeper; the kernel opens the lock when both are dead, however they died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limpet.harness.processes import table

RUN = "LIMPET_RUN"
"""The environment variable with the run's id."""

KEEPER = "limpet-keeper"
"""How a keeper calls itself in the process table; what it forks has another name, else it would be taken for one."""

_MODULE = "limpet.harness.processes.keeper_process"
_PREFIX = "limpet-"
_OWNER = ".owner"
_PATIENCE = 10.0


@dataclass(frozen=True)
class Orphan:
    """A process of a run whose keeper is gone."""

    pid: int
    run: str
    command: str


def call_myself(name: str) -> None:
    """Changes this process's name in the process table (15 bytes at the most)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def living() -> frozenset[str]:
    """The ids of the runs on this machine whose keeper lives, as far as this user may see them."""
    return frozenset(filter(None, (_run_of(pid) for pid in table.table() if _is_keeper(pid))))


def orphans() -> list[Orphan]:
    """The processes that dead runs left behind."""
    carriers = {pid: run for pid in table.table() if (run := _run_of(pid))}
    # Asked for afterwards: a run that began meanwhile has no carrier in the list. Who is whose child is not asked, for
    # parents end while one looks, and a living run's own process would be taken for an orphan.
    alive = living()
    return [Orphan(pid, run, " ".join(_words(pid))[:200]) for pid, run in carriers.items() if run not in alive]


def end(orphan: Orphan) -> bool:
    """Kills an orphan and waits until it is gone. False: it was gone, or is not this user's."""
    try:
        descriptor = os.pidfd_open(orphan.pid)
    except OSError:
        return False
    try:
        if _run_of(orphan.pid) != orphan.run:  # the id is another process's now
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _PATIENCE)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def new_directory() -> tuple[Path, int]:
    """A work directory of this process's own, and the descriptor that keeps it from being taken for a leftover.

    The name is short, because the paths of Unix sockets in it may have 107 bytes only.
    """
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    fresh = path / f"{_OWNER}.new"
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    fresh.rename(path / _OWNER)  # only now can anybody ask whether it is locked
    return path, descriptor


def remove_directories() -> list[Path]:
    """Removes the work directories of dead runs, as far as they are this user's; returns them."""
    removed: list[Path] = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError), _unlocked(path):
            shutil.rmtree(path)
            removed.append(path)
    return removed


@contextlib.contextmanager
def _unlocked(path: Path) -> Iterator[None]:
    """Holds the lock of a work directory whose owner is dead.

    Raises:
        OSError: it has an owner, or is none of this user's.
    """
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise PermissionError
    descriptor = os.open(path / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _run_of(pid: int) -> str:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    mark = f"{RUN}=".encode()
    return next((each[len(mark) :].decode() for each in environment.split(b"\0") if each.startswith(mark)), "")


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _is_keeper(pid: int) -> bool:
    """Whether it is one, or is about to be one: it has its command line before it can call itself anything."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    return name == KEEPER or (name.startswith("python") and any(each.endswith(_MODULE) for each in _words(pid)))
