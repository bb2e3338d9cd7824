"""Faults as small data: what goes wrong, with whom, when and for how long.

Each kind knows what a target must be able to do for it, what heals it, and what it can go together with. Nothing here
does anything; that is the nemesis's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

FaultKind = Literal[
    "kill", "hang", "blackhole", "reset", "accept-close", "slow", "status", "health",
    "latency", "jitter", "bandwidth", "slow-close", "cut", "partition", "link-down", "one-way",
    "add", "remove", "drain", "reorder", "weight",
    "reload", "restart", "change", "affinity-off", "clock",
]  # fmt: skip
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

Place = Literal["process", "wire", "pool", "balancer", "clock"]
"""Where it happens: in a backend, between it and the balancer, in the list of members, in the balancer, in time."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        kind: what happens.
        whom: the backend concerned, "" for the balancer, the whole pool and time. ``add`` needs none: its backend is
            new, and its name is told when it is there.
        value: the kind's number; see `Spec.unit`. 0 where it has none.
        at: seconds after the beginning of its plan.
        lasts: seconds until it is healed; 0 for until the end of the plan. Nothing to a kind that heals by itself.
    """

    kind: FaultKind
    whom: str = ""
    value: float = 0.0
    at: float = 0.0
    lasts: float = 0.0

    @property
    def spec(self) -> Spec:
        """What is known about its kind."""
        return SPECS[self.kind]

    def __str__(self) -> str:
        """``hang b2``, ``latency b1 0.2 s``, ``reload``."""
        number = f"{self.value:g} {self.spec.unit}".strip() if self.spec.unit else ""
        return " ".join(filter(None, [self.kind, self.whom, number]))


@dataclass(frozen=True)
class Spec:
    """What is known about a kind of fault.

    Attributes:
        place: where it happens.
        needs: the verbs of `abilities` without which a target cannot have it; those that heal it included.
        healed_by: what heals it, in a word for people; "" where it is over by itself.
        unit: what its value is counted in; "" where it has none.
        silent: the backend goes on accepting connections. A balancer below layer 7 cannot see that anything is wrong,
            so that nothing is promised there.
        lawful: somebody runs a balancer every day in which this happens on purpose: it is no failure of anything.
    """

    place: Place
    needs: tuple[str, ...]
    healed_by: str = ""
    unit: str = ""
    silent: bool = False
    lawful: bool = False


_OWN = ("backend-faults",)

SPECS: Mapping[FaultKind, Spec] = {
    "kill": Spec("process", ("kill", "revive"), "revive"),
    "hang": Spec("process", ("hang", "revive"), "revive", silent=True),
    "blackhole": Spec("process", _OWN, "revive"),
    "reset": Spec("process", _OWN, "revive", silent=True),
    "accept-close": Spec("process", _OWN, "revive", silent=True),
    "slow": Spec("process", _OWN, "revive", "s", silent=True),
    "status": Spec("process", _OWN, "revive", "(HTTP status)", silent=True),
    "health": Spec("process", _OWN, "revive", "(HTTP status)", silent=True),
    "latency": Spec("wire", ("wires",), "mend", "s", silent=True),
    "jitter": Spec("wire", ("wires",), "mend", "s", silent=True),
    "bandwidth": Spec("wire", ("wires",), "mend", "KB/s", silent=True),
    "slow-close": Spec("wire", ("wires",), "mend", "s", silent=True),
    "cut": Spec("wire", ("wires",), "mend", "bytes", silent=True),
    "partition": Spec("wire", ("wires",), "mend", silent=True),
    "link-down": Spec("wire", ("links",), "mend"),
    "one-way": Spec("wire", ("links",), "mend"),
    "add": Spec("pool", ("add", "remove"), "remove", lawful=True),
    "remove": Spec("pool", ("remove", "add"), "add", lawful=True),
    "drain": Spec("pool", ("drain",), "undrain", lawful=True),
    "reorder": Spec("pool", ("reorder",), "reorder", lawful=True),
    "weight": Spec("pool", ("weight",), "weight", "(weight)", lawful=True),
    "reload": Spec("balancer", ("reload",), lawful=True),
    "restart": Spec("balancer", ("restart",), lawful=True),
    "change": Spec("balancer", ("change",), lawful=True),
    "affinity-off": Spec("balancer", ("affinity",), "affinity-on", lawful=True),
    "clock": Spec("clock", ("advance_clock",), unit="s", lawful=True),
}
