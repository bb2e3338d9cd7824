"""A walk: steps that users and operators take, as small data that knows no product, no address and no backend's name.

Which backend a user gets is the balancer's choice, so a step names a backend by what it is in this play: "of 1" is the
one that answered user 1 last. Any list of steps can be played: one that has no sense at its moment (to revive while
nobody is down) is passed over and says so. That is what lets a walk be shortened step by step, and be played elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.validation import nearest
from limpet.harness.targets.abilities import why_not
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.promised import why_not_promised

Word = Literal[
    "visit", "strangers",
    "kill", "hang", "reset", "health", "revive",
    "add", "remove", "drain", "undrain", "weight", "reorder",
    "reload", "change", "restart", "affinity-off", "affinity-on", "clock",
]  # fmt: skip
WORDS: tuple[Word, ...] = get_args(Word)

REFERENCE = re.compile(r"(of|before|beside) ([1-9][0-9]?)|member ([1-9][0-9]?)|down|drained|newest")
"""How a step names a backend: ``of 2`` answered user 2 last, ``before 2`` is where that user was until it moved,
``beside 2`` is the first open member that is not ``of 2``; ``member 1`` is the first one of the list; ``down`` and
``drained`` have been so for the longest time, ``newest`` was added last."""

REFERENCES = ("of 1", "before 1", "beside 1", "member 1", "down", "drained", "newest")

LONGEST = 4.0
"""Lifetimes of a pin that one step of the clock may let pass."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One step.

    Attributes:
        do: what happens.
        users: who visits; with a fault, who goes on visiting until the balancer has noticed it.
        backend: whom it happens to; see `REFERENCE`.
        connection: whether the visitors open a new connection.
        show: which key they show: their own, the first one that they ever had, or none.
        strangers: how many requests without a key go before each visit, so that a pick is no habit of the balancer.
        weight: for ``weight`` and ``add``.
        lifetimes: for ``clock``: how much time passes, in lifetimes of a pin.
    """

    do: Word
    users: tuple[int, ...] = ()
    backend: str = ""
    connection: Literal["new", "kept"] = "new"
    show: Literal["own", "first", "nothing"] = "own"
    strangers: int = 0
    weight: int = 1
    lifetimes: float = 0.0


@dataclass(frozen=True)
class Spec:
    """What belongs to a word: fields it must have, fields it may have, and what a target must be able to do for it.

    ``seen``: a backend process is hurt in a way that a balancer below layer 7 notices.
    """

    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seen: bool = True


_FAULT = ("backend",), ("users",)

SPECS: Mapping[Word, Spec] = {
    "visit": Spec(("users",), ("connection", "show", "strangers")),
    "strangers": Spec(("strangers",)),
    "kill": Spec(*_FAULT, ("kill", "revive")),
    "hang": Spec(*_FAULT, ("hang", "revive"), seen=False),
    "reset": Spec(*_FAULT, ("backend-faults",), seen=False),
    "health": Spec(*_FAULT, ("backend-faults",), seen=False),
    "revive": Spec(*_FAULT, ("revive",)),
    "add": Spec((), ("weight",), ("add",)),
    "remove": Spec(("backend",), (), ("remove",)),
    "drain": Spec(("backend",), (), ("drain",)),
    "undrain": Spec(("backend",), (), ("undrain",)),
    "weight": Spec(("backend",), ("weight",), ("weight",)),
    "reorder": Spec((), (), ("reorder",)),
    "reload": Spec((), (), ("reload",)),
    "change": Spec((), (), ("change",)),
    "restart": Spec((), (), ("restart",)),
    "affinity-off": Spec((), (), ("affinity",)),
    "affinity-on": Spec((), (), ("affinity",)),
    "clock": Spec(("lifetimes",), ()),
}  # fmt: skip

_FIELDS = tuple(name for name in Step.__struct_fields__ if name != "do")


def problems(step: Step) -> list[str]:
    """What is wrong with a step, each in a sentence; empty when it can be played."""
    spec = SPECS[step.do]
    found: list[str] = []
    for name in _FIELDS:
        given = getattr(step, name) != _default(name)
        if name in spec.must and not given:
            found.append(f"`{step.do}` needs {name}")
        if given and name not in spec.must + spec.may:
            allowed = ", ".join(spec.must + spec.may) or "nothing more"
            found.append(f"{name} does not go with `{step.do}`, which takes {allowed}")
    if step.backend and not REFERENCE.fullmatch(step.backend):
        found.append(f'"{step.backend}" names no backend; {nearest(step.backend, REFERENCES)}')
    if any(not 1 <= user <= 99 for user in step.users):
        found.append("users are numbers from 1 to 99")
    if not 0 <= step.strangers <= 9:
        found.append("strangers is a number from 0 to 9")
    if not 1 <= step.weight <= 100:
        found.append("weight is a number from 1 to 100")
    if not 0 <= step.lifetimes <= LONGEST:
        found.append(f"lifetimes is a number up to {LONGEST:g}")
    return found


def _default(name: str) -> object:
    defaults = dict(zip(Step.__struct_fields__[1:], Step.__struct_defaults__, strict=True))
    return defaults[name]


def lifetime(contract: Contract) -> float | None:
    """Seconds that a pin lives, as the contract says; None where time ends none."""
    duration = contract.duration
    if duration.value is not None:
        return duration.value
    return duration.default.sole if duration.default is not None else None


LONGEST_WAIT = 3.0
"""Real seconds that one step of the clock may take where the clock cannot be moved."""


def unfit(step: Step, loaded: LoadedTarget) -> str:
    """Why a target cannot take a step, or promises nothing after it ("" when neither is so)."""
    target, contract = loaded.target, loaded.contract
    spec = SPECS[step.do]
    for need in spec.needs:
        if reason := why_not(target, need):
            return reason
    if not spec.seen and contract.layer == 4:
        return f"below layer 7 a balancer cannot see a `{step.do}`, so that nothing is promised of it"
    if reason := why_not_promised(loaded, step.do):
        return reason
    if step.do == "health" and not target.backends.health_checked:
        return f"{target.name} does not look at its backends' health path"
    if step.show != "own" and not _shows(contract):
        return f"a user of {contract.affinity} cannot help showing its own key"
    if step.do == "clock":
        whole = lifetime(contract)
        if whole is None:
            return "no pin of this target ends by time"
        if why_not(target, "advance_clock") and whole * step.lifetimes > LONGEST_WAIT:
            return f"{whole * step.lifetimes:g} s would have to pass, and the clock of {target.name} cannot be moved"
    return ""


def _shows(contract: Contract) -> bool:
    return contract.affinity in ("lb-cookie", "app-cookie")


def without_user(steps: Iterable[Step], user: int) -> tuple[Step, ...]:
    """The same walk of everybody else."""
    kept = []
    for step in steps:
        others = tuple(each for each in step.users if each != user)
        if others or step.do != "visit":
            kept.append(msgspec.structs.replace(step, users=others))
    return tuple(kept)


def printed_walk(steps: Iterable[Step]) -> str:
    """What a walk does to a balancer and its backends, in one line for people; that users come is left out."""
    told = [
        " ".join(filter(None, [step.do, step.backend, f"{step.weight}" if step.do == "weight" else ""]))
        for step in steps
        if step.do not in ("visit", "strangers")
    ]
    return "; ".join(told) or "nothing but requests"
