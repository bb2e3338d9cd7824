"""The kernel's process table, as far as the keeper needs it (/proc/PID/stat)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """One process: who began it, which session it is in, when it started (clock ticks since boot)."""

    pid: int
    state: str
    parent: int
    session: int
    started: int


def entry(pid: int) -> Entry | None:
    """The process of this id, None when there is none (any more)."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The command name is in parentheses and may hold blanks and parentheses itself.
    fields = line[line.rindex(b")") + 2 :].split()
    return Entry(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def table() -> dict[int, Entry]:
    """Every process that this one can see, by id."""
    found = (entry(int(one.name)) for one in os.scandir("/proc") if one.name.isdigit())
    return {one.pid: one for one in found if one is not None}


def descendants(root: int, processes: Mapping[int, Entry]) -> list[Entry]:
    """All children, grandchildren and so on of `root` in that table, zombies included."""
    children = defaultdict(list)
    for one in processes.values():
        children[one.parent].append(one)
    found: list[Entry] = []
    todo = [root]
    while todo:
        below = children[todo.pop()]
        found.extend(below)
        todo.extend(one.pid for one in below)
    return found


def children(pid: int) -> list[int]:
    """The direct children of a single-threaded process, zombies included; cheap where the kernel keeps a list."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123  called often
            return [int(word) for word in file.read().split()]
    except OSError:
        return [one.pid for one in table().values() if one.parent == pid]


def session(pid: int) -> int:
    """The session that a process is in; 0 when there is no such process."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def resident(root: int) -> int:
    """Bytes in memory of a process and all of its descendants; what they share is counted once for each of them."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(_pages(pid) for pid in (root, *(each.pid for each in descendants(root, table())))) * page


def _pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123  as cheap as can be
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0  # it has ended meanwhile
