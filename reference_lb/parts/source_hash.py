"""Source hash: the client's address and the open members alone say where it goes, and nothing is remembered."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.records import Member, RequestHead, Route, Why
from limpet.reference_lb.parts.router import NO_MEMBER, PinningRouter

POINTS = 160
"""Virtual nodes of a member for each unit of its weight: each share is then right to about a tenth of itself."""

_RINGS = 16


def digest(text: str) -> int:
    """64 bits that every process and every node computes alike."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Placement(Protocol):
    """Says which of the open members a key belongs to."""

    def owner(self, key: str, members: Sequence[Member]) -> Member:
        """One of `members` (never empty), the same for the same key and members in any order."""


class ModuloPlacement:
    """The digest modulo the weights' sum: when the open members change, almost everybody's place does."""

    def owner(self, key: str, members: Sequence[Member]) -> Member:
        """As many slots for each as its weight, in the order of the ids."""
        slot = digest(key) % sum(member.weight for member in members)
        for member in sorted(members, key=lambda each: each.id):
            slot -= member.weight
            if slot < 0:
                return member
        raise AssertionError("the slots are as many as the weights' sum")


class RingPlacement:
    """A ring of virtual nodes: who leaves hands only its own keys on, and who comes takes keys only for itself."""

    def __init__(self) -> None:
        self._rings: OrderedDict[tuple[tuple[str, int], ...], tuple[list[int], list[str]]] = OrderedDict()

    def owner(self, key: str, members: Sequence[Member]) -> Member:
        """The member of the first virtual node behind the key's digest."""
        points, owners = self._ring(members)
        id = owners[bisect_right(points, digest(key)) % len(points)]
        return next(member for member in members if member.id == id)

    def _ring(self, members: Sequence[Member]) -> tuple[list[int], list[str]]:
        shape = tuple(sorted((member.id, member.weight) for member in members))
        ring = self._rings.get(shape)
        if ring is None:
            nodes = sorted((digest(f"{id}#{n}"), id) for id, weight in shape for n in range(POINTS * weight))
            ring = self._rings[shape] = [point for point, _ in nodes], [id for _, id in nodes]
            if len(self._rings) > _RINGS:
                self._rings.popitem(last=False)
        self._rings.move_to_end(shape)
        return ring


class HashRouter(PinningRouter):
    """Places each request by its key among the members that are open now: healthy, not draining, of some weight."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
        """The key's owner; with stickiness off, or without a key, whoever the picker chooses."""
        keys = parts.key_reader.read(request) if parts.switch.enabled else ()
        if not keys:
            return super().route(parts, request, tried)
        usable = parts.health_view.usable
        members = [m for m in parts.pool.candidates() if m.id not in tried and usable(m, pinned=True)]
        if not members:
            return Route(None, Why.HELD, refusal=NO_MEMBER)
        return Route(self._placement.owner(keys[0], members), Why.HELD)
