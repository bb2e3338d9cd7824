"""Removes what dead runs left behind, and nothing else. Whoever makes things that outlive a process adds a cleaner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from limpet.harness.model.errors import LimpetFault
from limpet.harness.processes import leftovers

Cleaner = Callable[[], Iterator[str]]
"""Removes one kind of leftovers; yields what it removed, in words."""


class Swept(NamedTuple):
    """What was done, in words, and what could not be."""

    done: list[str]
    faults: list[LimpetFault]


def clean(*, balancers: bool = True) -> Swept:
    """Removes the leftovers of all dead runs, as far as it can.

    Network namespaces, their links, addresses and packet filters are not among them: they have no name and end with the
    last process that is in them.

    Args:
        balancers: also undoes what such runs did to balancers and backends of the user's.
    """
    swept = Swept([], [])
    for cleaner in CLEANERS if balancers else [each for each in CLEANERS if each is not _balancers]:
        try:
            for each in cleaner():
                swept.done.append(each)
        except LimpetFault as fault:
            swept.faults.append(fault)
    return swept


def _processes() -> Iterator[str]:
    for orphan in leftovers.orphans():
        if leftovers.end(orphan):
            yield f"process {orphan.pid} of run {orphan.run}: {orphan.command}"


def _directories() -> Iterator[str]:
    for path in leftovers.remove_directories():
        yield f"work directory {path}"


def _containers() -> Iterator[str]:
    from limpet.harness.containers.cleaning import clean as containers

    yield from containers()


def _balancers() -> Iterator[str]:
    from limpet.harness.engine.leftovers import heal_leftovers

    yield from heal_leftovers()


CLEANERS: list[Cleaner] = [_processes, _directories, _containers, _balancers]
"""In this order: processes first, since they hold the rest."""
