"""The pool over time: what each backend may have been, and certainly was, in any window.

A change is not a moment: from the start of a control verb until it is seen to have settled, the state before and the
state after are both possible. `Control.done` already includes the time that the target may lawfully lag.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from limpet.harness.model.history import Control

Aspect = Literal["member", "alive", "sound", "healthy", "draining", "sticky"]
"""Alive: the process runs. Sound: it answers as it should. Healthy: its health path says so. Sticky: the balancer."""

BALANCER = ""
"""The name under which a control speaks of the balancer itself."""

_EFFECTS: dict[str, tuple[Aspect, bool]] = {
    "add": ("member", True),
    "remove": ("member", False),
    "drain": ("draining", True),
    "undrain": ("draining", False),
    "kill": ("alive", False),
    "stop": ("alive", False),
    "hang": ("alive", False),
    "revive": ("alive", True),
    "start": ("alive", True),
    "blackhole": ("sound", False),
    "reset": ("sound", False),
    "accept-close": ("sound", False),
    "normal": ("sound", True),
    "affinity-off": ("sticky", False),
    "affinity-on": ("sticky", True),
}

MEMBERSHIP = frozenset({"add", "remove", "reorder", "weight", "replace"})
"""After these the membership is another one: a mode that lawfully remaps may place everybody anew."""

OPENNESS = frozenset(_EFFECTS) - {"affinity-off", "affinity-on"} | {"health", "slow", "status", "impair", "mend"}
"""These change who is open for new sessions."""

DISTURBING = MEMBERSHIP | {"drain", "undrain", "reload", "change", "restart", "affinity-on", "affinity-off"}
"""The balancer itself is being changed: until that has settled, a request may fail."""


@dataclass(frozen=True)
class Change:
    """One aspect of one backend changes: begun at ``begin``, certain from ``settled`` on (monotonic seconds)."""

    name: str
    aspect: Aspect
    begin: float
    settled: float
    value: bool


@dataclass(frozen=True, eq=False)
class View:
    """The pool in one window of time. ``maybe_…``: at some moment of it, for all we know; ``sure_…``: all the time.

    ``known`` are the backends that may have been members at some time up to its end; ``verbs`` is what was being done
    to the system within it (a verb to the balancer itself that stops it counts as ``restart``).
    """

    known: frozenset[str]
    maybe_out: frozenset[str]
    sure_out: frozenset[str]
    maybe_down: frozenset[str]
    sure_down: frozenset[str]
    maybe_draining: frozenset[str]
    sure_draining: frozenset[str]
    mute: frozenset[str]
    """Could not have answered anybody: surely dead or cut off (a failing health path alone silences no one)."""
    maybe_unsticky: bool
    sure_unsticky: bool
    verbs: frozenset[str]

    @cached_property
    def maybe_open(self) -> frozenset[str]:
        """May have been open for new sessions at some moment."""
        return self.known - self.sure_out - self.sure_down - self.sure_draining

    @cached_property
    def sure_open(self) -> frozenset[str]:
        """Open for new sessions all the time."""
        return self.known - self.maybe_out - self.maybe_down - self.maybe_draining

    @cached_property
    def answering(self) -> frozenset[str]:
        """Able to answer, whether the balancer should ask them or not."""
        return self.known - self.mute

    @cached_property
    def disturbed(self) -> bool:
        """Whether the balancer itself was being changed, or away, at some moment."""
        return bool(self.verbs & DISTURBING) or BALANCER in self.maybe_down


class Pool:
    """The backends of one deployment through a history.

    Args:
        members: the names at the start, all up, none draining.
        controls: what was done, in any order.
        notices_health: whether this target looks at its backends' health path. Where it does not, a failing health
            path is nothing it has promised to notice, so "down" stays possible but never becomes certain.
    """

    def __init__(self, members: Iterable[str], controls: Sequence[Control] = (), notices_health: bool = True) -> None:
        self._initial = frozenset(members)
        self._notices_health = notices_health
        self._changes: list[Change] = []
        self._controls = sorted(controls, key=lambda each: each.t)
        for control in self._controls:
            self._take(control)
        self.names = self._initial | {each.name for each in self._changes if each.name != BALANCER}
        # A view depends only on how many changes have settled by its begin and have begun by its end.
        self._settled = sorted([each.settled for each in self._changes] + [each.done for each in self._controls])
        self._begun = sorted([each.begin for each in self._changes] + [each.t for each in self._controls])
        self._views: dict[tuple[int, int], View] = {}
        self._window = math.nan, math.nan
        self._last: View

    def view(self, begin: float, end: float) -> View:
        """What is known about ``[begin, end]``."""
        if (begin, end) == self._window:  # of one request every rule asks again
            return self._last
        self._window = begin, end
        key = bisect_right(self._settled, begin), bisect_right(self._begun, end)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self._make(begin, end)
        self._last = found
        return found

    def _take(self, control: Control) -> None:
        def note(aspect: Aspect, value: bool, settled: float = control.done) -> None:
            self._changes.append(Change(control.backend, aspect, control.t, settled, value))

        verb = control.verb
        if verb in _EFFECTS:
            note(*_EFFECTS[verb])
        if verb == "normal":
            note("healthy", True)
        elif verb in ("revive", "start"):  # whether its other faults survive depends on how it went down
            note("sound", True, math.inf)
            note("healthy", True, math.inf)
        elif verb == "health":
            failing = control.value >= 400
            note("healthy", not failing, control.done if self._notices_health or not failing else math.inf)
        elif verb in ("slow", "status", "impair"):  # it answers; a balancer may take it for dead but need not
            note("sound", False, math.inf)
        elif verb == "mend" and not control.value:  # it answers again, if the rest of what is wrong lets it
            note("sound", True, math.inf)
        elif verb == "replace":
            note("member", False)
            note("member", True)

    def _make(self, begin: float, end: float) -> View:
        values: dict[tuple[str, Aspect], set[bool]] = {}
        known = set(self._initial)
        for change in self._changes:
            key = change.name, change.aspect
            seen = values.setdefault(key, {self._at_first(*key)})
            if change.settled <= begin:
                seen.clear()
                seen.add(change.value)
            elif change.begin <= end:
                seen.add(change.value)
            if change.aspect == "member" and change.value and change.begin <= end:
                known.add(change.name)

        def names(value: bool, *aspects: Aspect, sure: bool) -> frozenset[str]:
            found = set()
            for name in (*self.names, BALANCER):
                for aspect in aspects:
                    possible = values.get((name, aspect)) or {self._at_first(name, aspect)}
                    if value in possible and not (sure and len(possible) > 1):
                        found.add(name)
            return frozenset(found)

        sticky = values.get((BALANCER, "sticky"), {True})
        overlapping = [each for each in self._controls if each.t <= end and each.done > begin]
        return View(
            known=frozenset(known),
            maybe_out=names(False, "member", sure=False) - {BALANCER},
            sure_out=names(False, "member", sure=True) - {BALANCER},
            maybe_down=names(False, "alive", "sound", "healthy", sure=False),
            sure_down=names(False, "alive", "sound", "healthy", sure=True),
            maybe_draining=names(True, "draining", sure=False),
            sure_draining=names(True, "draining", sure=True),
            mute=names(False, "alive", "sound", sure=True),
            maybe_unsticky=False in sticky,
            sure_unsticky=True not in sticky,
            verbs=frozenset(
                "restart"
                if each.backend == BALANCER and each.verb in ("kill", "stop", "start", "revive")
                else each.verb
                for each in overlapping
            ),
        )

    def _at_first(self, name: str, aspect: Aspect) -> bool:
        return name in self._initial if aspect == "member" else aspect != "draining"
