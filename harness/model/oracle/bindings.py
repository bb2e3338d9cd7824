"""What one affinity key may be bound to, from the answers that used it or handed it out.

Keys are judged independently of each other. A binding holds a *set* of possible homes. An answer narrows it only for
requests sent after that answer was received, and only where it was lawful beyond doubt; anything else (a failure, an
answer that breaks the contract, an unknown backend) can only add to the set, so that one violation is told once and
excuses no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from limpet.harness.model.oracle.exchanges import Exchange


@dataclass(frozen=True)
class Home:
    """One backend that the key may be bound to.

    It was so at some moment after ``since``; until ``end`` another answer could still have been decided earlier.
    """

    since: float
    end: float


@dataclass
class Binding:
    """The life of one key.

    ``homes`` are the possible bindings and ``free`` says that there may be none; both empty: it was never bound.
    ``granted``: a balancer has to know it, since it was handed out or is an address; else it may be invented.
    ``former`` are backends that it left since they were gone, ``confirmed``: it was used since it last did.
    ``absent`` were not open when it was last placed, so a mode that goes home may prefer them. ``proper`` is where it
    was placed while everybody was open, and since when. ``superseded``: a response handed out another value in its
    place. ``born`` and ``born_late`` bound the beginning of the session, ``reborn`` is since when it may lawfully be a
    newer one. ``last`` is when the last request that used or got it was over. Times called lab are seconds of the
    deployment's virtual clock.
    """

    key: str
    homes: dict[str, Home] = field(default_factory=dict)
    free: bool = False
    granted: bool = False
    former: frozenset[str] = frozenset()
    confirmed: bool = False
    absent: frozenset[str] = frozenset()
    proper: tuple[str, float] | None = None
    superseded: bool = False
    born: float = math.inf
    born_late: float = -math.inf
    reborn: float = math.inf
    issued: float = -math.inf
    used: float = -math.inf
    last: float = -math.inf
    first: Exchange | None = None
    lasts: float | None = None
    rebinding: dict[str, Home] = field(default_factory=dict)
    """Backends that requests still under way may lawfully have bound it to."""

    @property
    def bound(self) -> bool:
        """Whether any answer bound it, for certain or perhaps."""
        return bool(self.homes) or self.free

    @property
    def since(self) -> float:
        """Before this moment nothing can have ended the present binding."""
        return min((home.since for home in self.homes.values()), default=math.inf)

    def under_way(self, backends: Iterable[str], exchange: Exchange) -> None:
        """This request may bind it to any of these before it is over."""
        for name in backends:
            known = self.rebinding.get(name)
            if known is None or known.end < exchange.begin:
                self.rebinding[name] = Home(exchange.begin, exchange.effective_end)
            else:
                self.rebinding[name] = Home(known.since, max(known.end, exchange.effective_end))

    def settle(self, backend: str, exchange: Exchange, kept: Mapping[str, Home], lost: frozenset[str]) -> None:
        """An answer that leaves no doubt: bound to ``backend`` now, or to one of ``kept``, or by what overlaps it.

        ``lost`` are the homes that it may have left since they were gone.
        """
        begin, end = exchange.begin, exchange.effective_end
        homes = {name: home for name, home in self.homes.items() if home.end > begin}
        for name, home in kept.items():
            homes[name] = Home(home.since, max(end, homes[name].end if name in homes else end))
        known = homes.get(backend)
        homes[backend] = Home(max(begin, known.since), max(end, known.end)) if known else Home(begin, end)
        left = lost - {backend}
        self.confirmed = not left and backend in self.homes
        self.former = (self.former | left) - {backend}
        self.homes = homes
        self.free = False
        self.used = max(self.used, exchange.lab_begin)
        self._start(exchange)

    def perhaps(self, backends: Iterable[str], exchange: Exchange) -> None:
        """It may have been bound to any of these meanwhile, or to none of them."""
        for name in backends:
            known = self.homes.get(name)
            since = min(exchange.begin, known.since) if known else exchange.begin
            self.homes[name] = Home(since, max(exchange.effective_end, known.end if known else 0.0))
        self._start(exchange)

    def begin_anew(self, exchange: Exchange) -> None:
        """The old session was over for certain: what goes on now began when that first became possible."""
        self.born = min(self.reborn, exchange.lab_begin)
        if self.issued > -math.inf:
            self.born = min(self.born, self.issued)
        self.born_late, self.reborn = exchange.lab_end, math.inf

    def renew(self, exchange: Exchange) -> None:
        """The client was given this very value (again)."""
        self.issued = max(self.issued, exchange.lab_begin)
        self._start(exchange)

    def inherit_age(self, before: Binding, *, over: bool) -> None:
        """It is handed out in the place of ``before``: unless that was over, the session may be as old."""
        if not over:
            self.born = min(self.born, before.born)
            self.born_late, self.reborn = before.born_late, before.reborn
        else:  # the session that goes on now may have begun when that first became possible
            self.born = min(self.born, before.reborn)

    def inherit_past(self, before: Binding, backend: str, lost: frozenset[str]) -> None:
        """``backend`` hands it out in the place of ``before``: what that had left it may have left too."""
        self.former = (self.former | before.former | lost) - {backend}
        self.confirmed = backend in before.homes and not lost - {backend}
        self.first = self.first or before.first

    def _start(self, exchange: Exchange) -> None:
        self.first = self.first or exchange
        self.last = max(self.last, exchange.lab_end)
        self.born = min(self.born, exchange.lab_begin)
        self.born_late = max(self.born_late, exchange.lab_end) if self.born_late == -math.inf else self.born_late
