"""What is written on everything that a run makes in an engine: whose it is, so that leftovers can be told.

A run may be killed at any moment, and an engine outlives it. So each container and network carries the run's id and
its *owner*: machine, boot, process-id namespace, process id and start time, which no other process ever has.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limpet.harness.processes.table import entry

RUN = "limpet.run"
OWNER = "limpet.owner"

Fate = Literal["alive", "dead", "unknown"]
"""Of an owner: ``unknown`` where this process cannot see it, in another namespace or on another machine."""


@dataclass(frozen=True)
class Owner:
    """One process, told from every other one there ever was.

    Attributes:
        machine: the machine's id; "" where there is none.
        boot: the id of the kernel's present run.
        namespace: of process ids.
        pid: the process, in that namespace.
        started: when, in clock ticks since boot.
    """

    machine: str
    boot: str
    namespace: str
    pid: int
    started: int

    def __str__(self) -> str:
        """As it stands in a label."""
        return f"{self.machine}/{self.boot}/{self.namespace}/{self.pid}/{self.started}"


@dataclass(frozen=True)
class Run:
    """A run as the engine knows it."""

    id: str
    owner: Owner

    @property
    def labels(self) -> dict[str, str]:
        """What everything of this run carries."""
        return {RUN: self.id, OWNER: str(self.owner)}

    def name(self, what: str) -> str:
        """What a container or network of this run is called: no other run's is called so."""
        return f"limpet-{self.id}-{what}"


def this_run() -> Run:
    """A new run of this process."""
    return Run(secrets.token_hex(4), this_process())


def this_process() -> Owner:
    """The owner of what this process makes."""
    mine = entry(os.getpid())
    assert mine is not None, "a process sees itself"
    return Owner(
        _read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id"), _namespace(), mine.pid, mine.started
    )


def owner_in(text: str) -> Owner | None:
    """The owner in a label; None where it is none of ours."""
    parts = text.split("/")
    if len(parts) != 5 or not (parts[3].isdecimal() and parts[4].isdecimal()):
        return None
    return Owner(parts[0], parts[1], parts[2], int(parts[3]), int(parts[4]))


def fate(owner: Owner, here: Owner) -> Fate:
    """Whether an owner still lives, as far as ``here``, a process of this machine, can know."""
    if owner.machine != here.machine:
        return "unknown"
    if owner.boot != here.boot:
        # Without a machine id nobody knows whether that was this machine in an earlier life, or another one.
        return "dead" if here.machine else "unknown"
    if owner.namespace != here.namespace:
        return "unknown"
    found = entry(owner.pid)
    alive = found is not None and found.started == owner.started and found.state not in ("Z", "X")
    return "alive" if alive else "dead"


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""
