"""A small sticky balancer, right or faulty on purpose, written without a look at the oracle. Times are lab seconds."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Manner:
    """How a balancer works, and what it does wrong (``fault``)."""

    key: str = "cookie"  # cookie | address | app
    store: str = "stateless"  # stateless | server-id | table | ring | modulo
    issue: str = "first"  # first | every | change
    duration: float | None = None
    clock: str = "idle"
    kept_by: str = "balancer"
    unhealthy: str = "repin"
    removed: str = "repin"
    draining: str = "repin"
    recovered: str = "stay"
    restart: str = "keep"
    toggled: str = "keep"
    duplicates: str = "first"
    all_down: str = "5xx"
    retry: bool = True
    eager: bool = False
    binds_before_connecting: bool = False
    alias_on_repin: bool = True
    fault: str = ""

    @property
    def hashes(self) -> bool:
        return self.store in ("ring", "modulo")


@dataclass
class Server:
    """One backend: what it is, and what the balancer has noticed of it."""

    name: str
    member: bool = True
    alive: bool = True
    taken_for_alive: bool = True
    healthy: bool = True
    draining: bool = False

    @property
    def up(self) -> bool:
        """As the balancer sees it."""
        return self.taken_for_alive and self.healthy


@dataclass
class Entry:
    """A session as the balancer remembers it, or as the value says."""

    home: str
    born: float
    last: float
    origin: str = ""


@dataclass
class Answer:
    backend: str = ""
    issued: str = ""


@dataclass
class Balancer:
    manner: Manner
    servers: dict[str, Server]
    rng: random.Random
    sticky: bool = True
    entries: dict[str, Entry] = field(default_factory=dict)
    count: int = 0
    seen: int = 0
    connections: dict[str, str] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)

    # Choosing.

    def usable(self) -> list[str]:
        return [each.name for each in self.servers.values() if each.member and each.up and not each.draining]

    def place(self, avoid: str = "") -> str:
        """A backend for a new session; "" when there is none."""
        names = self.usable()
        if self.manner.fault == "drain-admits":
            names += [each.name for each in self.servers.values() if each.draining] * 3
        if self.manner.fault == "removed-served":
            names += [each.name for each in self.servers.values() if not each.member] * 3
        if not names and self.manner.all_down == "fail-open":
            names = [each.name for each in self.servers.values() if each.member]
        self.rng.shuffle(names)
        names.sort(key=lambda name: name == avoid)
        for name in names:
            if self.servers[name].alive:
                return name
            if not self.manner.retry:
                return ""
        return ""

    def hashed(self, key: str) -> str:
        names = sorted(self.usable())
        while names:
            if self.manner.store == "ring":
                best = min(names, key=lambda name: zlib.crc32(f"{name}/{key}".encode()))
            else:
                best = names[zlib.crc32(key.encode()) % len(names)]
            if self.servers[best].alive:
                return best
            if not self.manner.retry:
                return ""
            names.remove(best)
        return ""

    # One request.

    def decide(self, keys: tuple[str, ...], lab: float, connection: str = "") -> Answer:
        self.seen += 1
        manner = self.manner
        if manner.fault == "per-connection" and connection in self.connections:
            return Answer(self.connections[connection])
        answer = self._decide(keys, lab)
        self.connections[connection] = answer.backend
        return answer

    def _decide(self, keys: tuple[str, ...], lab: float) -> Answer:
        manner = self.manner
        if not self.sticky:
            return Answer(self.place())
        if keys and manner.fault == "ignores" and self.seen % 5 == 0:
            return Answer(self.place())
        known = [key for key in keys if key in self.entries]
        if manner.hashes:
            chosen = keys or ("",)
            return self._hash(chosen[0] if manner.duplicates == "first" else chosen[-1], lab)
        if manner.duplicates == "known":
            chosen = tuple(known[:1]) or keys[:1]
        else:
            chosen = keys[:1] if manner.duplicates == "first" else keys[-1:]
        key = chosen[0] if chosen else ""
        entry = self.entries.get(key)
        if entry is not None and self._over(entry, lab):
            if manner.store == "table":
                del self.entries[key]
            entry = None
        if entry is None:
            return self._fresh(key, lab)
        return self._pinned(key, entry, lab)

    def _hash(self, key: str, lab: float) -> Answer:
        if self.manner.key == "cookie" and not key:
            self.count += 1
            key = f"h{self.count}"
            return Answer(self.hashed(key), key)
        return Answer(self.hashed(key))

    def _fresh(self, key: str, lab: float) -> Answer:
        backend = self.place()
        if not backend:
            if self.manner.binds_before_connecting and self.manner.key != "cookie" and key and self.usable():
                self.entries[key] = Entry(self.rng.choice(self.usable()), lab, lab)
            return Answer()
        if self.manner.key in ("address", "app"):
            if key:
                self.entries[key] = Entry(backend, lab, lab, backend)
            return Answer(backend)
        return Answer(backend, self._value(backend, lab, lab))

    def _value(self, backend: str, born: float, lab: float) -> str:
        if self.manner.fault == "wrong-value" and self.count % 3 == 1:
            backend = next(name for name in sorted(self.usable()) if name != backend)
        self.count += 1
        value = backend if self.manner.store == "server-id" else f"v{self.count}"
        stamp = float(int(lab)) if self.manner.store == "stateless" else lab
        self.entries[value] = Entry(backend, born, stamp, backend)
        return value

    def _over(self, entry: Entry, lab: float) -> bool:
        manner = self.manner
        if manner.duration is None or manner.kept_by == "client" or manner.store == "server-id":
            return False
        seconds = manner.duration * (0.5 if manner.fault == "ttl-short" else 1.0)
        absolute = manner.clock == "absolute" or manner.fault == "absolute"
        return lab > (entry.born if absolute else entry.last) + seconds

    def _pinned(self, key: str, entry: Entry, lab: float) -> Answer:
        manner = self.manner
        if manner.store == "table":
            entry.last = lab
        if manner.recovered == "return" and entry.origin and self._serves(entry.origin):
            entry.home = entry.origin
            self.stand_ins.pop(key, None)
        stand_in = self.stand_ins.get(key, "")
        if stand_in and self._serves(stand_in):
            return Answer(stand_in)
        if manner.fault == "fails-back" and entry.origin in self.usable():
            entry.home = entry.origin
        home = self.servers[stand_in or entry.home]
        if manner.fault == "others-move" and any(not each.up for each in self.servers.values()):
            return Answer(self.place(home.name))
        if manner.fault == "moves-on-add" and len(self.usable()) > 3:
            return Answer("b4")
        word = self._word(home)
        if word in ("", "keep"):
            if home.alive:
                return self._answered(key, entry, home.name, lab)
            if not manner.retry or manner.fault == "no-failover":
                return Answer()
            word = manner.unhealthy  # it met the dead backend before anybody noticed
        if word == "stay":
            return self._answered(key, entry, home.name, lab) if home.alive else Answer()
        if word == "refuse" or manner.fault == "no-failover":
            return Answer()
        return self._elsewhere(key, entry, lab, rebind=word == "repin")

    def _serves(self, name: str) -> bool:
        server = self.servers[name]
        return server.alive and self._word(server) in ("", "keep")

    def _word(self, home: Server) -> str:
        """What happens to the clients of this backend: "" is nothing."""
        manner = self.manner
        if not home.member:
            return "" if manner.fault == "removed-served" else manner.removed
        if not home.up:
            return "" if manner.fault == "health-ignored" and home.alive else manner.unhealthy
        if home.draining:
            return "repin" if manner.fault == "drain-evicts" else manner.draining
        return ""

    def _elsewhere(self, key: str, entry: Entry, lab: float, *, rebind: bool) -> Answer:
        manner = self.manner
        if manner.recovered == "return" and manner.store != "table":
            name = self.hashed_among_usable(key)
            if name and rebind:
                self.stand_ins[key] = name
            return Answer(name)
        backend = self.place(entry.home)
        if not backend:
            if rebind and manner.binds_before_connecting and manner.store == "table" and self.usable():
                entry.home = self.rng.choice(self.usable())
            return Answer()
        if not rebind or manner.fault == "not-recorded":
            return Answer(backend)
        if manner.store == "table":
            entry.home = backend
            return self._answered(key, entry, backend, lab, changed=True)
        return Answer(backend, self._value(backend, entry.born, lab))

    def hashed_among_usable(self, key: str) -> str:
        names = [name for name in self.usable() if self.servers[name].alive]
        return min(names, key=lambda name: zlib.crc32(f"{name}/{key}".encode())) if names else ""

    def _answered(self, key: str, entry: Entry, backend: str, lab: float, *, changed: bool = False) -> Answer:
        manner = self.manner
        if manner.key != "cookie":
            return Answer(backend)
        if manner.store == "server-id":
            return Answer(backend, key if manner.issue == "every" else "")
        if manner.issue == "every" or (changed and manner.alias_on_repin):
            if manner.store == "table":
                self.count += 1
                self.entries[f"v{self.count}"] = entry  # another name of the same session
                return Answer(backend, f"v{self.count}")
            return Answer(backend, self._value(entry.home, entry.born, lab))
        return Answer(backend)

    # What happens to it.

    def lost(self, name: str, word: str) -> None:
        """It noticed that a backend went."""
        if self.manner.eager and self.manner.store == "table" and word == "repin":
            self.entries = {key: each for key, each in self.entries.items() if each.home != name}

    def forget(self) -> None:
        self.entries.clear()
