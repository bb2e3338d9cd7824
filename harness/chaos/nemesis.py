"""What inflicts faults and heals them, each by its own kind of healing, through the verbs of a deployment.

Every verb writes its `Control` into the history, from which the oracle knows when what is possible. Nothing else is
told to it: a fault that the history does not show would turn a right balancer into a wrong one.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

import msgspec

from limpet.harness.chaos.fault import SPECS, Fault, FaultKind
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.wires import IMPAIRMENTS, Impairment
from limpet.harness.engine.wiring import why_not_wired
from limpet.harness.model.errors import HarnessFault, LimpetFault, SetupFault
from limpet.harness.network.site import NO_LINKS
from limpet.harness.targets.abilities import why_not as target_cannot
from limpet.harness.targets.by_hand import affinity_by_hand, pool_by_hand, revived_by_hand
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.render import Member

Undo = Callable[[bool], None]
"""Heals one fault; the argument says whether to return only when the balancer must have noticed."""


@dataclass(frozen=True, eq=False)
class Inflicted:
    """A fault that is in force. ``whom`` is who has it: for ``add`` the new backend.

    ``undo`` is None where there is nothing to heal.
    """

    fault: Fault
    whom: str
    undo: Undo | None = None
    number: int = field(default=0)

    def __str__(self) -> str:
        return str(msgspec.structs.replace(self.fault, whom=self.whom))


def never(loaded: LoadedTarget, kind: FaultKind, *, wired: bool = True, linked: bool = False) -> str:
    """Why a target can never have this kind of fault; "" where it can.

    Args:
        loaded: the target.
        kind: of the fault.
        wired: whether its deployment has fault proxies, or could have.
        linked: whether it has links that can be cut.
    """
    spec = SPECS[kind]
    for verb in spec.needs:
        if verb == "wires":
            reason = why_not_wired(loaded) or ("" if wired else "no fault proxies stand before its backends")
        elif verb == "links":
            reason = why_not_wired(loaded) or ("" if linked else NO_LINKS)
        else:
            reason = target_cannot(loaded.target, verb)
        if reason:
            return reason
    backends = loaded.target.backends
    if kind == "health" and not backends.health_checked:
        return f"{loaded.target.name} does not look at its backends' health path"
    if kind in ("status", "health") and backends.protocol != "http":
        return f"{kind} is a fault of HTTP"
    if spec.silent and loaded.contract.layer == 4:
        return "a balancer of connections sees no fault of a backend that goes on accepting them"
    return ""


class Nemesis:
    """Inflicts faults on one deployment, any number at once, and heals them.

    Leave its ``with`` and everything is healed. Not thread-safe: one thread commands it, others may send meanwhile.

    Args:
        system: the deployment.
    """

    def __init__(self, system: Deployment) -> None:
        self._system = system
        self._active: list[Inflicted] = []
        self._later: dict[str, list[Callable[[], None]]] = {}
        self._numbers = itertools.count(1)

    @property
    def active(self) -> tuple[Inflicted, ...]:
        """What is in force, oldest first."""
        return tuple(self._active)

    @property
    def troubled(self) -> frozenset[str]:
        """The backends with whom anything is wrong now, or that take no new sessions."""
        return frozenset(
            each.whom for each in self._active if each.whom and each.fault.kind not in ("add", "weight", "reorder")
        )

    def why_not(self, fault: Fault) -> str:
        """Why this fault cannot be inflicted now; "" where it can."""
        reason = never(self._system.loaded, fault.kind, wired=self._system.wired, linked=self._system.linked)
        if reason:
            return reason
        spec, whom, names = fault.spec, fault.whom, self._system.names
        per_backend = spec.place in ("process", "wire") or fault.kind in ("remove", "drain", "weight")
        if per_backend and whom not in names:
            return f'"{whom}" is no member now'
        if fault.kind == "remove" and len(names) == 1:
            return f"{whom} is the only member"
        if fault.kind == "reorder" and len(names) == 1:
            return "there is only one member"
        if fault.kind == "affinity-off" and not self._system.target.affinity_enabled:
            return "stickiness is off already"
        return self._conflict(fault)

    def inflict(self, fault: Fault, *, settle: bool = True) -> Inflicted:
        """Does it.

        Args:
            fault: what; ``at`` and ``lasts`` are its plan's business.
            settle: whether to return only when the balancer must have noticed. Changes of the pool and of the balancer
                are always seen through.

        Raises:
            HarnessFault: it is impossible now; see `why_not`.
            SetupFault: it could not be inflicted.
        """
        if reason := self.why_not(fault):
            raise HarnessFault(f"{fault}: {reason}", where=self._system.name)
        done = replace(self._do(fault, settle), number=next(self._numbers))
        if done.undo is not None:
            self._active.append(done)
        return done

    def heal(self, inflicted: Inflicted, *, settle: bool = True) -> None:
        """Ends one fault; nothing where it is over already.

        Raises:
            SetupFault: it could not be healed, with what to do by hand. It stays in `active`.
        """
        if inflicted not in self._active or inflicted.undo is None:
            return
        try:
            inflicted.undo(settle)
        except LimpetFault as err:
            raise SetupFault(
                f"{inflicted} could not be healed: {err.reason}",
                where=self._system.loaded.target.name,
                do=self.by_hand(inflicted),
            ) from err
        self._active.remove(inflicted)

    def heal_some(self, which: Sequence[Inflicted], *, settle: bool = True) -> None:
        """Ends these faults: first what is wrong with backends and their wires, all at once, then what was changed.

        Raises:
            SetupFault: some could not be healed, with all of them; the others are.
        """
        sick = [each for each in which if each in self._active and each.fault.spec.place in ("process", "wire")]
        processes = [each.whom for each in sick if each.fault.spec.place == "process"]
        wires = [(each.whom, _impairment(each.fault.kind)) for each in sick if each.fault.spec.place == "wire"]
        with contextlib.suppress(LimpetFault):  # one by one it will be seen who does not get well
            self._system.calm(processes, wires, settle=settle)
            self._active = [each for each in self._active if each not in sick]
        problems: list[SetupFault] = []
        for each in reversed([each for each in self._active if each in which]):
            try:
                self.heal(each, settle=settle)
            except SetupFault as err:
                problems.append(err)
        if problems:
            raise SetupFault(
                "; ".join(each.what for each in problems),
                where=self._system.loaded.target.name,
                do="\n".join(each.do for each in problems),
            )

    def heal_all(self, *, settle: bool = True) -> None:
        """Ends everything; see `heal_some`."""
        self.heal_some(self.active, settle=settle)

    def see_well(self, *, late: bool = True) -> None:
        """Waits until the balancer takes for well whoever was healed without waiting; see `Deployment.see_well`."""
        self._system.see_well(*self._system.names, late=late)

    def see_noticed(self, which: Sequence[Inflicted]) -> None:
        """Waits until the balancer knows of faults that were inflicted without waiting, or must know of them."""
        self._system.see_noticed(*(each.whom for each in which if each.whom))

    def by_hand(self, inflicted: Inflicted) -> str:
        """What a person does where limpet could not: a command, or a word where there is no command."""
        return by_hand(self._system.loaded, inflicted.fault.kind, inflicted.whom)

    def __enter__(self) -> Nemesis:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if value is None:
            self.heal_all()
            return
        # What ended the scenario matters more; the deployment's own healing says what is still down.
        with contextlib.suppress(LimpetFault):
            self.heal_all(settle=False)

    # What goes together.

    def _conflict(self, fault: Fault) -> str:
        """What is in force already and does not go together with it.

        A backend's process has one fault at a time, since reviving it heals all that it has. Its wire may be bad in
        several ways, but not while the backend itself answers badly: then nobody could say when it is well.
        """
        for each in self._active:
            if each.whom != fault.whom or not fault.whom:
                if each.fault.kind == fault.kind and fault.kind in ("reorder", "affinity-off"):
                    return f"{each} is in force"
                continue
            one, other = each.fault.spec.place, fault.spec.place
            same = each.fault.kind == fault.kind
            process = one == other == "process"
            answers = {one, other} == {"process", "wire"} and not {"kill", "hang"} & {each.fault.kind, fault.kind}
            if same or process or answers:
                return f"{each} is in force"
        return ""

    # How each is done, and undone.

    def _do(self, fault: Fault, settle: bool) -> Inflicted:
        place = fault.spec.place
        if place == "process":
            return self._process(fault, settle)
        if place == "wire":
            return self._wire(fault, settle)
        if place == "pool":
            return self._pool(fault)
        system = self._system
        if fault.kind == "clock":
            system.advance(fault.value)
            return Inflicted(fault, "")
        acts: Mapping[FaultKind, Callable[[], None]] = {
            "reload": system.reload,
            "restart": system.restart,
            "change": system.change,
            "affinity-off": lambda: system.affinity(False),
        }
        acts[fault.kind]()
        return Inflicted(fault, "", (lambda _: system.affinity(True)) if fault.kind == "affinity-off" else None)

    def _process(self, fault: Fault, settle: bool) -> Inflicted:
        settle = settle and fault.kind not in ("slow", "status")  # nobody need ever take notice of these
        system, name, value = self._system, fault.whom, fault.value
        acts: Mapping[FaultKind, Callable[[], None]] = {
            "kill": lambda: system.kill(name, settle=settle),
            "hang": lambda: system.hang(name, settle=settle),
            "blackhole": lambda: system.blackhole(name, settle=settle),
            "reset": lambda: system.reset(name, settle=settle),
            "accept-close": lambda: system.accept_close(name, settle=settle),
            "slow": lambda: system.slow(name, value, settle=settle),
            "status": lambda: system.status(name, int(value), settle=settle),
            "health": lambda: system.health(name, int(value), settle=settle),
        }
        acts[fault.kind]()
        return Inflicted(fault, name, lambda settled: system.calm((name,), settle=settled))

    def _wire(self, fault: Fault, settle: bool) -> Inflicted:
        system, name, kind = self._system, fault.whom, _impairment(fault.kind)
        system.impair(name, kind, fault.value, settle=settle)
        return Inflicted(fault, name, lambda settled: system.calm((), ((name, kind),), settle=settled))

    def _pool(self, fault: Fault) -> Inflicted:
        system, name = self._system, fault.whom
        before = {member.name: member for member in system.target.members}
        if fault.kind == "add":
            added = system.add(weight=int(fault.value) or 1)
            return Inflicted(fault, added, lambda _: system.remove(added))
        if fault.kind == "remove":
            system.remove(name)
            return Inflicted(fault, name, lambda _: self._put_back(before[name]))
        if fault.kind == "drain":
            system.drain(name)
            return Inflicted(fault, name, self._while_member(name, lambda: system.drain(name, draining=False)))
        if fault.kind == "weight":
            system.weight(name, int(fault.value))
            weight = before[name].weight
            return Inflicted(fault, name, self._while_member(name, lambda: system.weight(name, weight)))
        names = system.names
        system.reorder([*names[1:], names[0]])
        return Inflicted(fault, "", lambda _: self._as_before(names))

    def _while_member(self, name: str, act: Callable[[], None]) -> Undo:
        """What concerns a member that may have been removed meanwhile is done when it is one again."""

        def undo(_: bool) -> None:
            if name in self._system.names:
                act()
            else:
                self._later.setdefault(name, []).append(act)

        return undo

    def _put_back(self, member: Member) -> None:
        self._system.put_back(member)
        for act in self._later.pop(member.name, []):
            act()

    def _as_before(self, names: tuple[str, ...]) -> None:
        """The order of before, those who came meanwhile behind; who has left is left out."""
        now = self._system.names
        self._system.reorder([*(name for name in names if name in now), *(name for name in now if name not in names)])


def _impairment(kind: FaultKind) -> Impairment:
    for each in IMPAIRMENTS:
        if each == kind:
            return each
    raise HarnessFault(f"{kind} is no fault of a wire")


def by_hand(loaded: LoadedTarget, kind: FaultKind, whom: str) -> str:
    """How a person heals a fault: the target's own commands where it has any."""
    commands = "; ".join(_commands(loaded, kind, whom))
    if commands:
        return f"By hand: {commands}"
    word = SPECS[kind].healed_by
    return f"By hand: {word} {whom}".rstrip() + f", as the target {loaded.directory} describes it"


def _commands(loaded: LoadedTarget, kind: FaultKind, whom: str) -> tuple[str, ...]:
    place = SPECS[kind].place
    if place == "process":
        return revived_by_hand(loaded, whom)
    if place == "pool":
        return pool_by_hand(loaded)
    return (affinity_by_hand(loaded) or pool_by_hand(loaded)) if kind == "affinity-off" else ()
