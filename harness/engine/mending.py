"""How a deployment gets well again: after one fault, and after whatever was left of any."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence

from limpet.harness.backends.backend import Backend
from limpet.harness.engine.wiring import Wiring
from limpet.harness.model.errors import LimpetFault, SetupFault
from limpet.harness.model.history import ControlVerb
from limpet.harness.targets.render import Member
from limpet.harness.targets.running import RunningTarget

Meanwhile = Callable[[], object] | None
"""What a scenario does again and again while the balancer has not noticed yet; it decides itself when it had enough."""


class Mending(Wiring):
    """The part of a deployment that heals."""

    def __init__(self, *, wired: bool = False) -> None:
        super().__init__(wired=wired)
        self._first_members: tuple[Member, ...] = ()
        self._down: set[str] = set()

    def revive(self, *names: str, meanwhile: Meanwhile = None) -> None:
        """Heals whatever was done to the backends; a dead one comes back at its address as a new instance."""
        self._backend_fault("revive", names, Backend.revive, up=True, meanwhile=meanwhile)

    def restore(self, *names: str, settle: bool = True) -> None:
        """Revives backends that the balancer may not have missed yet, so that it may miss them late.

        Unlike after `revive` it is certain afterwards that nothing at all is wrong with them, but for their wires.

        Args:
            names: whom.
            settle: whether to return only when the balancer must take them for well.

        Raises:
            SetupFault: one of them did not come back.
        """
        begin = time.monotonic()
        with self._ground.timeline.patience():
            for name in names:
                self._bring_back(name)
            self._with_the_wire("revive", names)
        self._down.difference_update(names)
        for name in names:
            rests, done = self._surely_up(name, settle=settle)
            self._tell("revive", begin, done, name, rests=rests)
            if not self.impairments(name):
                self._tell("normal", begin, done, name, rests=rests)

    def put_back(self, member: Member) -> None:
        """Makes a backend a member again that was removed; at the end of the list."""
        self._apply("add", member.name, [*self.target.members, member], up=True)

    def heal(self) -> None:
        """Mends wires, revives what was killed, hung or made faulty, and restores the members it was started with.

        Raises:
            SetupFault: one of them could not be revived; the others were.
        """
        problems: list[str] = []
        for name in sorted(self._down):
            try:
                self._bring_back(name)
                self._with_the_wire("revive", (name,))
                self._down.discard(name)
            except LimpetFault as err:
                problems.append(f"{name} is still down: {err.reason}")
        if problems:
            raise SetupFault("; ".join(problems), where=self.loaded.target.name, do="Bring it up by hand.")
        self._mend_wires()
        if self.target.members != self._first_members or not self.target.affinity_enabled:
            self.target.apply(self._first_members)

    def _bring_back(self, name: str) -> None:
        if self.loaded.target.backends.owner == "limpet":
            self._backend(name).revive()
        else:
            self.target.backend_verb("revive", name)

    def _surely_up(self, name: str, *, settle: bool) -> tuple[tuple[str, ...], float]:
        """When a backend that is well again is certainly taken for well, and what that rests on.

        A check that met the fault may fail after the fault is over. Only after the time for that is the time for
        noticing that it is up.
        """
        timing, begin = self.loaded.target.timing, time.monotonic()
        if not settle:
            done = begin + timing.down_noticed.value + timing.up_noticed.value
            return ("down_noticed", "up_noticed"), done
        self._ground.timeline.wait(timing.down_noticed.value)
        rests = self._await_notice(name, up=True)
        return ("down_noticed", *rests), time.monotonic()

    @property
    @abstractmethod
    def target(self) -> RunningTarget:
        """The running balancer."""

    @abstractmethod
    def _backend(self, name: str) -> Backend: ...

    @abstractmethod
    def _backend_fault(
        self, verb: ControlVerb, names: Sequence[str], act: Callable[[Backend], None], *, value: float = 0.0,
        up: bool = False, settle: bool = True, meanwhile: Meanwhile = None,
    ) -> None: ...  # fmt: skip

    @abstractmethod
    def _apply(
        self, verb: ControlVerb, name: str, members: Sequence[Member], *, value: float = 0.0, up: bool = False
    ) -> None: ...
