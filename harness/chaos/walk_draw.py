"""Draws walks: a seeded dealer that hands out what users and operators do, within what a target can take.

What breaks balancers is one event upon another: a reload upon a failover, a newcomer upon a drain. Independent draws
would meet most such pairs late, so the dealer remembers over all walks of a run which events have come upon which,
while the first was still in force, and prefers what is new: pairs first, then threes. After each event most users
come again, so that what it did to their pins is seen before the next one.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from limpet.harness.chaos.walk import Step, Word, lifetime, unfit
from limpet.harness.model.contract import Contract
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.model import Target

EVENTS = 13
"""Events in one walk."""

USERS = 4
"""Users at the beginning of one; two more may come later."""

_MOST = 6
_PAIR = 20
"""How much a new pair counts, where a new three counts 1."""
_DEALS = 60
"""Orders of events of which the best is taken."""

_READ_BACK = 0.4
"""Seconds that a balancer takes to notice a failure where it can be asked whether it has; usual values are below."""


_USUAL: tuple[Word, ...] = (
    "kill", "kill", "revive", "revive", "drain", "undrain", "add", "remove", "reorder", "weight", "reload", "change",
    "clock", "clock",
)  # fmt: skip
_ENDS: dict[Word, Word] = {"revive": "kill", "undrain": "drain", "affinity-on": "affinity-off"}
"""What is no longer in force afterwards."""


@dataclass
class _Pool:
    """What is known of the balancer while a walk is dealt: numbers only, who it is shows when it is played."""

    members: int
    down: int = 0
    drained: int = 0
    sticky: bool = True

    @property
    def open(self) -> int:
        """Members that take new sessions, if each step meets another member."""
        return self.members - self.down - self.drained

    def sensible(self, word: Word) -> bool:
        """Whether an event has sense now."""
        if word in ("kill", "drain", "remove"):
            return self.open >= 2
        return {
            "revive": self.down > 0,
            "undrain": self.drained > 0,
            "affinity-off": self.sticky,
            "affinity-on": not self.sticky,
        }.get(word, True)

    def take(self, word: Word) -> None:
        """It happens."""
        self.down += {"kill": 1, "revive": -1}.get(word, 0)
        self.drained += {"drain": 1, "undrain": -1}.get(word, 0)
        self.members += {"add": 1, "remove": -1}.get(word, 0)
        self.sticky = {"affinity-off": False, "affinity-on": True}.get(word, self.sticky)


@dataclass
class Dealer:
    """Deals walks for one target.

    Args:
        loaded: the target.
        rng: where the luck comes from.
    """

    loaded: LoadedTarget
    rng: random.Random
    _users: int = USERS
    _met: set[tuple[Word, ...]] = field(default_factory=set)
    """Pairs and threes of events that came upon each other already."""
    _pool: _Pool = field(init=False)
    """What is known at this point of the walk."""

    def walk(self) -> tuple[Step, ...]:
        """One walk. The same sequence of calls gives the same walks, whatever the machine."""
        self._users = USERS
        self._pool = self._whole_pool()
        steps = [Step("visit", users=tuple(range(1, USERS + 1)), strangers=self.rng.randrange(3))]
        able = [word for word in self._words() if not unfit(_sample(word), self.loaded)]
        for word in self._best_deal(able):
            steps.append(self._event(word))
            self._pool.take(word)
            steps += self._visits()
        return tuple(steps)

    def _best_deal(self, able: list[Word]) -> list[Word]:
        """Of many orders of events the one in which most is new."""
        deals = [self._deal(list(able)) for _ in range(_DEALS)]
        best = max(deals, key=lambda deal: sum(_PAIR if len(each) == 2 else 1 for each in _met(deal) - self._met))
        self._met |= _met(best)
        return best

    def _deal(self, deck: list[Word]) -> list[Word]:
        """Some order of events in which each has sense at its moment."""
        pool = self._whole_pool()
        found: list[Word] = []
        while len(found) < EVENTS:
            sensible = [word for word in deck if pool.sensible(word)]
            if not sensible:
                break
            word = self.rng.choice(sensible)
            deck.remove(word)
            pool.take(word)
            found.append(word)
        return found

    def _whole_pool(self) -> _Pool:
        backends = self.loaded.target.backends
        return _Pool(members=len(backends.member) or len(backends.weights) or backends.count)

    def _words(self) -> list[Word]:
        words = [*_USUAL]
        if self.rng.random() < 0.4:  # many balancers may forget everybody then, and less is left to be judged
            words.append("restart")
        if self.rng.random() < 0.2:
            words += ["affinity-off", "affinity-on"]
        return words

    def _event(self, word: Word) -> Step:
        one = self._one()
        if word == "kill":
            how: Word = self.rng.choice(("kill", "kill", "kill", "kill", "hang", "reset", "health"))
            if unfit(Step(how), self.loaded):
                how = word
            meanwhile = tuple(sorted(self._some(0.4))) if how == word and self.rng.random() < 0.7 else ()
            return Step(how, backend=self._where(one, word), users=meanwhile)
        if word in ("revive", "undrain"):
            return Step(word, backend={"revive": "down", "undrain": "drained"}[word])
        if word in ("drain", "remove"):
            return Step(word, backend=self._where(one, word))
        if word == "weight":
            return Step(word, backend=self._where(one, word), weight=self.rng.choice((1, 2, 3)))
        if word == "clock":
            return Step(word, lifetimes=self.rng.choice(_LAPSES))
        return Step(word)

    def _visits(self) -> Iterator[Step]:
        if self._users < _MOST and self.rng.random() < 0.15:
            self._users += 1
        for _ in range(self.rng.choice((1, 1, 2))):
            kept = self.rng.random() < 0.3
            yield Step(
                "visit", users=tuple(self._some(0.75)), strangers=self.rng.randrange(3),
                connection="kept" if kept else "new",
            )  # fmt: skip
        odd = Step("visit", users=(self._one(),), show="first" if self.rng.random() < 0.7 else "nothing")
        if self.rng.random() < 0.15 and not unfit(odd, self.loaded):
            yield odd

    def _one(self) -> int:
        """Whom it concerns: more often the first user than others, so that one life sees several events."""
        return 1 if self.rng.random() < 0.6 else self.rng.randint(1, self._users)

    def _some(self, share: float) -> list[int]:
        found = [user for user in range(1, self._users + 1) if user == 1 or self.rng.random() < share]
        self.rng.shuffle(found)
        return found

    def _where(self, user: int, word: Word) -> str:
        draw: Callable[[], float] = self.rng.random
        met = [name for name in _AFTER.get(word, ()) if getattr(self._pool, name)]
        if met and draw() < _TWICE:
            return self.rng.choice(met)
        if draw() < 0.65:
            return f"of {user}"
        return self.rng.choice((f"before {user}", f"beside {user}", f"beside {user}", "newest", "member 1"))


_AFTER: dict[Word, tuple[str, ...]] = {
    "kill": ("drained",), "remove": ("down", "drained"), "weight": ("down", "drained"),
}  # fmt: skip
"""With whom something is wrong already when it happens to them: the dead are taken out of the list, the drained die."""
_TWICE = 0.4
"""How often it happens to one of these, where there are any. Its users have left it, so that they rarely name it."""

_LAPSES = (0.3, 0.4, 0.6, 0.6, 0.8)
"""Lifetimes that pass at once: less than one, since after a whole one the oracle has nothing to say; two or three of
them on an unused pin are more than one."""


def _met(deal: Sequence[Word]) -> set[tuple[Word, ...]]:
    """The pairs and threes of events in which the earlier ones were in force when the last one came."""
    found: set[tuple[Word, ...]] = set()
    in_force: list[Word] = []
    for word in deal:
        earlier = list(dict.fromkeys(in_force))
        found.update((each, word) for each in earlier)
        found.update((*pair, word) for pair in itertools.combinations(earlier, 2))
        in_force = [each for each in in_force if each != _ENDS.get(word)] + [word]
    return found


def _sample(word: Word) -> Step:
    """A step of this word that asks as much of a target as any that is dealt."""
    return Step(word, lifetimes=max(_LAPSES)) if word == "clock" else Step(word)


def within(steps: tuple[Step, ...], target: Target, contract: Contract, limit: float) -> tuple[Step, ...]:
    """As much of the beginning of a walk as waits for no longer than this (seconds)."""
    while steps and seconds(steps, target, contract) > limit:
        steps = steps[:-1]
    return steps


def seconds(steps: tuple[Step, ...], target: Target, contract: Contract) -> float:
    """About how long a walk waits for the balancer, in seconds: from what the target states, so the same everywhere."""
    timing, control = target.timing, target.control
    down = _READ_BACK if control.noticed_down is not None else timing.down_noticed.value
    up = _READ_BACK if control.noticed_up is not None else timing.up_noticed.value
    total = 0.0
    dead = 0
    for step in steps:
        if (
            dead
            and control.noticed_down is not None
            and step.do not in ("visit", "strangers", "clock", "revive", "kill", "hang", "reset", "health")
        ):
            total += down  # who is dead has to be found out anew
        dead += {"kill": 1, "hang": 1, "reset": 1, "health": 1, "revive": -1}.get(step.do, 0)
        if step.do in ("kill", "hang", "reset", "health"):
            total += down
        elif step.do == "revive":
            total += up
        elif step.do == "clock":
            whole = lifetime(contract) or 0.0
            total += 0.0 if control.advance_clock else whole * step.lifetimes
        elif step.do not in ("visit", "strangers"):
            total += timing.apply_settles.value + (up if step.do == "add" else 0.0)
    return total
