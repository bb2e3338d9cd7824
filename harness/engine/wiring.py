"""What a deployment does with its wires: lay them, make them bad, mend them, and tell the history."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from limpet.harness.engine.ground import Ground
from limpet.harness.engine.wires import CUTS, LINKS, Impairment, Wire, Wires
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import ControlVerb
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.render import Member, Server


def why_not_wired(loaded: LoadedTarget) -> str:
    """Why no proxies can stand between this balancer and its backends; "" where they can."""
    target = loaded.target
    if target.backends.owner != "limpet":
        return f"the backends of {target.name} are yours: limpet cannot stand between them and the balancer"
    if target.backends.protocol == "udp":
        return "datagrams do not go through limpet's fault proxies"
    if target.launch is None:
        return f"limpet did not start {target.name}, which goes straight to its backends"
    return ""


class Wiring(ABC):
    """The part of a deployment that knows its wires; without any, nothing here does anything."""

    name: str
    loaded: LoadedTarget
    _ground: Ground

    def __init__(self, *, wired: bool = False) -> None:
        self._wanted = wired
        self._wires: Wires | None = None
        self._wire: dict[str, tuple[Wire, ...]] = {}
        self._bad: dict[str, set[Impairment]] = {}

    @property
    def wired(self) -> bool:
        """Whether a proxy stands before each backend."""
        return bool(self._wire) and not self.linked

    @property
    def linked(self) -> bool:
        """Whether the link to each backend can be cut."""
        return bool(self._wire) and self._wires is not None and set(LINKS) <= set(self._wires.kinds)

    @property
    def wires_made_of(self) -> str:
        """What the proxies are, "" without any."""
        return self._wires.made_of if self._wires is not None else ""

    def impair(self, name: str, kind: Impairment, value: float = 0.0, *, settle: bool = True) -> None:
        """Makes the way to this backend bad; see `Wire.impair`.

        Args:
            name: whose.
            kind: how.
            value: its number.
            settle: of `CUTS` only, whether to return when the balancer knows. Whether it ever takes notice of the
                others is its own affair: from then on, until it is mended, this backend's answers may fail.
        """
        begin = time.monotonic()
        wires = self._wires_of(name)
        self._bad.setdefault(name, set()).add(kind)
        with self._ground.timeline.patience():
            for wire in wires:
                wire.impair(kind, value)
        if kind not in CUTS:
            self._tell("impair", begin, time.monotonic(), name, value, detail=kind)
            return
        since = time.monotonic()
        rests: tuple[str, ...] = ("down_noticed",)
        done = since + self.loaded.target.timing.down_noticed.value
        if settle:
            rests = self._await_notice(name, up=False, since=since)
            self._has_noticed(name, "blackhole", rests)
            done = time.monotonic()
        else:
            self._not_waited_for(name, "blackhole", 0.0, since)
        self._tell("blackhole", begin, done, name, rests=rests, detail=kind)

    def _mend(self, name: str, kind: Impairment) -> None:
        for wire in self._wires_of(name):
            wire.mend(kind)
        self._bad.get(name, set()).discard(kind)

    def impairments(self, name: str) -> tuple[Impairment, ...]:
        """What is wrong with the way to this backend now."""
        return tuple(sorted(self._bad.get(name, ())))

    @property
    def cut_off(self) -> set[str]:
        """The backends between which and the balancer nothing comes through."""
        return {name for name, kinds in self._bad.items() if kinds & set(CUTS)}

    def _wires_of(self, name: str) -> tuple[Wire, ...]:
        try:
            return self._wire[name]
        except KeyError:
            raise HarnessFault(f'there is no wire to "{name}"', where=self.name) from None

    def _seen_as(self, member: Member) -> Member:
        """A backend as the balancer is to know it: by its own addresses, or by those of the proxies before them."""
        if not self._wanted:
            return member
        if self._wires is None:
            if self._ground.wires is None:
                raise HarnessFault("nobody said what fault proxies are made of", where=self.name)
            place = self._ground.workdir / self.name / "wires"
            self._wires = self._ground.wires(self._ground.keeper, self._ground.lease, place)
        laid = [
            self._wires.lay(f"{member.name}-{number}" if number > 1 else member.name, server.host, server.port)
            for number, server in enumerate(member.servers, 1)
        ]
        self._wire[member.name] = tuple(laid)
        servers = tuple(Server(wire.host, wire.port) for wire in laid)
        return replace(member, host=servers[0].host, port=servers[0].port, servers=servers)

    def _with_the_wire(self, verb: ControlVerb, names: Sequence[str]) -> None:
        """Who is gone refuses connections: so must the proxy, which would take them in its name."""
        for name in names:
            for wire in self._wire.get(name, ()):
                if verb == "kill":
                    wire.shut()
                elif verb == "revive":
                    wire.open()

    def _mend_wires(self) -> None:
        for name in sorted(self._bad):
            for kind in self.impairments(name):
                self._mend(name, kind)

    def _close_wires(self) -> None:
        if self._wires is not None:
            self._wires.close()

    @abstractmethod
    def _has_noticed(self, name: str, verb: ControlVerb, rests: tuple[str, ...]) -> None: ...

    @abstractmethod
    def _not_waited_for(self, name: str, verb: ControlVerb, value: float, since: float) -> None: ...

    @abstractmethod
    def _await_notice(self, name: str, *, up: bool, since: float | None = None) -> tuple[str, ...]: ...

    @abstractmethod
    def _tell(
        self, verb: ControlVerb, begin: float, done: float, name: str = "", value: float = 0.0,
        rests: tuple[str, ...] = (), detail: str = "",
    ) -> None: ...  # fmt: skip
