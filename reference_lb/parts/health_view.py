"""What the balancer believes about its members' health."""

from __future__ import annotations

from dataclasses import dataclass

from limpet.reference_lb.parts.records import Member


@dataclass(slots=True)
class _Belief:
    up: bool = False
    run: int = 0  # checks in a row that contradict `up`


class CheckedHealth:
    """Up after `rise` good checks in a row, down after `fall` bad ones.

    The first good check of a new member, and the first one after a refused connection, is enough: nothing is
    known that it would have to outweigh.
    """

    def __init__(self, rise: int = 1, fall: int = 1) -> None:
        self._rise, self._fall = rise, fall
        self._beliefs: dict[str, _Belief] = {}

    def healthy(self, member: Member) -> bool:
        """A member that was never checked is down."""
        belief = self._beliefs.get(member.id)
        return belief is not None and belief.up

    def usable(self, member: Member, *, pinned: bool) -> bool:
        """The same for pinned requests and new ones."""
        return self.healthy(member)

    def checked(self, member: Member, ok: bool) -> None:
        """Count the check."""
        belief = self._beliefs.setdefault(member.id, _Belief(run=self._rise - 1))
        if ok == belief.up:
            belief.run = 0
            return
        belief.run += 1
        if belief.run >= (self._rise if ok else self._fall):
            belief.up, belief.run = ok, 0

    def refused(self, member: Member) -> None:
        """Down at once, until the next good check."""
        self._beliefs[member.id] = _Belief(run=self._rise - 1)

    def forget(self, member: Member) -> None:
        """Nothing is known any more."""
        self._beliefs.pop(member.id, None)


class AssumedHealth:
    """Without health checks every member is up, whatever happens."""

    def healthy(self, member: Member) -> bool:
        """Always."""
        return True

    def usable(self, member: Member, *, pinned: bool) -> bool:
        """Always."""
        return True

    def checked(self, member: Member, ok: bool) -> None:
        """Nothing."""

    def refused(self, member: Member) -> None:
        """Nothing: no check could ever bring it back."""

    def forget(self, member: Member) -> None:
        """Nothing."""
