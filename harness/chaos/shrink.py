"""Makes a failing walk small: what can be left out without the failure going away is left out.

Hypothesis's shrinker would do this on its own stream of choices, but it takes a test whose outcome changes between two
equal runs for flaky and gives up; a balancer's does, under load. Here a candidate counts as failing only when it was
seen to fail, so that luck can make the result longer than need be and never wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from limpet.harness.chaos.walk import Step, without_user

Steps = tuple[Step, ...]
Attempt = Callable[[Steps], Steps | None]
"""Plays a candidate: the steps of it that led to the same failure (what came later, or was passed over, left out), or
None when it did not fail so."""


_SLOW = ("hang", "reset", "health")
"""What takes a balancer long to notice."""


class Exhausted(Exception):
    """No more plays: what is known by now has to do."""


def shrink(steps: Sequence[Step], attempt: Attempt, *, plays: int) -> tuple[Steps, int]:
    """The smallest failing walk that was found, and how many plays that took.

    Args:
        steps: a failing walk.
        attempt: plays a candidate; it may raise `Exhausted`.
        plays: how many candidates are played at the most.
    """
    search = _Search(tuple(steps), attempt, plays)
    try:
        search.fails(tuple(replace(step, do="kill") if step.do in _SLOW else step for step in search.best))
        search.chunks()
        for user in sorted({user for step in search.best for user in step.users}):
            search.fails(without_user(search.best, user))
        while search.one_less() or search.simpler():
            pass
    except Exhausted:
        pass
    return search.best, search.played


class _Search:
    def __init__(self, steps: Steps, attempt: Attempt, plays: int) -> None:
        self.best = steps
        self.played = 0
        self._attempt = attempt
        self._plays = plays
        self._seen = {steps}

    def fails(self, candidate: Steps) -> bool:
        """Whether this one fails too; then it is the best one."""
        if not candidate or candidate in self._seen:
            return False
        if self.played >= self._plays:
            raise Exhausted
        self._seen.add(candidate)
        self.played += 1
        found = self._attempt(candidate)
        if found is None:
            return False
        self._seen.add(found)
        self.best = found
        return True

    def chunks(self) -> None:
        """Leaves out long pieces first, from the end to the beginning."""
        size = len(self.best) // 2
        while size > 1:
            end = len(self.best)
            while end > 0:
                begin = max(0, end - size)
                self.fails(self.best[:begin] + self.best[end:])
                end = min(begin, len(self.best))
            size //= 2

    def one_less(self) -> bool:
        """Leaves out single steps, once around; whether any could be."""
        before = self.best
        number = len(self.best) - 1
        while number >= 0:
            if number < len(self.best):
                self.fails(self.best[:number] + self.best[number + 1 :])
            number -= 1
        return self.best != before

    def simpler(self) -> bool:
        """Tries the same steps with less in them, until one fails; whether one did."""
        return any(self.fails(candidate) for candidate in _with_less(self.best))


def _with_less(steps: Steps) -> Iterator[Steps]:
    for number, (one, other) in enumerate(itertools.pairwise(steps)):
        if one.do == other.do == "visit" and replace(one, users=()) == replace(other, users=()):
            both = one.users + tuple(user for user in other.users if user not in one.users)
            yield (*steps[:number], replace(one, users=both), *steps[number + 2 :])
    for number, step in enumerate(steps):
        if step.users and step.do != "visit":  # how many come until a fault is noticed is a matter of luck
            afterwards = Step("visit", users=step.users)
            yield (*steps[:number], replace(step, users=()), afterwards, *steps[number + 1 :])
    for number, step in enumerate(steps):
        for simpler in (*_simpler(step), *_plainer(step, steps[:number])):
            yield (*steps[:number], simpler, *steps[number + 1 :])


def _plainer(step: Step, earlier: Steps) -> Iterator[Step]:
    """The same step with the backend of somebody who came, where that is told in another way.

    A place in the list, or whom a user who never came is not with, is another role where users are placed otherwise:
    on the next target the walk would pass by the defect.
    """
    came = sorted({user for each in earlier for user in each.users})
    how, _, whose = step.backend.partition(" ")
    if how in ("beside", "member") or (how in ("of", "before") and int(whose) not in came):
        for user in came:
            yield replace(step, backend=f"of {user}")


def _simpler(step: Step) -> Iterator[Step]:
    """The same step with less in it."""
    if step.do in _SLOW:
        yield replace(step, do="kill")
    if step.strangers:
        yield replace(step, strangers=0)
        if step.strangers > 1:
            yield replace(step, strangers=step.strangers - 1)
    if step.users and step.do != "visit":
        yield replace(step, users=())
    if len(step.users) > 1:
        for user in step.users:
            yield replace(step, users=tuple(each for each in step.users if each != user))
    if step.connection == "kept":
        yield replace(step, connection="new")
    if step.show != "own":
        yield replace(step, show="own")
