"""Plans: several faults in time, drawn from a seed, printed before they run, and performed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from limpet.harness.chaos.fault import Fault, FaultKind
from limpet.harness.chaos.nemesis import Inflicted, Nemesis, never
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.promised import why_not_promised

Plan = tuple[Fault, ...]

VALUES: Mapping[FaultKind, tuple[float, ...]] = {
    "slow": (0.1, 0.4, 3.0),
    "status": (500, 502, 503),
    "health": (500, 503),
    "latency": (0.05, 0.2, 0.5),
    "jitter": (0.1, 0.4),
    "bandwidth": (2, 20),
    "slow-close": (0.2, 1.0),
    "cut": (60, 150, 400),
    "weight": (2, 5),
    "clock": (1, 60, 3600),
}
"""What numbers a drawn fault may have. Delays stay below the patience of most balancers, but for one; cuts hit the head
of an answer, the place where it ends, and its body."""

DEAD: tuple[FaultKind, ...] = (
    "kill", "hang", "reset", "accept-close", "blackhole", "partition", "link-down", "one-way",
)  # fmt: skip
"""After these a backend serves nobody."""

STEADY: tuple[FaultKind, ...] = (
    "kill", "hang", "reset", "partition", "latency", "bandwidth", "cut", "blackhole", "link-down", "one-way",
)  # fmt: skip
"""What happens to backends of itself, in any week."""


def possible(loaded: LoadedTarget, kinds: Sequence[FaultKind], *, wired: bool, linked: bool = False) -> list[FaultKind]:
    """Those kinds of fault that this target can have, and after which it promises its users anything."""
    return [
        kind
        for kind in kinds
        if not never(loaded, kind, wired=wired, linked=linked) and not why_not_promised(loaded, kind)
    ]


def draw(
    rng: random.Random,
    kinds: Sequence[FaultKind],
    names: Sequence[str],
    *,
    rounds: int,
    dwell: float = 0.6,
    spared: int = 1,
) -> Plan:
    """A plan in which in each round as many faults at once come as leave somebody well.

    It begins with the worst: one backend fails, a second one while the first is down, and the first is back while the
    second is not; where there are enough backends. What follows is drawn from all kinds. Each fault lasts until it is
    seen to be noticed and at least about ``dwell`` seconds more, some of them into the next round.

    Args:
        rng: the seed's.
        kinds: of backends and wires; at least one.
        names: the backends.
        rounds: how many times.
        dwell: seconds between two rounds.
        spared: how many backends are left in peace at any time.
    """
    plan: list[Fault] = []
    busy: dict[str, int] = {}
    deck: list[FaultKind] = []
    dead = [kind for kind in kinds if kind in DEAD]
    if dead and len(names) - spared >= 2:
        first, second = rng.sample(list(names), 2)
        plan += [
            Fault(rng.choice(dead), first, at=0.0, lasts=2 * dwell),
            Fault(rng.choice(dead), second, at=dwell / 2, lasts=4 * dwell),
        ]
        busy = {first: 2, second: 5}
    for number in range(1 if busy else 0, rounds):
        free = [name for name in names if busy.get(name, -1) < number]
        troubled = len(names) - len(free)
        many = min(rng.choice((1, 2)), len(free), len(names) - spared - troubled)
        for whom in rng.sample(free, max(0, many)):
            deck = deck or rng.sample(list(kinds), len(kinds))  # each kind once before any comes again
            kind = deck.pop()
            rounds_long = rng.choice((1, 2))
            busy[whom] = number + rounds_long - 1
            value = rng.choice(VALUES.get(kind, (0.0,)))
            plan.append(Fault(kind, whom, value, at=number * dwell, lasts=rounds_long * dwell * 0.9))
    return tuple(plan)


def names_of(loaded: LoadedTarget) -> tuple[str, ...]:
    """The backends that a deployment of this target begins with."""
    backends = loaded.target.backends
    return tuple(each.name or f"b{number}" for number, each in enumerate(backends.member, 1)) or tuple(
        f"b{number}" for number in range(1, backends.size + 1)
    )


def steady_plan(
    loaded: LoadedTarget, seed: str, rounds: int, *, wired: bool, linked: bool = False, names: Sequence[str] = ()
) -> Plan:
    """What chaos of so many rounds does to this target; empty where it can have none of these faults."""
    kinds = possible(loaded, STEADY, wired=wired, linked=linked)
    return draw(random.Random(seed), kinds, names or names_of(loaded), rounds=rounds) if kinds else ()


def printed(plan: Sequence[Fault]) -> str:
    """The plan for people, a line for each fault."""
    lines = []
    for each in sorted(plan, key=lambda fault: fault.at):
        lasts = f"for {each.lasts:g} s" if each.lasts else "until the end" if each.spec.healed_by else "at once over"
        healed = f", healed by {each.spec.healed_by}" if each.spec.healed_by else ""
        lines.append(f"{each.at:+8.1f} s  {each}, {lasts}{healed}")
    return "\n".join(lines) or "nothing"


@dataclass
class _Going:
    inflicted: Inflicted
    until: float


def perform(
    plan: Sequence[Fault],
    nemesis: Nemesis,
    wait: Callable[[float], None],
    told: Callable[[str], None] = lambda _: None,
    *,
    heal: bool = True,
) -> list[str]:
    """Inflicts each fault when its time has come, and heals it when its time is over.

    What is to happen at the same moment does, and then is waited for together. The plan's clock stands still while the
    balancer has not noticed yet, so that each fault lasts as long as it is to last after that.

    Args:
        plan: the faults.
        nemesis: who does it.
        wait: lets so many real seconds pass.
        told: takes each step in words.
        heal: whether to end what is left in the end.

    Returns:
        Why some of them could not be inflicted, one text for each.

    Raises:
        SetupFault: one could not be inflicted, or healed.
    """
    todo = sorted(plan, key=lambda fault: fault.at)
    going: list[_Going] = []
    impossible: list[str] = []
    now = 0.0
    while todo or any(each.until for each in going):
        over = [each for each in going if each.until and each.until <= now]
        for each in over:
            told(f"heal {each.inflicted}")
        nemesis.heal_some([each.inflicted for each in over], settle=False)
        nemesis.see_well(late=False)
        going = [each for each in going if each not in over]
        due = [fault for fault in todo if fault.at <= now]
        todo = todo[len(due) :]
        begun: list[Inflicted] = []
        for fault in due:
            if reason := nemesis.why_not(fault):
                impossible.append(f"{fault}: {reason}")
                continue
            told(str(fault))
            begun.append(nemesis.inflict(fault, settle=False))
            going.append(_Going(begun[-1], now + fault.lasts if fault.lasts else 0.0))
        nemesis.see_noticed(begun)
        moments = [fault.at for fault in todo[:1]] + [each.until for each in going if each.until]
        if moments:
            begin = time.monotonic()
            wait(max(0.0, min(moments) - now))
            now = max(min(moments), now + time.monotonic() - begin)
    if heal:
        nemesis.heal_all(settle=False)
        nemesis.see_well()
    return impossible
