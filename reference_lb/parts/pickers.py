"""Weighted round robin and weighted least connections."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.reference_lb.parts.records import Member, RequestHead


class SmoothRoundRobin:
    """Smooth weighted round robin: over the sum of the weights each member comes up exactly its weight's times.

    The state belongs to the member's id, so the order of the list does not matter to whose turn it is for long.
    """

    def __init__(self) -> None:
        self._current: dict[str, int] = {}

    def pick(self, candidates: Sequence[Member], request: RequestHead) -> Member:
        """The member whose turn it is."""
        current = self._current
        if len(current) > 4 * len(candidates) + 64:  # members long gone
            current.clear()
        best, total, highest = candidates[0], 0, float("-inf")
        for member in candidates:
            total += member.weight
            value = current[member.id] = current.get(member.id, 0) + member.weight
            if value > highest:
                best, highest = member, value
        current[best.id] -= total
        return best


class LeastConnections:
    """The member with the fewest requests (TCP: connections) in flight for its weight; round robin among equals."""

    def __init__(self) -> None:
        self._among_equals = SmoothRoundRobin()

    def pick(self, candidates: Sequence[Member], request: RequestHead) -> Member:
        """The least loaded one."""
        least = min(member.in_flight / member.weight for member in candidates)
        equals = [member for member in candidates if member.in_flight / member.weight == least]
        return self._among_equals.pick(equals, request)
