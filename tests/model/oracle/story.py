"""Random and directed stories: a manner, a contract that it keeps, and what clients and fate do to the balancer."""

from __future__ import annotations

import random
from typing import Any

from limpet_oracle_balancer import Manner
from limpet_oracle_simulation import Client, Simulation

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Record

WORDS = {
    "unhealthy": ["repin", "reroute", "refuse", "stay"],
    "removed": ["repin", "reroute", "refuse", "keep"],
    "draining": ["repin", "keep"],
    "recovered": ["stay", "return"],
    "restart": ["keep", "lose"],
    "toggled": ["keep", "lose"],
    "added": ["keep", "remap"],
    "duplicates": ["first", "last", "any"],
    "all_down": ["5xx", "fail-open"],
}


def contract_of(manner: Manner, loosen: random.Random | None = None) -> Contract:
    """What this balancer may truly promise; with ``loosen``, promised less clearly here and there."""

    def stated(field: str, word: str) -> Any:
        if loosen is None or loosen.random() < 0.6:
            return word
        others = [each for each in WORDS[field] if each != word]
        kind = loosen.choice(["absent", "several", "conflict", "inferred"])
        if kind == "absent":
            return None
        if kind == "inferred":
            return {"allowed": [loosen.choice(others)], "status": "inferred"}
        both = [word, loosen.choice(others)]
        return both if kind == "several" else {"allowed": both, "status": "conflict"}

    words = {
        "unhealthy": manner.unhealthy, "removed": manner.removed, "draining": manner.draining,
        "recovered": manner.recovered, "restart": manner.restart, "toggled": manner.toggled,
        "added": "remap" if manner.hashes else "keep",
        "duplicates": "any" if manner.duplicates == "known" else manner.duplicates, "all_down": manner.all_down,
    }  # fmt: skip
    reaction = {field: stated(field, word) for field, word in words.items()}
    if manner.hashes and manner.key == "cookie":
        reaction["bad_cookie"] = "accept"
    else:
        reaction["bad_cookie"] = "replace"
    if manner.duplicates == "known":
        reaction["duplicates"] = None
    data: dict[str, Any] = {"title": "simulated", "layer": 7, "reaction": reaction}
    if manner.key == "address":
        data |= {"affinity": "source-ip", "key_prefix": {"v4": 24}}
        if manner.hashes:
            data["hash"] = {"kind": "consistent" if manner.store == "ring" else "modulo"}
    elif manner.key == "app":
        data |= {"affinity": "app-cookie", "application": {"name": "S"}}
    else:
        value = {"value": "server-id"} if manner.store == "server-id" else {}
        data |= {"affinity": "lb-cookie", "cookie": {"name": "S"} | value}
    if manner.duration is not None:
        loose = loosen is not None and loosen.random() < 0.3
        data["duration"] = {
            "value": manner.duration,
            "clock": ["idle", "absolute"] if loose else manner.clock,
            "kept_by": manner.kept_by,
        }
    return Contract.model_validate(data)


def random_manner(rng: random.Random) -> Manner:
    key = rng.choice(["cookie", "cookie", "cookie", "address", "app"])
    stores = {"cookie": ["stateless", "server-id", "table", "table", "ring", "modulo"],
              "address": ["table", "ring", "modulo"], "app": ["table"]}  # fmt: skip
    store = rng.choice(stores[key])
    hashes = store in ("ring", "modulo")
    kept_by = rng.choice(["balancer", "client", "both"]) if key == "cookie" else "balancer"
    if store == "server-id":
        kept_by = "client"
    issue = rng.choice(["first", "every", "change"])
    clock = rng.choice(["idle", "absolute"])
    if store == "stateless" and clock == "idle":
        issue = "every"  # the clock stands in the value
    reaction = {
        "unhealthy": rng.choice(["repin", "repin", "reroute", "refuse", "stay"]),
        "removed": rng.choice(["repin", "repin", "reroute", "refuse"]),
        "draining": rng.choice(WORDS["draining"]),
        "recovered": rng.choice(WORDS["recovered"]),
    }
    if hashes:
        reaction = {"unhealthy": "repin", "removed": "repin", "draining": "repin", "recovered": "return"}
    elif store in ("stateless", "server-id") and reaction["recovered"] == "return":
        issue = "first" if clock == "absolute" or store == "server-id" else issue
    return Manner(
        key=key,
        store=store,
        issue=issue,
        duration=None if hashes else rng.choice([None, 20.0, 60.0]),
        clock=clock,
        kept_by=kept_by,
        restart=rng.choice(["keep", "lose"]) if store == "table" else "keep",
        toggled=rng.choice(["keep", "lose"]) if store == "table" else "keep",
        duplicates=rng.choice(["first", "last", "known"]),
        all_down=rng.choice(["5xx", "fail-open"]),
        retry=rng.random() < 0.6,
        eager=reaction["recovered"] == "stay" and rng.random() < 0.5,
        binds_before_connecting=rng.random() < 0.4,
        alias_on_repin=rng.random() < 0.5,
        **reaction,
    )


def random_story(manner: Manner, seed: int) -> tuple[list[Record], list[str]]:
    """A history of a balancer with this manner, and the members at its start."""
    rng = random.Random(seed)
    names = [f"b{number}" for number in range(1, rng.choice([2, 3, 3, 4]) + 1)]
    simulation = Simulation(manner, names, seed, arrivals=rng.random() < 0.5)
    kinds = ["jar", "jar", "jar", "stale", "stale", "none", "inventor", "collector"]
    clients = [Client(f"c{i}", f"10.0.{rng.randrange(3)}.{i + 1}", rng.choice(kinds)) for i in range(rng.randint(1, 5))]
    slow = rng.choice([0.02, 0.3, 1.5])
    t = 100.0
    for _ in range(rng.randint(1, 5)):
        length = rng.choice([1.0, 3.0, 8.0])
        for _ in range(rng.randint(0, 14)):
            simulation.request(t + length * rng.random(), rng.choice(clients), slow * rng.random())
        end = t + length + slow
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            end = max(end, trouble(simulation, rng, names, t + length * rng.random()))
        t = end + 4.0 if rng.random() < 0.7 else t + length + slow + 0.001
        if t > end + 3.9 and rng.random() < 0.5:
            duration = manner.duration or 20.0
            simulation.advance(t, rng.choice([1.0, duration * 0.4, duration * 0.9, duration - 1.5, duration + 3.0]))
            t += 0.5
    return simulation.run(), names


def trouble(simulation: Simulation, rng: random.Random, names: list[str], t: float) -> float:
    name = rng.choice(names)
    lag = rng.choice([0.05, 0.5, 2.0])
    verb = rng.choice(
        ["kill", "kill", "kill", "hang", "revive", "revive", "health", "health", "add", "remove", "drain", "undrain",
         "reorder", "restart", "affinity-off", "flap", "readd"]
    )  # fmt: skip
    if verb == "health":
        return simulation.control(t, verb, name, lag=lag, value=rng.choice([200, 503]))
    if verb in ("flap", "readd", "affinity-off"):
        first, second = {
            "flap": ("kill", "revive"), "readd": ("remove", "add"), "affinity-off": ("affinity-off", "affinity-on"),
        }[verb]  # fmt: skip
        on = name if verb != "affinity-off" else ""
        simulation.control(t, first, on, lag=lag)
        gap = lag * rng.choice([0.5, 1.0, 2.0]) if verb == "flap" else lag * rng.choice([1.0, 3.0])
        return max(simulation.control(t + gap, second, on, lag=lag), t + lag)
    if verb == "add":
        return simulation.control(t, verb, rng.choice([name, "b9", "b8"]), lag=lag)
    return simulation.control(t, verb, "" if verb in ("reorder", "restart") else name, lag=lag)
