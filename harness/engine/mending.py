"""How a deployment gets well again: after one fault, and after whatever was left of any."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limpet.harness.backends.backend import Backend
from limpet.harness.engine.leftovers import Page
from limpet.harness.engine.servers import Servers
from limpet.harness.engine.wires import CUTS, Impairment
from limpet.harness.engine.wiring import Wiring
from limpet.harness.model.errors import LimpetFault, SetupFault
from limpet.harness.model.history import ControlVerb
from limpet.harness.targets.by_hand import affinity_by_hand, pool_by_hand, revived_by_hand
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.render import Member
from limpet.harness.targets.running import RunningTarget

Meanwhile = Callable[[], object] | None
"""What a scenario does again and again while the balancer has not noticed yet; it decides itself when it had enough."""

NOTICED = "noticed"
"""The detail of a control that says only that the balancer knows of the one before it."""

_PLAIN = ("kill", "hang", "blackhole", "reset", "accept-close")
"""After these a balancer that has had its time knows, even where nobody can ask it."""


_REVIVED: tuple[ControlVerb, ...] = ("revive", "normal")


@dataclass(frozen=True)
class _Healed:
    """Who was healed at ``since`` (minus infinity where the balancer had noticed): a process that was ``revived``?"""

    since: float
    revived: bool


class Mending(Wiring):
    """The part of a deployment that heals."""

    _servers: Servers

    def __init__(self, loaded: LoadedTarget, *, wired: bool = False) -> None:
        super().__init__(wired=wired)
        self._page = Page(loaded)
        self._first_members: tuple[Member, ...] = ()
        self._down: set[str] = set()
        self._noticed: set[str] = set()
        self._dead: set[str] = set()
        self._unseen: dict[str, tuple[ControlVerb, float, float]] = {}
        self._unsure: dict[str, _Healed] = {}
        self._owing = False
        """Whether members or stickiness could not be restored."""

    def revive(self, *names: str, meanwhile: Meanwhile = None) -> None:
        """Heals whatever was done to the backends; a dead one comes back at its address as a new instance."""
        self._backend_fault("revive", names, Backend.revive, up=True, meanwhile=meanwhile)

    def calm(self, names: Sequence[str], wires: Sequence[tuple[str, Impairment]] = (), *, settle: bool = True) -> None:
        """Revives backends and mends wires, some of which the balancer may not have missed yet.

        It may miss them late then. Unlike after `revive` it is certain afterwards that nothing at all is wrong with
        these backends, unless a wire of theirs is left bad.

        Args:
            names: whom to revive.
            wires: which impairments to end, and of whose wire.
            settle: whether to return only when the balancer must take them for well.

        Raises:
            SetupFault: one of them did not get well; nothing is told to the history then.
        """
        begin = time.monotonic()
        with self._ground.timeline.patience():
            for name in names:
                self._bring_back(name)
            self._with_the_wire("revive", names)
            for name, kind in wires:
                self._mend(name, kind)
        self._is_done("revive", 0.0, names)
        concerned = tuple(dict.fromkeys((*names, *(name for name, _ in wires))))
        missed = [name for name in concerned if name not in self._noticed]
        self._noticed.difference_update(concerned)
        for name in concerned:
            self._unseen.pop(name, None)
        timing, since = self.loaded.target.timing, time.monotonic()
        done = since + timing.down_noticed.value + timing.up_noticed.value
        for name in concerned:
            rests = ("down_noticed", "up_noticed")
            if name in names:
                self._tell("revive", begin, done, name, rests=rests)
            left = self.impairments(name)
            cut = sum(kind in CUTS for kind in left)
            self._tell("mend" if left else "normal", begin, done, name, float(cut), rests=rests)
            revived = name in names or (name in self._unsure and self._unsure[name].revived)
            self._unsure[name] = _Healed(since if name in missed else -math.inf, revived)
        if settle:
            self.see_well(*concerned)

    def see_well(self, *names: str, late: bool = True) -> None:
        """Waits until the balancer takes backends for well that were healed without waiting, or must do so.

        The history is told, which makes that certain earlier than its time would.

        Args:
            names: whom; who was not healed, or is not well for another reason, is left out.
            late: also those whose fault the balancer had not noticed: then its time for that is waited for first.
        """
        well = [name for name in names if name in self._unsure and name not in self._down]
        well = [name for name in well if not self.impairments(name) and (late or self._unsure[name].since < 0)]
        healed = {name: self._unsure.pop(name) for name in well}
        lag = self.loaded.target.timing.down_noticed.value
        last = max((each.since for each in healed.values()), default=-math.inf)
        self._ground.timeline.wait(max(0.0, last + lag - time.monotonic()))
        for name, each in healed.items():
            begin = time.monotonic()
            rests: tuple[str, ...] = self._await_notice(name, up=True) if name in self.names else ()
            rests = ("down_noticed", *rests) if each.since > 0 else rests
            for verb in _REVIVED if each.revived else _REVIVED[1:]:
                self._tell(verb, begin, time.monotonic(), name, rests=rests, detail=NOTICED)

    def _has_noticed(self, name: str, verb: ControlVerb, rests: tuple[str, ...]) -> None:
        """Keeps in mind of whose fault the balancer knows for certain: it will not miss that backend late."""
        if verb == "revive":
            self._noticed.discard(name)
        elif verb in _PLAIN or not rests:
            self._noticed.add(name)

    def see_noticed(self, *names: str) -> None:
        """Waits until the balancer knows of faults that were inflicted without waiting, or its time for that is over.

        Where it says so itself the history is told, which makes the fault certain earlier than its time would.
        """
        for name in names:
            if name not in self._unseen:
                continue
            verb, value, since = self._unseen.pop(name)
            begin = time.monotonic()
            rests = self._await_notice(name, up=False, since=since)
            self._has_noticed(name, verb, rests)
            if not rests:
                self._tell(verb, begin, time.monotonic(), name, value, detail=NOTICED)

    @property
    def dead(self) -> set[str]:
        """The members that now fail in a way that every balancer has to find out."""
        return (self._dead & self._down | self.cut_off) & set(self.names)

    def _is_done(self, verb: ControlVerb, value: float, names: Sequence[str]) -> None:
        """Keeps in mind with whom something is wrong, from the moment on in which it may be."""
        if verb == "revive":
            self._page.up(names)
            self._down.difference_update(names)
            self._dead.difference_update(names)
            return
        self._page.down(names)
        self._down.update(names)
        if verb in _PLAIN or (verb == "health" and value >= 400):
            self._dead.update(names)

    def _not_waited_for(self, name: str, verb: ControlVerb, value: float, since: float) -> None:
        """Keeps in mind what the balancer may not know yet, if it is to know of it at all."""
        if verb in _PLAIN or (verb == "health" and value >= 400):
            self._unseen[name] = verb, value, since

    def put_back(self, member: Member) -> None:
        """Makes a backend a member again that was removed; at the end of the list."""
        self._apply("add", member.name, [*self.target.members, member], up=True)

    def heal(self) -> None:
        """Mends wires, revives what was killed, hung or made faulty, and restores the members it was started with.

        Raises:
            SetupFault: one of them could not be revived, or the members not be restored, with what to do by hand; the
                others were.
        """
        problems: list[str] = []
        commands: list[str] = []
        for name in sorted(self._down):
            try:
                self._bring_back(name)
                self._with_the_wire("revive", (name,))
                self._down.discard(name)
            except LimpetFault as err:
                problems.append(f"{name} is still down: {err.reason}")
                commands += revived_by_hand(self.loaded, name) or (f"revive {name}",)
        self._mend_wires()
        try:
            self._restore_settings()
        except LimpetFault as err:
            first = ", ".join(member.name for member in self._first_members)
            problems.append(f"its members are not {first} with stickiness on, as they were: {err.reason}")
            commands += (*pool_by_hand(self.loaded), *affinity_by_hand(self.loaded)) or (
                f"give it the members {first}",
            )
        if problems:
            by_hand = "; ".join(dict.fromkeys(commands))
            raise SetupFault("; ".join(problems), where=self.loaded.target.name, do=f"By hand: {by_hand}")
        self._page.healed()

    def _restore_settings(self) -> None:
        """Members and stickiness as they were at first. What failed is tried again by the next healing."""
        target, switch = self.target, self.loaded.target.control.affinity_on
        off, other = not target.affinity_enabled, target.members != self._first_members
        owing, self._owing = self._owing, self._owing or off or other
        if switch and (off or owing):
            target.set_affinity(True)
        if other or (off and not switch) or (owing and self.loaded.target.control.apply):
            target.apply(self._first_members)
        self._owing = False

    def undo(self, names: Sequence[str]) -> None:
        """Heals what another deployment of this target has left, by its verbs.

        Raises:
            SetupFault: it could not be healed.
        """
        if self.loaded.target.backends.owner == "yours":
            self._down.update(names)
        # Members were given to it when it was started; a switch of its own may still be off.
        self._owing = self._owing or bool(self.loaded.target.control.affinity_on)
        self.heal()

    def _bring_back(self, name: str) -> None:
        if self.loaded.target.backends.owner == "limpet":
            for server in self._servers.of(name):
                server.revive()
        else:
            self.target.backend_verb("revive", name)

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of its members now."""

    @property
    @abstractmethod
    def target(self) -> RunningTarget:
        """The running balancer."""

    @abstractmethod
    def _backend_fault(
        self, verb: ControlVerb, names: Sequence[str], act: Callable[[Backend], None], *, value: float = 0.0,
        up: bool = False, settle: bool = True, meanwhile: Meanwhile = None,
    ) -> None: ...  # fmt: skip

    @abstractmethod
    def _apply(
        self, verb: ControlVerb, name: str, members: Sequence[Member], *, value: float = 0.0, up: bool = False
    ) -> None: ...
