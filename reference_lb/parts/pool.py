"""The members of the pool."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.reference_lb.parts.protocols import PoolChange
from limpet.reference_lb.parts.records import Member, MemberSpec


class MemberPool:
    """Keeps a member's object for as long as it is the same server (name and address)."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def members(self) -> Sequence[Member]:
        """In the order wanted last."""
        return list(self._members.values())

    def find(self, id: str) -> Member | None:
        """By id."""
        return self._members.get(id)

    def candidates(self) -> Sequence[Member]:
        """Neither draining nor of weight 0."""
        return [member for member in self._members.values() if not member.drain and member.weight > 0]

    def apply(self, wanted: Sequence[MemberSpec]) -> PoolChange:
        """Bring the pool to the wanted list."""
        before = self._members
        after: dict[str, Member] = {}
        for spec in wanted:
            member = before.get(spec.id) or Member.of(spec)
            member.weight, member.drain = spec.weight, spec.drain
            after[spec.id] = member
        self._members = after
        return PoolChange(
            added=tuple(member for id, member in after.items() if id not in before),
            removed=tuple(member for id, member in before.items() if id not in after),
        )

    def adopt(self, members: Sequence[Member]) -> None:
        """The same objects, with what is in flight on them."""
        self._members = {member.id: member for member in members}
