"""One running copy of a target, with backends and client addresses of its own, and all that can be done to it.

Every verb writes a `Control` record whose ``done`` is the moment from which its effect is certain: when it was read
back from the balancer, or else when the time has passed that the target says it may lag.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from limpet.harness.backends.backend import Backend
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.engine.ground import Ground
from limpet.harness.engine.mending import Meanwhile, Mending
from limpet.harness.engine.pace import Pace
from limpet.harness.engine.reaching import endpoint_of
from limpet.harness.engine.servers import Servers
from limpet.harness.model.contract import Contract
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Arrived, Control, ControlVerb
from limpet.harness.network.vantage import Network
from limpet.harness.targets import contained
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.render import Member
from limpet.harness.targets.running import RunningTarget

Listener = Callable[[Control], None]

_LOOK_AGAIN = 0.02
"""Seconds between two looks at whether the balancer has noticed; later it looks less often."""


class Deployment(Mending):
    """A target with its backends.

    Args:
        loaded: the target and its contract.
        ground: the run's resources.
        name: unique in the run.
        weights: one backend each, in order; the target's own number and weights where they are fixed.
        ipv6: whether the balancer listens on an IPv6 address.
        wired: whether a fault proxy stands before each backend.
    """

    def __init__(
        self, loaded: LoadedTarget, ground: Ground, name: str, weights: Sequence[int] = (1, 1, 1), ipv6: bool = False,
        *, wired: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(ground.here(loaded), wired=wired)
        self.loaded, self.name, self._ipv6 = ground.here(loaded), name, ipv6
        self.offset = 0.0
        self.sources = ground.pool(f"{ground.seed}/{name}", loaded.contract.key_prefix.v4)
        self._ground, self.site = ground, ground.site
        self._servers = Servers(self.loaded.target.backends, ground, name)
        self._weights = tuple(weights)
        self._listeners: list[Listener] = []
        self.pace = Pace(loaded.target.endpoint.rate, ground.timeline)
        self._copies = 0
        self._target: RunningTarget | None = None
        self.disturbed = False
        """When its balancer was started, by CLOCK_MONOTONIC; infinite before."""

    @property
    def contract(self) -> Contract:
        """What it is judged by."""
        return self.loaded.contract

    @property
    def target(self) -> RunningTarget:
        """The running balancer (HarnessFault: it was not started)."""
        if self._target is None:
            raise HarnessFault("this deployment was not started", where=self.name)
        return self._target

    @property
    def endpoint(self) -> Endpoint:
        """Where its clients go."""
        return endpoint_of(self.target)

    @property
    def local(self) -> bool:
        """Whether clients may come from any address of the network's (IPv4; for IPv6 see `network`)."""
        return ":" not in self.target.host and self.site.reaches(self.target.host)

    def network(self, sources: SourcePool) -> Network:
        """Places of their own for the users of one scenario, whose addresses come from ``sources``."""
        return self._ground.network(self.name, self.endpoint, sources, local=self.site.reaches(self.target.host))

    @property
    def notices_health(self) -> bool:
        """Whether the balancer looks at its backends' health path."""
        return self.loaded.target.backends.health_checked

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its members now, in order."""
        return tuple(member.name for member in self.target.members)

    @property
    def soak(self) -> float:
        """Seconds that a soak of it lasts."""
        return self._ground.soak

    @property
    def shared_sessions(self) -> bool:
        """Whether its backends keep their sessions in one store."""
        return self.loaded.target.backends.sessions != "memory"

    def start(self) -> None:
        """Starts backends and balancer.

        Raises:
            SetupFault: one of them did not come up.
        """
        spec = self.loaded.target.backends
        members: list[Member] = []
        if spec.owner == "yours":
            members = contained.members(self.loaded.target)
        elif spec.member:
            for number, each in enumerate(spec.member, 1):
                host, _, port = each.listen.rpartition(":")
                address = host.strip("[]"), int(port)
                name = each.name or f"b{number}"
                members.append(self._launch(name, weight=each.weight, host=address[0], port=address[1]))
        else:
            members += [self._launch(weight=weight) for weight in spec.weights or self._weights]
        self._target = RunningTarget(
            self.loaded,
            keeper=self._ground.keeper,
            lease=self._ground.lease,
            workdir=self._ground.workdir / self.name / "balancer",
            members=members,
            ipv6=self._ipv6,
        )
        self._first_members = tuple(members)
        with self._ground.timeline.patience():
            self._target.start()

    def stop(self) -> None:
        """Stops everything that it started."""
        with self._ground.timeline.patience():
            if self._target is not None:
                self._target.stop()
            self._close_wires()
            self._servers.close()

    def copy(self, loaded: LoadedTarget, *, ipv6: bool = False) -> Deployment:
        """A further deployment of the same target, set up for another contract or family; not started yet."""
        return Deployment(loaded, self._ground, self.next_name(), self._weights, ipv6)

    def next_name(self) -> str:
        """A name for a further deployment beside this one."""
        self._copies += 1
        return f"{self.name}c{self._copies}"

    def listen(self, listener: Listener) -> None:
        """Tells every control from now on."""
        self._listeners.append(listener)

    def deafen(self) -> None:
        """Tells nobody any more."""
        self._listeners.clear()

    def arrived(self) -> list[Arrived]:
        """What limpet's own backends received so far."""
        return self._servers.arrived()

    def arrived_of(self, prefix: str) -> list[Arrived]:
        """What limpet's own backends received so far of requests whose id is ``prefix``, a dash, and anything."""
        return self._servers.arrived_of(prefix)

    def addresses_of(self, name: str) -> tuple[tuple[str, int], ...]:
        """Where limpet's own backend of this name listens, each server of a group.

        Raises:
            HarnessFault: limpet started none.
        """
        return tuple((server.host, server.port) for server in self._servers.of(name))

    # What happens to backends.

    def kill(self, *names: str, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """Ends the backends' processes; their ports refuse from now on.

        Args:
            names: whom.
            settle: whether to return only when the balancer knows (so it is with every fault).
            meanwhile: what is done again and again until then.
        """
        self._backend_fault("kill", names, Backend.kill, settle=settle, meanwhile=meanwhile)

    def hang(self, name: str, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """Stops the backend's process: it still accepts connections and answers nothing."""
        self._backend_fault("hang", (name,), Backend.hang, settle=settle, meanwhile=meanwhile)

    def reset(self, name: str, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """The backend resets every connection."""
        self._backend_fault("reset", (name,), Backend.reset, settle=settle, meanwhile=meanwhile)

    def accept_close(self, name: str, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """The backend accepts connections and closes them without an answer."""
        self._backend_fault("accept-close", (name,), Backend.accept_close, settle=settle, meanwhile=meanwhile)

    def blackhole(self, name: str, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """Connections to the backend time out."""
        self._backend_fault("blackhole", (name,), Backend.blackhole, settle=settle, meanwhile=meanwhile)

    def slow(self, name: str, seconds: float, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """The backend answers everything this much later, health checks too."""
        self._backend_fault("slow", (name,), lambda each: each.slow(seconds), value=seconds, settle=settle,
                            meanwhile=meanwhile)  # fmt: skip

    def status(self, name: str, code: int, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """The backend answers everything but health checks with this status."""
        self._backend_fault("status", (name,), lambda each: each.status(code), value=code, settle=settle,
                            meanwhile=meanwhile)  # fmt: skip

    def health(self, name: str, code: int, *, settle: bool = True, meanwhile: Meanwhile = None) -> None:
        """The backend's health path answers this status; everything else goes on."""
        self._backend_fault("health", (name,), lambda each: each.health(code), value=code, settle=settle,
                            meanwhile=meanwhile)  # fmt: skip

    # What happens to the pool.

    def add(self, *, weight: int = 1) -> str:
        """Starts a further backend and makes it a member; returns its name."""
        member = self._launch(weight=weight)
        self._apply("add", member.name, [*self.target.members, member], up=True)
        return member.name

    def remove(self, name: str) -> None:
        """Takes the backend out of the pool; its process goes on."""
        self._apply("remove", name, [each for each in self.target.members if each.name != name])

    def drain(self, name: str, *, draining: bool = True) -> None:
        """No new sessions for this backend (or again, with ``draining=False``)."""
        self._apply("drain" if draining else "undrain", name, self._changed(name, drain=draining))

    def weight(self, name: str, weight: int) -> None:
        """Gives the backend another weight."""
        self._apply("weight", name, self._changed(name, weight=weight), value=weight)

    def reorder(self, names: Sequence[str]) -> None:
        """The same members in another order."""
        known = {member.name: member for member in self.target.members}
        self._apply("reorder", "", [known[name] for name in names])

    def replace_server(self, name: str) -> None:
        """Another server at the same address: the process is new, the member is the same to the balancer."""
        begin = time.monotonic()
        servers = self._servers.of(name)
        with self._ground.timeline.patience():
            for each in servers:
                each.kill()
        rests = self._await_notice(name, up=False)
        with self._ground.timeline.patience():
            for each in servers:
                each.revive()
        rests += self._await_notice(name, up=True)
        self._tell("replace", begin, time.monotonic(), name, rests=rests)

    # What happens to the balancer.

    def reload(self) -> None:
        """Reloads the unchanged configuration."""
        self._balancer("reload", self.target.reload)

    def change(self) -> None:
        """Changes something of the configuration that has nothing to do with stickiness."""
        self._balancer("change", self.target.change)

    def restart(self) -> None:
        """Stops and starts the balancer."""
        self._balancer("restart", self.target.restart)

    def affinity(self, enabled: bool) -> None:
        """Switches stickiness on or off."""
        self._page.changed(self._first_members)
        self._balancer("affinity-on" if enabled else "affinity-off", lambda: self.target.set_affinity(enabled))

    def rotate_keys(self) -> None:
        """Issues cookies under a new key from now on."""
        self.target.rotate_keys()

    def advance(self, seconds: float) -> None:
        """Moves the affinity clock of balancer and clients. No request may be in flight: the caller sees to it."""
        begin = time.monotonic()
        self.target.advance_clock(seconds)
        self.offset += seconds
        self._tell("advance-clock", begin, time.monotonic(), "", seconds)

    def _launch(self, name: str = "", *, weight: int = 1, host: str | None = None, port: int | None = None) -> Member:
        return self._seen_as(self._servers.launch(name, weight=weight, host=host, port=port))

    def _backend_fault(
        self,
        verb: ControlVerb,
        names: Sequence[str],
        act: Callable[[Backend], None],
        *,
        value: float = 0.0,
        up: bool = False,
        settle: bool = True,
        meanwhile: Meanwhile = None,
    ) -> None:
        begin = time.monotonic()
        if verb != "revive":
            self._is_done(verb, value, names)
        with self._ground.timeline.patience():
            for name in names:
                if self.loaded.target.backends.owner == "yours":
                    self.target.backend_verb(verb, name)
                else:
                    for server in self._servers.of(name):
                        act(server)
            self._with_the_wire(verb, names)
        if verb == "revive":
            self._is_done(verb, value, names)
        since = time.monotonic()
        for name in names:
            if settle:
                healthy = up or (verb == "health" and value < 400)
                rests = self._await_notice(name, up=healthy, since=since, meanwhile=meanwhile)
                self._has_noticed(name, verb, rests)
                self._tell(verb, begin, time.monotonic(), name, value, rests)
            else:
                self._not_waited_for(name, verb, value, since)
                noticed = since + self.loaded.target.timing.down_noticed.value
                self._tell(verb, begin, noticed, name, value, ("down_noticed",))

    def _await_notice(
        self, name: str, *, up: bool, since: float | None = None, meanwhile: Meanwhile = None
    ) -> tuple[str, ...]:
        """Returns when the balancer is seen to know, or when its time for that is over: then the name of that time."""
        timing = self.loaded.target.timing
        begin = time.monotonic() if since is None else since
        deadline = begin + (timing.up_noticed.value if up else timing.down_noticed.value)
        while (left := deadline - time.monotonic()) > 0:
            known = self.target.noticed(name, up=up)
            if known:
                return ()
            if meanwhile is not None:
                meanwhile()
            idle = known is None and meanwhile is None
            pause = max(_LOOK_AGAIN, (time.monotonic() - begin) / 10)
            self._ground.timeline.wait(left if idle else min(left, pause))
        return ("up_noticed" if up else "down_noticed",)

    def _changed(self, name: str, **changes: int | bool) -> list[Member]:
        return [replace(each, **changes) if each.name == name else each for each in self.target.members]  # type: ignore[arg-type]

    def _apply(
        self, verb: ControlVerb, name: str, members: Sequence[Member], *, value: float = 0.0, up: bool = False
    ) -> None:
        begin = time.monotonic()
        self._page.changed(self._first_members)
        with self._ground.timeline.patience():
            self.target.apply(members, affinity_enabled=self.target.affinity_enabled)
        rests = self._await_notice(name, up=True) if up else ()
        self._tell(verb, begin, time.monotonic(), name, value, (*rests, *self._lag()))

    def _balancer(self, verb: ControlVerb, act: Callable[[], None]) -> None:
        begin = time.monotonic()
        with self._ground.timeline.patience():
            act()
        rests = self._lag()
        self._tell(verb, begin, time.monotonic(), rests=rests)

    def _lag(self) -> tuple[str, ...]:
        """Returns when the change must be in force; a balancer that began anew has to find out again who is dead."""
        self._ground.timeline.wait(self.loaded.target.timing.apply_settles.value)
        found = [rest for name in sorted(self.dead) for rest in self._await_notice(name, up=False)]
        return ("apply_settles", *dict.fromkeys(found))

    def _tell(
        self, verb: ControlVerb, begin: float, done: float, name: str = "", value: float = 0.0,
        rests: tuple[str, ...] = (), detail: str = "",
    ) -> None:  # fmt: skip
        record = Control(verb, begin, done, name, value, detail, self.offset, rests)
        self.disturbed |= verb != "advance-clock"
        for listener in self._listeners:
            listener(record)
