"""Which backends received a request, and how often: what a balancer did with it behind the client's back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from limpet.harness.model.history import Arrived, Record


@dataclass(frozen=True)
class Deliveries:
    """All arrivals of one request, oldest first. More than one is the balancer's retry."""

    request: str
    arrived: tuple[Arrived, ...] = ()

    @property
    def times(self) -> int:
        """How often any backend received it."""
        return len(self.arrived)

    @property
    def by_backend(self) -> Counter[str]:
        """How often each backend received it."""
        return Counter(each.backend for each in self.arrived)


def deliveries(history: Iterable[Record]) -> dict[str, Deliveries]:
    """The deliveries of every request id that any backend recorded."""
    found: dict[str, list[Arrived]] = {}
    for record in history:
        if isinstance(record, Arrived):
            found.setdefault(record.id, []).append(record)
    return {id: Deliveries(id, tuple(sorted(each, key=lambda one: one.t))) for id, each in found.items()}


def delivered(history: Iterable[Record], request: str) -> Deliveries:
    """The deliveries of one request; none at all where no backend recorded it."""
    return deliveries(history).get(request, Deliveries(request))
