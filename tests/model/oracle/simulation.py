"""Clients, faults and time around the simulated balancer; yields the history that limpet would have recorded."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from limpet_oracle_balancer import Answer, Balancer, Manner, Server

from limpet.harness.model.history import Arrived, Control, Received, Record, Sent

ASPECTS = {
    "kill": "alive", "hang": "alive", "revive": "alive", "add": "member", "remove": "member", "undrain": "drain",
    "affinity-on": "sticky", "affinity-off": "sticky",
}  # fmt: skip
"""Verbs about one thing: what was begun later wins, even where it is noticed earlier."""


@dataclass
class Client:
    name: str
    source: str
    kind: str = "jar"  # jar | stale | none | inventor | collector
    held: list[tuple[float, str, float]] = field(default_factory=list)  # received at, value, lab time of expiry

    def cookie(self, lab: float) -> tuple[str, ...]:
        alive = [value for _, value, expiry in self.held if self.kind != "jar" or lab < expiry]
        if self.kind == "inventor":
            return ("invented",)
        if not alive or self.kind == "none":
            return ()
        if self.kind == "collector" and len(alive) > 1:
            return (alive[0], alive[-1])
        return (alive[0],) if self.kind == "stale" else (alive[-1],)


class Simulation:
    """One deployment. ``at`` plans something; ``run`` lets it all happen."""

    def __init__(self, manner: Manner, names: list[str], seed: int, *, arrivals: bool = True) -> None:
        self.rng = random.Random(seed)
        self.manner = manner
        self.balancer = Balancer(manner, {name: Server(name) for name in names}, self.rng)
        self.arrivals = arrivals
        self.history: list[Record] = []
        self.offset = 0.0
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._newest: dict[tuple[str, str], float] = {}

    def at(self, t: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._queue, (t, next(self._order), what))

    def run(self) -> list[Record]:
        while self._queue:
            t, _, what = heapq.heappop(self._queue)
            what(t)
        return self.history

    # Traffic.

    def request(self, t: float, client: Client, latency: float = 0.02, connection: str = "") -> None:
        self.at(t, lambda now: self._send(now, client, latency, connection))

    def _send(self, t: float, client: Client, latency: float, connection: str) -> None:
        id = f"r{next(self._ids)}"
        connection = connection or id
        keys: tuple[str, ...] = ()
        headers: tuple[tuple[str, str], ...] = ()
        if self.manner.key == "address":
            keys = (client.source.rpartition(".")[0],)
        else:
            keys = client.cookie(t + self.offset)
            if keys:
                headers = (("Cookie", "; ".join(f"S={key}" for key in keys)),)
        odd = self.rng.random() < 0.1 and not self.manner.fault
        self.history.append(
            Sent(
                id, t, client.name, connection, client.source,
                headers=headers, offset=self.offset, note="odd" if odd else "",
            )
        )  # fmt: skip
        end = t + latency
        decision = t + latency * self.rng.random()
        self.at(decision, lambda now: self._decide(now, id, client, keys, end, connection, odd))

    def _decide(
        self, t: float, id: str, client: Client, keys: tuple[str, ...], end: float, connection: str, odd: bool
    ) -> None:
        answer = self.balancer.decide(keys, t + self.offset, connection)
        issued = answer.issued
        if self.manner.key == "app" and answer.backend and not keys:
            issued = f"app{next(self._ids)}"
            self.at(t, lambda now: None)
            self._learn_application(issued, answer, t)
        if answer.backend:
            self._arrive(id, t, answer.backend)
        fate = self.rng.random()
        if answer.backend and odd and fate < 0.5:
            self.at(end, lambda now: self._receive(now, id, client, Answer(), "reset", ""))  # lost on its way back
            return
        if not answer.backend and fate < 0.3 and not self.manner.fault:
            # The client gives up; the balancer goes on and finds a backend later.
            self.at(end, lambda now: self._receive(now, id, client, answer, "timeout", ""))
            later = t + (end - t) + 3.0 * self.rng.random()
            self.at(later, lambda now: self._belated(now, id, keys))
            return
        self.at(end, lambda now: self._receive(now, id, client, answer, "", issued))

    def _belated(self, t: float, id: str, keys: tuple[str, ...]) -> None:
        answer = self.balancer.decide(keys, t + self.offset)
        if answer.backend:
            self._arrive(id, t, answer.backend)

    def _learn_application(self, value: str, answer: Answer, t: float) -> None:
        from limpet_oracle_balancer import Entry

        if self.balancer.sticky:
            lab = t + self.offset
            self.balancer.entries[value] = Entry(answer.backend, lab, lab, answer.backend)

    def _arrive(self, id: str, t: float, backend: str) -> None:
        if self.arrivals:
            self.history.append(Arrived(id, t, backend, backend, "c", "127.0.0.1"))

    def _receive(self, t: float, id: str, client: Client, answer: Answer, error: str, issued: str) -> None:
        headers: tuple[tuple[str, str], ...] = ()
        if issued and answer.backend:
            headers = (("Set-Cookie", f"S={issued}; Path=/"),)
            life = self.manner.duration if self.manner.kept_by != "balancer" else None
            client.held.append((t, issued, t + self.offset + life if life else float("inf")))
        status = 0 if error else 200 if answer.backend else 503
        backend = answer.backend if not error else ""
        self.history.append(Received(id, t, status, backend, headers=headers, error=error, offset=self.offset))

    # Trouble.

    def control(self, t: float, verb: str, backend: str = "", *, lag: float = 0.5, value: float = 0.0) -> float:
        """Plans a control verb; it takes effect somewhere within ``lag``. Returns when it is over."""
        done = t + lag
        physical = t + lag * self.rng.random()
        noticed = physical + (done - physical) * self.rng.random()

        def begin(now: float) -> None:
            record = Control(verb, now, done, backend, value, offset=self.offset)  # type: ignore[arg-type]
            self.history.append(record)

        self.at(t, begin)
        order = t  # what was begun later wins
        self.at(physical, lambda now: self._physical(verb, backend, order))
        self.at(noticed, lambda now: self._noticed(verb, backend, value, order, now))
        return done

    def _physical(self, verb: str, name: str, order: float) -> None:
        slot = "process", name
        if verb in ("kill", "hang", "revive") and self._newest.get(slot, -1) < order:
            self._newest[slot] = order
            self.balancer.servers[name].alive = verb == "revive"

    def _noticed(self, verb: str, name: str, value: float, order: float, t: float) -> None:
        slot = ASPECTS.get(verb, verb), name
        if self._newest.get(slot, -1) > order:
            return
        self._newest[slot] = order
        if verb in ("restart", "reorder", "affinity-on", "affinity-off"):
            self._to_balancer(verb)
        elif verb == "add":
            self.balancer.servers.setdefault(name, Server(name)).member = True
        elif name in self.balancer.servers:
            self._to_server(verb, self.balancer.servers[name], value)

    def _to_balancer(self, verb: str) -> None:
        balancer = self.balancer
        if verb == "reorder":
            names = list(balancer.servers)
            self.rng.shuffle(names)
            balancer.servers = {each: balancer.servers[each] for each in names}
            return
        if verb.startswith("affinity"):
            balancer.sticky = verb == "affinity-on"
        if self.manner.restart == "lose" if verb == "restart" else balancer.sticky and self.manner.toggled == "lose":
            balancer.forget()

    def _to_server(self, verb: str, server: Server, value: float) -> None:
        word = ""
        if verb in ("kill", "hang", "revive"):
            server.taken_for_alive = verb == "revive"
            word = self.manner.unhealthy if verb != "revive" else ""
        elif verb == "health":
            server.healthy = value < 400
            word = self.manner.unhealthy if not server.healthy else ""
        elif verb == "remove":
            server.member = False
            word = self.manner.removed
        elif verb in ("drain", "undrain"):
            server.draining = verb == "drain"
            word = self.manner.draining if server.draining else ""
        self.balancer.lost(server.name, word)

    def advance(self, t: float, seconds: float) -> None:
        """The clock jumps; nothing may be in flight at ``t``."""

        def jump(now: float) -> None:
            self.offset += seconds
            self.history.append(Control("advance-clock", now, now, value=seconds, offset=self.offset))

        self.at(t, jump)
